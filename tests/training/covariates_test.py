"""Patients' covariates from the data set to the network: in training, validation and testing."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import metrics
from mlseg.console import Reporter
from mlseg.data import cases as data_cases
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.models import SliceAttention, from_linen
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.training import batches, scoring
from mlseg.training.feed import make_feed
from mlseg.training.programs import Programs
from tests.end_to_end import cohort
from tests.training import made

PATIENTS, SLICES, SIDE = 40, 2, 32
STEPS = 4  # of an epoch of 16 patients
COLUMNS = ("volume_ml", "age")
# The second model is trained on other patients, whose statistics are others.
SPLITS = [
  Split(np.arange(16), np.arange(16, 28), np.arange(28, 40)),
  Split(np.arange(24, 40), np.arange(12, 24), np.arange(12)),
]
SETTINGS = {
  "num_epochs": 10, "log_every": STEPS, "data.image_size": SIDE, "data.cohort.slices": SLICES,
  "model.covariates": str(COLUMNS).replace(" ", ""), "optimizer.name": "sgd",
  "optimizer.learning_rate": 0.1,
}  # fmt: skip


class _Encoder(nn.Module):
  """Means of parts of the image, and a layer."""

  @nn.compact
  def __call__(self, images, train):
    return (nn.Dense(3)(jax.image.resize(images, (*images.shape[:1], 1, 1, 1), "linear")),)


def _make(num_classes, num_labels):
  del num_classes
  module = SliceAttention(
    _Encoder(), 0, num_labels, units=(), num_slices=SLICES, attention_units=2, num_covariates=2
  )
  return from_linen(module, SliceAttention.classify)


def _experiment(**changes):
  flags = cohort.arguments("none", "classification", **SETTINGS, **changes)
  found = experiment.read(parse.content(["", *flags]))
  assert found.network.covariates == COLUMNS
  return found._replace(network=found.network._replace(make=_make))


@pytest.fixture(scope="module")
def cases():
  """Patients whose images are noise, and whose outcome is told by the volume of the lesion."""
  rng, labels = np.random.default_rng(0), np.arange(PATIENTS, dtype=np.int32) % 2
  age, stage = rng.normal(60, 9, PATIENTS), rng.normal(size=PATIENTS)
  volume = 2e4 + 3e3 * np.arange(PATIENTS) / PATIENTS + 4e3 * labels
  covariates = np.stack([age, stage, volume], 1).astype(np.float32)
  covariates[::5, 0] = np.nan
  images = rng.integers(1, 256, (PATIENTS, SLICES * SIDE, SIDE, 1)).astype(np.uint8)
  found = made.make_cases()._replace(
    images=images,
    masks=(images[..., 0] > 128).astype(np.uint8),
    labels=labels,
    ids=tuple(map(str, range(PATIENTS))),
    label_names=("no", "yes"),
    covariates=covariates,
    covariate_names=("age", "stage", "volume_ml"),
  )
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(data_cases, "load", lambda name, **options: found)
    recipe = _experiment()
    return recipe_data.load_cases(recipe.data, [recipe.losses.targets])


def _trained(recipe, cases, strategy="map", num_models=2, num_epochs=3):
  """Returns the programs, the state and the scores of models after some epochs."""
  splits = SPLITS[:num_models]
  mesh = sharding.make_mesh(sharding.Layout(1, 1, 1))
  programs = Programs(
    [recipe], cases, splits[0], strategy=strategy, num_models=num_models, mesh=mesh
  )
  inputs = programs.inputs(splits, [0] * num_models)
  state = programs.init(range(num_models), inputs.covariate_statistics)
  feed = make_feed(recipe, cases, splits, programs.keys(state), mesh)
  for epoch in range(num_epochs):
    own, count = feed.batches(STEPS * epoch), programs.number(STEPS)
    state, _ = programs.training.run(state, inputs, own, count)
  part, number = feed.validation(), programs.number(num_epochs)
  state, found = programs.training.validate(state, inputs, part, number)
  return programs, state, jax.device_get(found)


@pytest.fixture(scope="module")
def trained(cases):
  recipe = _experiment()
  return recipe, *_trained(recipe, cases)


def test_the_columns_of_the_recipe_are_in_batches(cases):
  np.testing.assert_array_equal(cases.network_covariates, cases.covariates[:, [2, 0]])
  data = jax.tree.map(jnp.asarray, batches.Data(batches.cases_of(cases), SPLITS[0].train))
  batch = batches.make_batch_at(_experiment())(data, jax.random.key(0), jnp.int32(0))
  assert batch.covariates.shape == (4, 2)
  volumes = cases.covariates[:16, 2].tolist()
  chosen = [volumes.index(value) for value in batch.covariates[:, 0].tolist()]
  np.testing.assert_array_equal(batch.covariates, cases.network_covariates[chosen])
  np.testing.assert_array_equal(batch.labels, cases.labels[chosen])


def test_a_recipe_that_reads_none_has_none_in_its_batches(cases):
  without = cases._replace(network_covariates=None)
  assert batches.cases_of(without).covariates is None


def test_each_model_keeps_the_statistics_of_its_training_patients(trained, cases):
  _, _, state, _ = trained
  for tree in (state.variables, state.best.variables):
    for n, split in enumerate(SPLITS):
      own = cases.network_covariates[split.train].astype(np.float64)
      np.testing.assert_allclose(tree["covariates"]["mean"][n], np.nanmean(own, 0), rtol=1e-6)
      np.testing.assert_allclose(tree["covariates"]["deviation"][n], np.nanstd(own, 0), rtol=1e-5)


def test_an_outcome_that_only_a_covariate_tells_is_predicted(trained, cases):
  recipe, programs, state, found = trained
  assert found.scores["auc"].min() > 0.95
  split, variables = SPLITS[0], programs.best(state, 0)
  scores = scoring.score_seed(
    programs.testing, recipe, cases, split, variables, Reporter(quiet=True)
  )
  assert metrics.roc_auc(scores.labels, scores.probabilities[:, 1]) > 0.95
  assert scores.maps.shape == (2, 12, SLICES * SIDE, SIDE)
  both = [variables, programs.best(state, 1)]
  mean = scoring.score_ensemble(programs.testing, recipe, cases, split, both, Reporter(quiet=True))
  other = scoring.score_seed(programs.testing, recipe, cases, split, both[1], Reporter(quiet=True))
  expected = (scores.probabilities + other.probabilities) / 2
  np.testing.assert_allclose(mean.probabilities, expected, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("strategy", "changes"),
  [
    ("map", {"data.placement": "host"}),
    ("vmap", {}),
    ("vmap", {"data.placement": "host"}),
    ("loop", {}),
    ("map", {"num_microbatches": 2}),
  ],
)
def test_placements_strategies_and_microbatches_train_alike(trained, cases, strategy, changes):
  _, _, expected, scores = trained
  _, state, found = _trained(_experiment(**changes), cases, strategy)
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5),
    state.variables,
    expected.variables,
  )
  np.testing.assert_allclose(found.scores["auc"], scores.scores["auc"])


@pytest.mark.slow
def test_the_average_over_the_variables_keeps_the_statistics(cases):
  recipe = _experiment()
  recipe = recipe._replace(optimizer=recipe.optimizer._replace(ema=0.9))
  _, state, _ = _trained(recipe, cases, "loop", num_models=1)
  jax.tree.map(
    np.testing.assert_array_equal, state.average["covariates"], state.variables["covariates"]
  )


def test_models_do_not_begin_without_statistics(trained):
  with pytest.raises(ValueError, match=r"^covariate_statistics: must be those of the inputs"):
    trained[1].init([0, 1])
