"""Losses against other implementations of the same formulas, on 120 random batches each."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import losses, weighting
from tests.losses import peers
from tests.metrics.random_masks import random_labels

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:monai")]
NUM_CASES = 120
# Few different shapes, since each is compiled: 2 to 5 classes in batches of 1 to 4.
SHAPES = ((2, 1), (2, 4), (3, 2), (3, 3), (4, 1), (4, 4), (5, 2), (5, 3))


@functools.cache
def _cases():
  """Returns (logits, masks) of all cases; logits from undecided to nearly certain."""
  cases = []
  for seed in range(NUM_CASES):
    num_classes, batch = SHAPES[seed % len(SHAPES)]
    labels = random_labels(seed, num_classes=num_classes, batch=batch, shape=(20, 17))
    rng = np.random.default_rng(seed)
    masks = np.eye(num_classes, dtype=np.float32)[labels]
    noise = rng.normal(0, rng.choice([0.5, 2.0]), masks.shape)
    logits = (noise + rng.choice([-1.0, 0.0, 3.0]) * masks).astype(np.float32)
    cases.append((logits, masks))
  return cases


def _exclusive(loss):
  """Returns the topology loss of labels of which each pixel has exactly one."""

  def exclusive(logits, masks):
    pairs = tuple(itertools.combinations(range(logits.shape[-1]), 2))
    return loss(logits, masks, exclusion=pairs, need_label=True)

  return exclusive


PAIRS = {
  "cross_entropy/torch": (losses.cross_entropy, peers.cross_entropy),
  "cross_entropy/optax": (losses.cross_entropy, peers.optax_cross_entropy),
  "cross_entropy_smoothed/torch": (
    functools.partial(losses.cross_entropy, label_smoothing=0.1),
    functools.partial(peers.cross_entropy, smoothing=0.1),
  ),
  "cross_entropy_smoothed/optax": (
    functools.partial(losses.cross_entropy, label_smoothing=0.1),
    functools.partial(peers.optax_smoothed_cross_entropy, smoothing=0.1),
  ),
  "binary_cross_entropy_smoothed/optax": (
    functools.partial(losses.binary_cross_entropy, label_smoothing=0.1),
    functools.partial(peers.optax_smoothed_binary_cross_entropy, smoothing=0.1),
  ),
  "binary_cross_entropy/optax": (losses.binary_cross_entropy, peers.optax_binary_cross_entropy),
  "binary_cross_entropy/smp": (losses.binary_cross_entropy, peers.smp_binary_cross_entropy),
  "binary_cross_entropy/torch": (
    functools.partial(losses.binary_cross_entropy, positive_weight=3.0),
    functools.partial(peers.binary_cross_entropy, weight=3.0),
  ),
  "dynamic_weighted_cross_entropy/torch": (
    losses.dynamic_weighted_cross_entropy,
    peers.inverse_frequency_cross_entropy,
  ),
  "focal/monai": (
    functools.partial(losses.focal, gamma=2.0, alpha=0.25),
    functools.partial(peers.focal, gamma=2.0, alpha=0.25),
  ),
  "focal_fractional/monai": (
    functools.partial(losses.focal, gamma=1.5, alpha=1.0),
    functools.partial(peers.focal, gamma=1.5, alpha=1.0),
  ),
  "soft_dice/monai": (losses.soft_dice, peers.dice),
  "soft_dice_sigmoid/monai": (
    functools.partial(losses.soft_dice, activation="sigmoid"),
    functools.partial(peers.dice, activation="sigmoid"),
  ),
  "soft_dice_foreground/monai": (
    functools.partial(losses.soft_dice, include_background=False),
    functools.partial(peers.dice, include_background=False),
  ),
  "soft_dice/optax": (losses.soft_dice, peers.optax_dice),
  "soft_iou/monai": (losses.soft_iou, functools.partial(peers.dice, jaccard=True)),
  "tversky/monai": (
    functools.partial(losses.tversky, alpha=0.7, beta=0.3),
    functools.partial(peers.tversky, alpha=0.7, beta=0.3),
  ),
  "class_balanced_dice/monai": (losses.class_balanced_dice, peers.class_balanced_dice),
  "generalized_dice_square/monai": (
    functools.partial(losses.generalized_dice, smooth=peers.TINY),
    functools.partial(peers.generalized_dice, w_type="square"),
  ),
  "generalized_dice_simple/monai": (
    functools.partial(losses.generalized_dice, smooth=peers.TINY, class_weights="simple"),
    functools.partial(peers.generalized_dice, w_type="simple"),
  ),
  "lovasz_softmax/smp": (losses.lovasz_softmax, peers.lovasz_softmax),
  "lovasz_hinge/smp": (losses.lovasz_hinge, peers.lovasz_hinge),
  "boundary/monai": (
    losses.boundary,
    functools.partial(peers.boundary, include_background=False),
  ),
  "boundary_with_background/monai": (
    functools.partial(losses.boundary, include_background=True),
    functools.partial(peers.boundary, include_background=True),
  ),
  "hausdorff_distance_transform/monai": (
    losses.hausdorff_distance_transform,
    functools.partial(peers.hausdorff, alpha=2.0),
  ),
  "cl_dice/monai": (losses.cl_dice, functools.partial(peers.cl_dice, iterations=3)),
  "cl_dice_thick/monai": (
    functools.partial(losses.cl_dice, iterations=6),
    functools.partial(peers.cl_dice, iterations=6),
  ),
  "topology_exclusive/torch": (_exclusive(losses.topology), peers.cross_entropy),
  "topology_free/torch": (losses.topology, peers.sum_of_binary_cross_entropies),
}


@pytest.mark.parametrize(("loss", "peer"), PAIRS.values(), ids=PAIRS)
def test_agrees_with_a_peer(loss, peer):
  compiled = jax.jit(loss)
  for seed, (logits, masks) in enumerate(_cases()):
    values = compiled(logits, masks)
    np.testing.assert_allclose(
      values, peer(logits, masks), rtol=1e-5, atol=1e-6, err_msg=f"case {seed}"
    )


@pytest.mark.parametrize("weights", [(0.3, 4.0), (1.0, 0.0)])
def test_weighted_cross_entropy_agrees_with_torch(weights):
  loss = jax.jit(functools.partial(losses.weighted_cross_entropy, class_weights=weights))
  for logits, masks in (case for case in _cases() if case[0].shape[-1] == 2):
    expected = peers.cross_entropy(logits, masks, weights)
    np.testing.assert_allclose(loss(logits, masks), expected, rtol=1e-5, atol=1e-7)


def _on_present_classes(per_class, masks):
  """Returns the mean over the classes that each image has."""
  present = masks.any((1, 2))
  return (per_class * present).sum(-1) / present.sum(-1)


def _each_class(loss, logits, masks):
  """Returns a loss of labels for each class by itself, [B, C], from softmax probabilities."""
  p = np.asarray(jax.nn.softmax(logits.astype(np.float64)))
  inverse = np.log(p) - np.log1p(-p)  # the logit of which the sigmoid is p
  classes = range(p.shape[-1])
  return np.stack([loss(inverse[..., [c]], masks[..., [c]]) for c in classes], axis=-1)


@pytest.mark.parametrize(
  ("loss", "peer"),
  [
    (losses.soft_dice, peers.smp_dice),
    (losses.soft_iou, peers.smp_iou),
    (
      functools.partial(losses.focal_tversky, alpha=0.3, beta=0.7, gamma=4 / 3),
      functools.partial(peers.focal_tversky, alpha=0.3, beta=0.7, gamma=4 / 3),
    ),
  ],
  ids=["soft_dice", "soft_iou", "focal_tversky"],
)
def test_overlap_of_present_classes_agrees_with_smp(loss, peer):
  compiled = jax.jit(functools.partial(loss, activation="sigmoid"))
  for seed, (logits, masks) in enumerate(_cases()):
    with jax.enable_x64(True):
      values = _on_present_classes(_each_class(compiled, logits, masks), masks)
    expected = peer(logits, masks)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-7, err_msg=f"case {seed}")


def test_smp_gives_absent_classes_no_loss_where_we_do():
  masks = np.eye(2, dtype=np.float32)[np.zeros([1, 20, 17], int)]
  logits = np.zeros_like(masks)
  expected = peers.smp.DiceLoss("multiclass")(peers._t(logits), peers._labels(masks))
  ours = losses.soft_dice(jnp.array(logits), jnp.array(masks))
  np.testing.assert_allclose(float(expected), (1 - 2 * 0.5 / 1.5) / 2, rtol=1e-5)
  np.testing.assert_allclose(ours, [(1 - 2 * 0.5 / 1.5 + 1) / 2], rtol=1e-5)


def test_optax_generalized_dice_is_another_loss():
  """It is a weighted mean of Dice losses, not the ratio of weighted sums of Sudre et al."""
  logits, masks = _cases()[4]
  weights = 1 / (masks.sum((0, 1, 2)) ** 2 + 1e-7)
  per_class = 1 - peers._dice(logits, masks).astype(np.float64)
  with jax.numpy_rank_promotion("allow"):  # optax needs it
    theirs = peers.optax.losses.multiclass_generalized_dice_loss(logits, masks, smooth=1e-8)
  np.testing.assert_allclose(theirs, (weights * (1 - per_class)).sum() / weights.sum(), rtol=1e-3)
  ours = losses.generalized_dice(jnp.array(logits), jnp.array(masks), smooth=1e-8)
  assert abs(float(ours[0]) - float(theirs)) > 1e-3


def test_fixed_weights_make_dice_and_cross_entropy_of_monai_with_its_gradient():
  compound = peers.monai.DiceCELoss(
    softmax=True, lambda_dice=1.0, lambda_ce=0.5, smooth_nr=1e-5, smooth_dr=1e-5
  )

  def loss_fn(logits, masks):
    parts = {"dice": losses.soft_dice, "cross_entropy": losses.cross_entropy}
    return {name: losses.reduce(part(logits, masks)) for name, part in parts.items()}, None

  method = weighting.fixed({"dice": 1.0, "cross_entropy": 0.5})
  compute = jax.jit(weighting.losses_and_gradients(loss_fn, method))
  state = method.init({"dice": 0.0, "cross_entropy": 0.0})
  for logits, masks in _cases():
    result, _ = compute(logits, state, masks)
    total = sum(result.weights[name] * result.losses[name] for name in result.losses)
    x = peers._t(logits).requires_grad_(True)
    expected = compound(x, peers._t(masks))
    expected.backward()
    np.testing.assert_allclose(total, expected.detach(), rtol=1e-5)
    gradient = np.moveaxis(x.grad.numpy(), 1, -1)
    np.testing.assert_allclose(result.gradients, gradient, rtol=1e-4, atol=1e-8)
