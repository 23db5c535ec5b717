"""The laws of DESIGN over all losses; a new loss is one line in LOSSES and one numpy formula."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import losses
from tests.losses import formulas, formulas_any_rank

EXCLUSIVE = {"exclusion": ((0, 1), (0, 2), (1, 2))}
NESTED = {"containment": ((2, 1),)}
NEWER = (
  "average_calibration_error",
  "dice_semimetric",
  "generalized_cross_entropy",
  "jaccard_metric",
  "matthews",
  "poly_cross_entropy",
  "skeleton_recall",
  "symmetric_cross_entropy",
  "top_k_cross_entropy",
  "unified_focal",
)


class Law(NamedTuple):
  """A loss and its formula, of which some laws are not true by design.

  `is_zero` at a perfect prediction; `is_ordered`: better for right predictions than for uniform
  ones, and for those than for wrong ones; `min_classes` of its logits.
  """

  loss: Callable[..., Any]
  formula: Callable[..., Any]
  is_zero: bool = True
  is_ordered: bool = True
  min_classes: int = 2


def _with(function, **options):
  return functools.partial(function, **options)


LOSSES = {
  "cross_entropy": Law(losses.cross_entropy, formulas.cross_entropy),
  # Smoothed labels ask for no certainty: to be certain is worse than to be undecided.
  "cross_entropy_smoothed": Law(
    _with(losses.cross_entropy, label_smoothing=0.2),
    _with(formulas.smoothed_cross_entropy, smoothing=0.2),
    is_zero=False,
    is_ordered=False,
  ),
  "weighted_cross_entropy": Law(
    _with(losses.weighted_cross_entropy, class_weights=(0.2, 1.0, 3.0)),
    _with(formulas.cross_entropy, weights=(0.2, 1.0, 3.0)),
  ),
  "binary_cross_entropy": Law(
    losses.binary_cross_entropy, formulas.binary_cross_entropy, min_classes=1
  ),
  "binary_cross_entropy_summed": Law(
    _with(losses.binary_cross_entropy, label_reduction="sum"),
    lambda x, g: formulas.binary_cross_entropy(x, g) * x.shape[-1],
    min_classes=1,
  ),
  "binary_cross_entropy_weighted": Law(
    _with(losses.binary_cross_entropy, positive_weight=(1.0, 2.0, 5.0)),
    _with(formulas.binary_cross_entropy, weights=np.array([1.0, 2.0, 5.0])),
    min_classes=1,
  ),
  "binary_cross_entropy_smoothed": Law(
    _with(losses.binary_cross_entropy, label_smoothing=0.2),
    lambda x, g: formulas.binary_cross_entropy(x, 0.8 * g + 0.1),
    is_zero=False,
    is_ordered=False,
    min_classes=1,
  ),
  "focal": Law(losses.focal, _with(formulas.focal, gamma=2, alpha=0.25)),
  "focal_per_class": Law(
    _with(losses.focal, gamma=3, alpha=(0.2, 0.5, 1.0)),
    _with(formulas.focal, gamma=3, alpha=np.array([0.2, 0.5, 1.0])),
  ),
  "focal_fractional": Law(
    _with(losses.focal, gamma=0.5, alpha=1.0), _with(formulas.focal, gamma=0.5, alpha=1.0)
  ),
  "dynamic_weighted_cross_entropy": Law(
    losses.dynamic_weighted_cross_entropy, formulas.dynamic_weighted_cross_entropy
  ),
  "dynamically_weighted_balanced": Law(
    losses.dynamically_weighted_balanced, formulas.dynamically_weighted_balanced
  ),
  "dynamically_weighted_balanced_counts": Law(
    _with(losses.dynamically_weighted_balanced, class_counts=(900, 90, 10), regularization=0.5),
    _with(formulas.dynamically_weighted_balanced, counts=(900, 90, 10), regularization=0.5),
  ),
  "ordered_weighted_cross_entropy": Law(
    losses.ordered_weighted_cross_entropy, formulas.ordered_weighted_cross_entropy
  ),
  "ordered_weighted_cross_entropy_worst": Law(
    _with(losses.ordered_weighted_cross_entropy, alpha=0.1),
    _with(formulas.ordered_weighted_cross_entropy, alpha=0.1),
  ),
  "soft_iou": Law(losses.soft_iou, _with(formulas.tversky, alpha=1, beta=1)),
  "soft_iou_foreground": Law(
    _with(losses.soft_iou, include_background=False),
    _with(formulas.tversky, alpha=1, beta=1, first=1),
  ),
  "soft_dice": Law(losses.soft_dice, formulas.dice),
  "soft_dice_multilabel": Law(
    _with(losses.soft_dice, activation="sigmoid"),
    _with(formulas.dice, activation=formulas.sigmoid),
    min_classes=1,
  ),
  # Equal logits are the first class to them, right or wrong.
  "hard_iou": Law(
    losses.hard_iou, formulas.hard(formulas.tversky, alpha=1, beta=1), is_ordered=False
  ),
  "hard_iou_foreground": Law(
    _with(losses.hard_iou, include_background=False),
    formulas.hard(formulas.tversky, alpha=1, beta=1, first=1),
    is_ordered=False,
  ),
  "hard_dice": Law(losses.hard_dice, formulas.hard(formulas.dice), is_ordered=False),
  "tversky": Law(losses.tversky, formulas.tversky),
  "tversky_multilabel_foreground": Law(
    _with(losses.tversky, activation="sigmoid", include_background=False),
    _with(formulas.tversky, activation=formulas.sigmoid, first=1),
    min_classes=1,
  ),
  "focal_tversky": Law(losses.focal_tversky, formulas.focal_tversky),
  "class_balanced_dice": Law(
    losses.class_balanced_dice, _with(formulas.class_balanced_dice, weigh=lambda part: 1 - part)
  ),
  "class_balanced_dice_inverse": Law(
    _with(losses.class_balanced_dice, class_weights="inverse"),
    _with(formulas.class_balanced_dice, weigh=lambda part: 1 / (part + 1e-6)),
  ),
  "generalized_dice": Law(losses.generalized_dice, formulas.generalized_dice),
  "generalized_dice_simple": Law(
    _with(losses.generalized_dice, class_weights="simple"),
    _with(formulas.generalized_dice, exponent=1),
  ),
  "generalized_dice_uniform": Law(
    _with(losses.generalized_dice, class_weights="uniform"),
    _with(formulas.generalized_dice, exponent=0),
  ),
  "lovasz_softmax": Law(losses.lovasz_softmax, formulas.lovasz_softmax),
  "lovasz_softmax_all": Law(
    _with(losses.lovasz_softmax, classes="all"),
    _with(formulas.lovasz_softmax, every_class=True),
  ),
  "lovasz_hinge": Law(losses.lovasz_hinge, formulas.lovasz_hinge, min_classes=1),
  "boundary": Law(losses.boundary, formulas.boundary, is_zero=False),
  "boundary_with_background": Law(
    _with(losses.boundary, include_background=True),
    _with(formulas.boundary, first=0),
    is_zero=False,
  ),
  "hausdorff_distance_transform": Law(losses.hausdorff_distance_transform, formulas.hausdorff),
  "hausdorff_distance_transform_linear": Law(
    _with(losses.hausdorff_distance_transform, alpha=1.0), _with(formulas.hausdorff, alpha=1.0)
  ),
  "cl_dice": Law(losses.cl_dice, formulas.cl_dice),
  **{name: Law(getattr(losses, name), getattr(formulas_any_rank, name)) for name in NEWER},
  # To be certain is punished.
  **{
    name: Law(
      getattr(losses, name), getattr(formulas_any_rank, name), is_zero=False, is_ordered=False
    )
    for name in ("margin_based_label_smoothing", "neighbor_aware_calibration")
  },
  "unified_focal_symmetric": Law(
    _with(losses.unified_focal, asymmetric=False),
    _with(formulas_any_rank.unified_focal, asymmetric=False),
  ),
  "topology": Law(losses.topology, formulas.topology, min_classes=1),
  "topology_exclusive": Law(
    _with(losses.topology, **EXCLUSIVE), _with(formulas.topology, **EXCLUSIVE), min_classes=1
  ),
  "topology_nested": Law(
    _with(losses.topology, **NESTED), _with(formulas.topology, **NESTED), min_classes=1
  ),
  # Constant probabilities are all that the geometry asks for, right or wrong.
  "geometry": Law(losses.geometry, formulas.geometry, is_ordered=False, min_classes=1),
  "geometry_nested": Law(
    _with(losses.geometry, **NESTED),
    _with(formulas.geometry, **NESTED),
    is_ordered=False,
    min_classes=1,
  ),
}
NOT_OF_PIXELS = {"supervised_contrastive", "triplet_hard"}  # tested in contrastive_test
HELPERS = {
  "balanced_class_weights", "blob", "class_sum", "deep_supervision", "distance_to", "has_partner",
  "label_blobs", "label_vectors", "one_hot_masks", "pixel_count", "pixel_mean", "pixel_sum",
  "reduce", "signed_distances", "soft_skeleton",
}  # fmt: skip
CLASSES = 3
over_losses = pytest.mark.parametrize("law", LOSSES.values(), ids=LOSSES)


# One shape for nearly all: what JAX compiles for one test then serves the others.
NUM_IMAGES, SIZE = 8, 6


def _random_masks(seed: int = 0) -> np.ndarray:
  """Returns one-hot masks [8, 6, 6, 3] of random pixels."""
  labels = np.random.default_rng(seed).integers(0, CLASSES, [NUM_IMAGES, SIZE, SIZE])
  return np.eye(CLASSES, dtype=np.float32)[labels]


def _all_masks() -> np.ndarray:
  """Returns one-hot masks [8, 6, 6, 3], two of a kind: nothing, all, one pixel, random pixels.

  A batch of all serves as well as one of each, because a loss has one value per image.
  """
  masks = _random_masks()
  labels = np.zeros([6, SIZE, SIZE], int)
  labels[2:4] = 1
  labels[4, 2, 3], labels[5, 0, 0] = 1, 2
  masks[:6] = np.eye(CLASSES)[labels]
  return masks


def _logits(
  seed: int = 0, shape=(NUM_IMAGES, SIZE, SIZE, CLASSES), scale: float = 2.0
) -> np.ndarray:
  return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def _by_formula(law, logits, masks) -> list[float]:
  images = zip(logits.astype(np.float64), masks.astype(np.float64), strict=True)
  return [law.formula(x, g) for x, g in images]


@over_losses
def test_equals_its_formula(law):
  logits, masks = _logits(1), _all_masks()
  value = law.loss(jnp.array(logits), jnp.array(masks))
  np.testing.assert_allclose(value, _by_formula(law, logits, masks), rtol=2e-5, atol=1e-6)


@pytest.mark.slow
@over_losses
def test_gradient_equals_finite_differences_in_float64(law):
  with jax.enable_x64(True):
    masks = _random_masks().astype(np.float64)
    logits, direction = _logits(2).astype(np.float64), _logits(3).astype(np.float64)
    value = lambda x: law.loss(jnp.asarray(x), jnp.asarray(masks)).sum()  # noqa: E731
    gradient = jax.grad(value)(logits)
    assert gradient.dtype == jnp.float64
    slope = np.vdot(np.asarray(gradient), direction)
    step = 1e-6
    measured = (value(logits + step * direction) - value(logits - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, measured, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(
      law.loss(jnp.asarray(logits), jnp.asarray(masks)), _by_formula(law, logits, masks), 1e-9
    )


@over_losses
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda d: d.__name__)
def test_value_and_gradient_are_finite(law, dtype):
  masks = jnp.array(_all_masks())
  largest = float(jnp.finfo(dtype).max)
  choices = [-np.inf, -largest, -90, 0, 90, largest, np.inf]
  extremes = np.random.default_rng(0).choice(choices, masks.shape)
  for logits in (_logits(4), _logits(4, scale=80), extremes, 0 * _logits()):
    values, pull_back = jax.vjp(lambda x: law.loss(x, masks), jnp.array(logits, dtype))
    (gradient,) = pull_back(jnp.ones_like(values))
    assert values.dtype == jnp.float32
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(jnp.isfinite(values), True)
    np.testing.assert_array_equal(jnp.isfinite(gradient).all((1, 2, 3)), True)


@over_losses
def test_perfect_prediction_is_better_than_uniform_and_wrong_is_worse(law):
  masks = jnp.array(_random_masks())
  signs = 2 * masks - 1
  perfect, uniform, wrong = (law.loss(scale * signs, masks) for scale in (30.0, 0.0, -30.0))
  if law.is_zero:
    np.testing.assert_allclose(perfect, 0, atol=1e-5)
  if law.is_ordered:
    assert (perfect < uniform).all()
    assert (uniform < wrong).all()


@over_losses
def test_permuting_the_batch_permutes_the_result(law):
  logits, masks = _logits(5), _all_masks()
  order = np.array([3, 0, 7, 4, 1, 6, 2, 5])
  permuted = law.loss(jnp.array(logits[order]), jnp.array(masks[order]))
  np.testing.assert_allclose(
    permuted, law.loss(jnp.array(logits), jnp.array(masks))[order], rtol=1e-6
  )


@pytest.mark.slow
@over_losses
def test_masks_may_have_any_dtype(law):
  logits, masks = jnp.array(_logits(6)), _random_masks()
  with jax.numpy_dtype_promotion("strict"):
    values = [
      law.loss(logits, jnp.array(masks, dtype)) for dtype in (bool, jnp.uint8, jnp.bfloat16)
    ]
  for value in values:
    np.testing.assert_array_equal(value, law.loss(logits, jnp.array(masks)))


@over_losses
@pytest.mark.parametrize("dtype", [bool, np.float32])
def test_ignored_pixels_are_as_if_cut_off(law, dtype):
  logits, masks = jnp.array(_logits(7)), jnp.array(_random_masks())
  valid = np.zeros([NUM_IMAGES, SIZE, SIZE], dtype)
  valid[:, 1:5, :3] = 1
  cut = law.loss(logits[:, 1:5, :3], masks[:, 1:5, :3])
  np.testing.assert_allclose(law.loss(logits, masks, valid=jnp.array(valid)), cut, rtol=1e-5)


@over_losses
def test_an_image_without_valid_pixels_has_loss_and_gradient_zero(law):
  logits, masks, valid = (
    jnp.array(_logits(8)),
    jnp.array(_random_masks()),
    jnp.zeros([NUM_IMAGES, SIZE, SIZE]),
  )
  values, pull_back = jax.vjp(lambda x: law.loss(x, masks, valid=valid), logits)
  np.testing.assert_array_equal(values, 0)
  np.testing.assert_array_equal(pull_back(jnp.ones(NUM_IMAGES))[0], 0)


@over_losses
@pytest.mark.parametrize(
  ("shapes", "message"),
  [
    (([2, 6, 6, 3], [2, 6, 6, 2], None), "masks: must have the shape of logits"),
    (([6, 3], [6, 3], None), "logits: must be"),
    (([2, 6, 6, 0], [2, 6, 6, 0], None), "logits: must be"),
    (([2, 6, 6, 3], [2, 6, 6, 3], [2, 6, 6, 1]), "valid: must be"),
  ],
)
def test_wrong_shapes_are_refused(law, shapes, message):
  logits, masks, valid = (None if shape is None else jnp.zeros(shape) for shape in shapes)
  with pytest.raises(ValueError, match=message):
    law.loss(logits, masks, valid=valid)


@pytest.mark.slow
@over_losses
def test_jit_equals_eager(law):
  logits, masks = jnp.array(_logits(9)), jnp.array(_all_masks())
  np.testing.assert_allclose(jax.jit(law.loss)(logits, masks), law.loss(logits, masks), rtol=1e-5)


@pytest.mark.parametrize(("name", "law"), LOSSES.items(), ids=LOSSES)
def test_one_channel_needs_a_loss_of_labels(name, law):
  logits = jnp.zeros([2, 6, 6, 1])
  if law.min_classes == 2:
    with pytest.raises(ValueError, match="C >= 2"):
      jax.eval_shape(_plain(law.loss), logits, logits)
  elif "foreground" not in name and "nested" not in name and "exclusive" not in name:
    assert jax.eval_shape(_plain(law.loss), logits, logits).shape == (2,)


def _plain(loss):
  """Returns a loss without the options that are one per class."""
  if not isinstance(loss, functools.partial):
    return loss
  kept = {k: v for k, v in loss.keywords.items() if not isinstance(v, tuple)}
  return functools.partial(loss.func, **kept)


@pytest.mark.parametrize("kind", ["none", "all", "random"])
@pytest.mark.parametrize("name", [name for name, law in LOSSES.items() if law.min_classes == 1])
def test_losses_of_labels_take_any_combination_of_them(name, kind):
  law, rng = LOSSES[name], np.random.default_rng(3)
  masks = {"none": np.zeros, "all": np.ones}.get(kind, lambda s: rng.integers(0, 2, s))(
    [NUM_IMAGES, SIZE, SIZE, CLASSES]
  ).astype(np.float32)
  logits = _logits(11)
  values, pull_back = jax.vjp(lambda x: law.loss(x, jnp.array(masks)), jnp.array(logits))
  assert jnp.isfinite(pull_back(jnp.ones(NUM_IMAGES))[0]).all()
  if kind == "all" and name == "topology_exclusive":  # no pixel whose labels the table allows
    np.testing.assert_array_equal(values, 0)
  else:
    np.testing.assert_allclose(values, _by_formula(law, logits, masks), rtol=2e-5, atol=1e-6)


@pytest.mark.slow
@over_losses
def test_deep_supervision_takes_it_to_two_resolutions(law):
  masks = jnp.array(_random_masks())
  valid = jnp.array(np.random.default_rng(4).random(masks.shape[:3]) < 0.7)
  fine, coarse = jnp.array(_logits(12)), jnp.array(_logits(13, (NUM_IMAGES, 3, 3, CLASSES)))
  loss = losses.deep_supervision(law.loss, weights=(0.75, 0.25))
  expected = 0.75 * law.loss(fine, masks, valid=valid) + 0.25 * law.loss(
    coarse, masks[:, 1::2, 1::2], valid=valid[:, 1::2, 1::2]
  )
  np.testing.assert_allclose(loss([fine, coarse], masks, valid=valid), expected, rtol=1e-6)


def test_every_public_loss_is_in_the_table():
  public = set(losses.__all__)
  assert public >= HELPERS | NOT_OF_PIXELS
  assert public - HELPERS - NOT_OF_PIXELS <= set(LOSSES)
