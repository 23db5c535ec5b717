"""The compiled programs of a group of toy models: starts, fillers, tests, saliency."""

import jax
import numpy as np
import pytest

from mlseg import metrics
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.training.feed import make_feed, shapes
from mlseg.training.programs import Programs
from tests.training import made

SPLIT = Split(np.arange(13), np.arange(13, 18), np.arange(18, 24))
OTHER = Split(np.arange(11, 24), np.arange(5), np.arange(5, 11))


def _programs(experiment, cases, num_models=1, strategy="map"):
  mesh = sharding.make_mesh(sharding.Layout(1, 1, 1))
  return Programs([experiment], cases, SPLIT, strategy=strategy, num_models=num_models, mesh=mesh)


def _assert_equal(actual, expected):
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.fixture(scope="module")
def cases():
  return made.make_cases()


def test_steps_and_parameters_are_counted(cases):
  programs = _programs(made.make_experiment("num_epochs=5"), cases)
  assert programs.steps_per_epoch == 3  # 13 cases in batches of 4, the last one left out
  assert programs.num_steps == 15
  assert programs.num_params == 2 + 2


@pytest.mark.slow
def test_the_start_of_a_model_depends_on_its_seed_alone(cases):
  experiment = made.make_experiment()
  many = _programs(experiment, cases, 4, "vmap").init([7, 3, 5])
  alone = _programs(experiment, cases).init([3])
  first, second = (jax.tree.map(lambda x, n=n: x[n], many.variables) for n in (0, 1))
  _assert_equal(second, jax.tree.map(lambda x: x[0], alone.variables))
  assert not np.array_equal(first["params"]["pixels"], second["params"]["pixels"])
  _assert_equal(jax.random.key_data(many.key[1]), jax.random.key_data(alone.key[0]))
  # The fourth fills the mesh up.
  np.testing.assert_array_equal(many.stopped, [False, False, False, True])


def test_every_test_case_is_predicted_once(cases):
  programs = _programs(made.make_experiment(), cases)
  variables = programs.best(programs.init([0]), 0)
  images, masks = cases.images[:11], cases.masks[:11]  # two batches and three quarters
  result = programs.testing.test(variables, images, masks)
  outputs, _ = made.linear(2).apply(variables, images / np.float32(255), False)
  predictions = np.asarray(outputs.logits).argmax(-1)
  np.testing.assert_array_equal(result.predictions, predictions)
  np.testing.assert_array_equal(result.counts, metrics.confusion_counts(predictions, masks, 2))
  assert result.losses == {}
  assert programs.testing.explain is None


def test_saliency_maps_are_of_the_answer_of_the_head_of_classes(cases):
  programs = _programs(made.make_experiment(classifies=True), cases)
  variables = programs.best(programs.init([0]), 0)
  maps = programs.testing.explain(variables, cases.images[:3])
  assert maps.shape == (2, 3, made.SIZE, made.SIZE)
  assert maps.dtype == np.uint8


@pytest.mark.parametrize("placement", ["device", "host"])
def test_a_feed_has_the_shapes_that_programs_are_compiled_for(cases, placement):
  experiment = made.make_experiment(f"data.placement={placement}", "log_every=2")
  programs = _programs(experiment, cases, 2)
  keys = programs.keys(programs.init([0, 1]))
  feed = make_feed(experiment, cases, [SPLIT, OTHER], keys, programs.mesh)
  expected = shapes(experiment, cases, SPLIT, programs.mesh, 2)
  for found, wanted in zip((feed.batches(2), feed.validation()), expected, strict=True):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    for array, shape in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
      assert (array.shape, array.dtype) == (shape.shape, shape.dtype)
      assert array.sharding.is_equivalent_to(shape.sharding, array.ndim)


def test_the_host_sends_each_model_its_own_cases_and_each_case_once_an_epoch(cases):
  experiment = made.make_experiment("data.placement=host", "log_every=2")
  programs = _programs(experiment, cases, 2)
  keys = programs.keys(programs.init([0, 1]))
  feed = make_feed(experiment, cases, [SPLIT, OTHER], keys, programs.mesh)
  indices = {image.tobytes(): n for n, image in enumerate(cases.images)}
  seen: list[list[int]] = [[], []]
  for step, count in ((0, 2), (2, 1)):  # the second chunk ends with the epoch
    chunk = feed.batches(step)
    np.testing.assert_array_equal(chunk.start, [step, step])
    for model, batches in enumerate(np.asarray(chunk.batches.images)):
      seen[model] += [indices[image.tobytes()] for image in batches[:count].reshape(-1, 8, 8, 1)]
  for own, split in zip(seen, (SPLIT, OTHER), strict=True):
    assert len(set(own)) == len(own) == 12
    assert set(own) <= set(split.train.tolist())
  validation = np.asarray(feed.validation().cases.images)
  np.testing.assert_array_equal(validation[1], cases.images[OTHER.validation])
