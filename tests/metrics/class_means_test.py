"""Means over classes against plain loops: absent classes are left out, by default."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import metrics
from mlseg.metrics import class_means, selection
from mlseg.metrics.surface_cases import per_case_surface, summarize_surface

NUM_CLASSES = 9
RATIOS = ("dice", "iou", "precision", "recall", "specificity", "false_negative_rate", "accuracy")


def _one_lesion_each(num_cases=24):
  """Returns masks [N, 12, 12] with one of eight lesions each; the last has none."""
  masks = np.zeros((num_cases, 12, 12), int)
  for n in range(num_cases - 1):
    masks[n, 2:6, 3:8] = 1 + n % (NUM_CLASSES - 1)
  return masks


def _counts(predictions, masks):
  return np.asarray(metrics.confusion_counts(predictions, masks, NUM_CLASSES))


def _random_counts(seed, num_cases=30):
  """Returns counts of predictions that hold some of the classes, and often a false one."""
  rng = np.random.default_rng(seed)
  masks, predictions = np.zeros((2, num_cases, 12, 12), int)
  for maps in (masks, predictions):
    for n in range(num_cases):
      for label in rng.integers(0, NUM_CLASSES, rng.integers(0, 4)):
        top, left = rng.integers(0, 8, 2)
        maps[n, top : top + 4, left : left + 4] = label
  return _counts(predictions, masks)


def _plain_mean(counts, metric, first, absent):
  """Returns the mean over classes of one case, counts [C, 4], by a loop."""
  values = []
  for label in range(first, len(counts)):
    tp, fp, fn, _ = counts[label]
    if absent == "one" or tp + fp + fn > 0:
      values.append(float(metric(counts[label])))
  return np.mean(values) if values else float(metric(counts[first]))


def test_predicting_nothing_scores_nothing():
  masks = _one_lesion_each()
  counts = _counts(np.zeros_like(masks), masks)
  table = metrics.summarize(counts)
  # The one image without a lesion is right.
  assert table["dice"] == pytest.approx(1 / 24)
  assert table["recall"] == pytest.approx(1 / 24)
  assert table["precision"] == pytest.approx(1 / 24)
  assert table["dice_pooled"] == 0
  old = metrics.summarize(counts, absent="one")
  assert old["dice"] == pytest.approx((23 * 7 / 8 + 1) / 24)
  for name, score in metrics.SEGMENTATION_SCORES.items():
    assert float(score(jnp.array(counts))) < 0.2 or name == "dice_absent_as_one"


@pytest.mark.parametrize("absent", class_means.ABSENT)
@pytest.mark.parametrize("seed", range(3))
def test_summaries_equal_plain_loops(seed, absent):
  counts = _random_counts(seed)
  table = metrics.summarize(counts, absent)
  pooled = counts.sum(axis=0)
  for name in RATIOS:
    metric = getattr(metrics, name)
    for suffix, first in (("", 1), ("_with_background", 0)):
      expected = np.mean([_plain_mean(case, metric, first, absent) for case in counts])
      assert table[name + suffix] == pytest.approx(expected), name
      expected = _plain_mean(pooled, metric, first, absent)
      assert table[f"{name}{suffix}_pooled"] == pytest.approx(expected), name


@pytest.mark.parametrize("absent", class_means.ABSENT)
def test_with_one_foreground_class_both_conventions_are_the_same(absent):
  rng = np.random.default_rng(0)
  masks, predictions = rng.integers(0, 2, (2, 12, 6, 6)) * rng.integers(0, 2, (2, 12, 1, 1))
  masks[0], predictions[1], masks[2], predictions[2] = 1, 1, 1, 1
  counts = np.asarray(metrics.confusion_counts(predictions, masks, 2))
  table = metrics.summarize(counts, absent)
  np.testing.assert_allclose(table["dice"], metrics.dice(counts)[:, 1].mean())
  np.testing.assert_allclose(table["dice_with_background"], metrics.dice(counts).mean())
  part = (counts[..., 0] + counts[..., 2]) / counts.sum(axis=-1)
  balanced = ((1 - part) * metrics.dice(counts)).sum(axis=-1)
  np.testing.assert_allclose(table["class_balanced_dice"], balanced.mean())


def _plain_balanced(counts, absent):
  """Returns the class-balanced Dice of one case, counts [C, 4], by a loop."""
  total, weights = 0.0, 0.0
  for tp, fp, fn, tn in counts.tolist():
    if absent == "one" or tp + fp + fn > 0:
      weight = 1 - (tp + fn) / (tp + fp + fn + tn)
      total += weight * (2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 1)
      weights += weight
  return total / weights if weights else 1.0


@pytest.mark.parametrize("absent", class_means.ABSENT)
def test_the_class_balanced_dice_equals_a_plain_loop(absent):
  counts = _random_counts(4)
  balanced = metrics.class_balanced_dice(counts, absent=absent)
  np.testing.assert_allclose(balanced, [_plain_balanced(case, absent) for case in counts])
  compiled = jax.jit(functools.partial(metrics.class_balanced_dice, absent=absent))
  np.testing.assert_allclose(compiled(jnp.array(counts)), balanced, rtol=1e-5)
  table = metrics.summarize(counts, absent)
  np.testing.assert_allclose(table["class_balanced_dice"], balanced.mean())
  np.testing.assert_allclose(
    table["class_balanced_dice_pooled"], _plain_balanced(counts.sum(axis=0), absent)
  )


def test_an_image_of_one_class_alone_is_right():
  counts = _counts(np.zeros((1, 5, 5), int), np.zeros((1, 5, 5), int))
  assert metrics.class_balanced_dice(counts).tolist() == [1]
  assert metrics.class_balanced_dice(counts, "inverse").tolist() == [1]


@pytest.mark.parametrize(
  ("name", "absent"),
  [
    ("dice", "left_out"),
    ("dice_pooled", "left_out"),
    ("class_balanced_dice", "left_out"),
    ("class_balanced_dice_pooled", "left_out"),
    ("dice_absent_as_one", "one"),
  ],
)
def test_a_score_for_selection_is_the_number_of_the_table(name, absent):
  counts = _random_counts(5)
  score = jax.jit(metrics.SEGMENTATION_SCORES[name])
  expected = metrics.summarize(counts, absent)[name.removesuffix("_absent_as_one")]
  found = score(jnp.array(counts))
  assert found.shape == ()
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  # Padding does not count.
  more = jnp.concatenate([jnp.array(counts), jnp.zeros_like(counts), jnp.array(counts[:4])])
  valid = jnp.arange(len(more)) < len(counts)
  np.testing.assert_allclose(score(more, valid), expected, rtol=1e-5)
  assert float(score(more, jnp.zeros(len(more), bool))) == 0


def test_every_score_for_selection_is_tried_above():
  assert set(selection.SEGMENTATION_SCORES) == {
    "dice", "dice_pooled", "class_balanced_dice", "class_balanced_dice_pooled",
    "dice_absent_as_one",
  }  # fmt: skip


def test_the_dice_of_a_case_is_that_of_the_table():
  counts = _random_counts(6)
  per_case = metrics.foreground_dice_per_case(metrics.dice(counts), metrics.is_present(counts))
  np.testing.assert_allclose(per_case.mean(), metrics.summarize(counts)["dice"])
  nothing = metrics.foreground_dice_per_case([0.9, np.nan, 1.0], [True, False, False])
  assert nothing == 1


def test_the_table_of_classes_equals_plain_loops():
  counts = _random_counts(7).copy()
  counts[:, 3] = [0, 0, 0, 144]  # in no case
  table = metrics.summarize_classes(counts)
  for label in range(NUM_CLASSES):
    tp, fp, fn, _ = counts[:, label].T
    there = counts[tp + fp + fn > 0, label]
    assert table["num_true"][label] == (tp + fn > 0).sum()
    assert table["num_predicted"][label] == (tp + fp > 0).sum()
    for name in ("dice", "recall"):
      metric = getattr(metrics, name)
      expected = metric(there).mean() if len(there) else np.nan
      np.testing.assert_allclose(table[name][label], expected)
      pooled = metric(counts[:, label].sum(axis=0)) if len(there) else np.nan
      np.testing.assert_allclose(table[f"{name}_pooled"][label], pooled)
  assert np.isnan(table["dice"][3])
  assert not np.isnan(table["dice"][[0, 1, 2]]).any()


def test_surfaces_of_absent_classes_are_left_out():
  masks = _one_lesion_each(3)[:2]  # of the classes 1 and 2
  predictions = masks.copy()
  predictions[1] = 0  # missed: its distance is the diagonal
  table = per_case_surface(predictions, masks, NUM_CLASSES, num_processes=1)
  summary = summarize_surface(table)
  diagonal = np.hypot(12, 12)
  assert summary["hausdorff"] == pytest.approx((0 + diagonal) / 2)
  assert summary["normalized_surface_dice"] == pytest.approx(0.5)
  assert summary["hausdorff_pooled"] == pytest.approx((0 + diagonal) / 2)


def test_objects_of_absent_classes_are_left_out():
  lesion, nothing = np.zeros((9, 9), int), np.zeros((9, 9), int)
  lesion[2:5, 2:5] = 1
  found, missed, absent = (
    metrics.per_case_objects([p], [t], num_processes=1)[0]
    for p, t in ((lesion, lesion), (nothing, lesion), (nothing, nothing))
  )
  # Two classes, three images: found, missed, and one without any object.
  table = metrics.summarize_objects_of_classes([[found, absent, absent], [absent, missed, absent]])
  assert table["object_f1"] == pytest.approx((1 + 0 + 1) / 3)
  assert table["object_f1_pooled"] == pytest.approx((1 + 0) / 2)
  one_class = [found, missed, absent]
  assert metrics.summarize_objects_of_classes([one_class]) == pytest.approx(
    metrics.summarize_objects(one_class)
  )
  with pytest.raises(ValueError, match="matches: must have at least one class"):
    metrics.summarize_objects_of_classes([])


@pytest.mark.parametrize(
  "call",
  [
    lambda counts: metrics.summarize(counts, "nan"),
    lambda counts: metrics.class_balanced_dice(counts, absent="nan"),
    lambda counts: metrics.mean_over_classes(metrics.dice(counts), counts, "nan"),
  ],
)
def test_an_unknown_convention_is_refused(call):
  with pytest.raises(ValueError, match="absent: choose from left_out, one; got 'nan'"):
    call(_random_counts(0))
