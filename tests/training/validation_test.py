"""The scores by which an epoch is chosen, on a toy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import metrics
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.errors import UserError
from mlseg.training.feed import make_feed
from mlseg.training.programs import Programs
from mlseg.training.validation import area_under_curve
from tests.training import made

SPLIT = Split(np.arange(12), np.arange(12, 19), np.arange(19, 24))


def test_the_auc_that_selects_is_that_of_the_metrics():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, 40)
  scores = np.round(labels + rng.normal(size=40), 1).astype(np.float32)
  found = area_under_curve(jnp.asarray(scores), jnp.asarray(labels))
  np.testing.assert_allclose(found, metrics.roc_auc(labels, scores), rtol=1e-6)
  assert area_under_curve(jnp.asarray(scores), jnp.zeros(40, int)) == 0.5


def _validated(experiment, cases):
  """Returns the program, the state after a validation, and its scores."""
  mesh = sharding.make_mesh(sharding.Layout(1, 1, 1))
  programs = Programs([experiment], cases, SPLIT, strategy="loop", num_models=1, mesh=mesh)
  state = programs.init([0])
  feed = make_feed(experiment, cases, [SPLIT], programs.keys(state), mesh)
  inputs = programs.inputs([SPLIT], [0])
  state, found = programs.training.validate(state, inputs, feed.validation(), programs.number(1))
  return programs, state, jax.device_get(found)


@pytest.mark.slow
@pytest.mark.parametrize(
  "selection", ["dice", "mean", "accuracy", "auc", "dice_pooled", "class_balanced_dice"]
)
def test_scores_are_those_of_the_predictions_of_the_validation_part(selection):
  cases = made.make_cases()
  experiment = made.make_experiment(classifies=True)._replace(selection=selection)
  programs, state, found = _validated(experiment, cases)
  images, masks = cases.images[SPLIT.validation], cases.masks[SPLIT.validation]
  result = programs.testing.test(programs.best(state, 0), images, masks)
  dice = metrics.dice(np.asarray(result.counts))[:, 1].mean()
  logits, labels = np.asarray(result.class_logits), cases.labels[SPLIT.validation]
  scores = {
    "dice": dice,
    "dice_pooled": metrics.dice(np.asarray(result.counts).sum(0))[1],
    "class_balanced_dice": metrics.class_balanced_dice(np.asarray(result.counts)).mean(),
    "accuracy": (logits.argmax(1) == labels).mean(),
    "auc": metrics.roc_auc(labels, logits[:, 1] - logits[:, 0]),
  }
  shown = {"dice", "accuracy", "auc", selection} - {"mean"}
  assert found.scores.keys() == shown
  for name, value in {name: scores[name] for name in shown}.items():
    np.testing.assert_allclose(found.scores[name][0], value, rtol=1e-5, err_msg=name)
  scores["mean"] = (scores["dice"] + scores["accuracy"]) / 2
  np.testing.assert_allclose(state.best.score[0], scores[selection], rtol=1e-5)
  assert int(state.best.epoch[0]) == 1


def test_a_network_of_masks_alone_has_no_scores_of_diagnoses():
  _, _, found = _validated(made.make_experiment("selection=mean"), made.make_cases())
  assert found.scores.keys() == {"dice"}
  assert found.losses.keys() == {"cross_entropy", "soft_iou", "soft_dice", "class_balanced_dice"}


def test_three_diagnoses_have_no_auc_and_are_not_selected_by_it():
  cases = made.make_cases(num_labels=3)
  experiment = made.make_experiment(classifies=True)
  _, _, found = _validated(experiment, cases)
  assert "auc" not in found.scores
  assert 0 <= found.scores["accuracy"][0] <= 1
  with pytest.raises(UserError, match="'auc' needs cases of two labels, not 3"):
    _validated(experiment._replace(selection="auc"), cases)
