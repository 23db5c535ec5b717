"""Every loss that another project has, with its gradient, on 500 images and 500 volumes.

The table is in `peer_table`. Both sides compute in float64, which shows an option of another
meaning: twice the smoothing changes a loss by less than the rounding of float32. How far float32 is
from the formula of a loss is bounded in `loss_laws_test`.

`python -m tests.losses.loss_peers_test` prints how far each loss is from its peers.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import losses, weighting
from tests.losses import peers
from tests.losses.peer_table import ROWS
from tests.metrics.random_masks import random_labels

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:monai")]
NUM_IMAGES = 125  # in each batch
BATCHES = {  # shapes and numbers of classes: few, since each is compiled
  "images": (((9, 11), 2), ((7, 8), 3), ((12, 6), 4), ((10, 9), 5)),
  "volumes": (((6, 7, 8), 2), ((5, 6, 4), 3), ((4, 7, 5), 4), ((6, 5, 4), 5)),
}


@functools.cache
def batch(shape, num_classes):
  """Returns logits, masks of each kind and pixels that count.

  The masks are of all kinds of `random_labels`: regions of several classes, background alone, one
  class of the foreground alone or with background, a single pixel. Logits are from undecided to
  nearly certain, and right or wrong.
  """
  seed = num_classes + 10 * len(shape)
  rng = np.random.default_rng(seed)
  labels = random_labels(seed, num_classes=num_classes, batch=NUM_IMAGES, shape=shape)
  one_hot = np.eye(num_classes)[labels]
  of_images = (NUM_IMAGES, *[1] * (len(shape) + 1))
  noise = rng.choice([0.5, 2.0], of_images) * rng.normal(size=one_hot.shape)
  shares = rng.dirichlet(np.ones(num_classes), labels.shape)
  beside = np.roll(one_hot, 1, axis=-1) * (rng.random(one_hot.shape) < 0.3)
  return {
    "logits": noise + rng.choice([-1.0, 0.0, 3.0, 6.0], of_images) * one_hot,
    "one_hot": one_hot,
    "several": np.maximum(one_hot, beside) * (rng.random((*labels.shape, 1)) < 0.8),
    "shares": 0.6 * one_hot + 0.4 * shares,
    "valid": (rng.random(labels.shape) < 0.8).astype(float),
  }


def _of_torch(peer, logits, masks, *valid):
  """Returns the values [B] of a peer, and the gradient of their sum, channels last."""
  x, g = (peers.torch.from_numpy(np.moveaxis(array, -1, 1)) for array in (logits, masks))
  x.requires_grad_(True)
  values = peer(x, g, *map(peers.torch.from_numpy, valid))
  values.sum().backward()
  return values.detach().numpy(), np.moveaxis(x.grad.numpy(), 1, -1)


def _of_jax(loss, logits, masks, *valid):
  """Returns the same of a loss of ours, or of optax."""
  options = {"valid": valid[0] > 0} if valid else {}

  def both(logits, masks, options):
    values, pull_back = jax.vjp(lambda x: loss(x, masks, **options), logits)
    return values, pull_back(jnp.ones_like(values))[0]

  with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):  # which optax needs
    return jax.jit(both)(logits, masks, options)


def _deviation(ours, theirs):
  """Returns the largest difference in an image, relative to the largest number there."""
  assert ours.shape == theirs.shape
  ours, theirs = (np.asarray(array).reshape(NUM_IMAGES, -1) for array in (ours, theirs))
  sizes = np.abs(theirs).max(1)
  least = 1e-3 * sizes.max() + 1e-9  # for images where all numbers are 0, or nearly
  return float((np.abs(ours - theirs).max(1) / np.maximum(sizes, least)).max())


def deviations(name, rank):
  """Returns how far the values and the gradients of a loss are from those of each peer."""
  row = ROWS[name]
  found = {project: np.zeros(2) for project in row.peers}
  for shape, num_classes in BATCHES[rank]:
    arrays = batch(shape, row.num_classes or num_classes)
    given = [arrays[key] for key in ("logits", row.masks, "valid")][: 3 if row.ignores else 2]
    ours = _of_jax(row.loss, *given)
    for project, peer in row.peers.items():
      theirs = (_of_jax if project == "optax" else _of_torch)(peer, *given)
      apart = [_deviation(*both) for both in zip(ours, theirs, strict=True)]
      found[project] = np.maximum(found[project], apart)  # it keeps nan
  return found


@pytest.mark.parametrize("rank", BATCHES)
@pytest.mark.parametrize("name", ROWS)
def test_agrees_with_its_peers(name, rank):
  found = deviations(name, rank)
  assert found
  for project, of_both in found.items():
    assert (of_both < ROWS[name].tolerance).all(), project


def test_smp_gives_absent_classes_no_loss_where_we_do():
  masks = np.eye(2, dtype=np.float32)[np.zeros([1, 20, 17], int)]
  x, labels = peers.torch.zeros(1, 2, 20, 17), peers.torch.from_numpy(masks.argmax(-1))
  ours = losses.soft_dice(jnp.zeros(masks.shape), jnp.array(masks))
  np.testing.assert_allclose(
    peers.smp.DiceLoss("multiclass")(x, labels), (1 - 2 * 0.5 / 1.5) / 2, rtol=1e-5
  )
  np.testing.assert_allclose(ours, [(1 - 2 * 0.5 / 1.5 + 1) / 2], rtol=1e-5)


def test_optax_generalized_dice_is_another_loss():
  """It is a weighted mean of Dice losses, not the ratio of weighted sums of Sudre et al."""
  masks = np.array([[0, 0, 0, 1]])[..., None] == [0, 1]  # all probabilities are 1/2
  logits, masks = jnp.zeros([1, 1, 4, 2]), jnp.array(masks[None], jnp.float32)
  with jax.numpy_rank_promotion("allow"):  # which optax needs
    theirs = peers.optax.losses.multiclass_generalized_dice_loss(logits, masks, smooth=1e-8)
  # Of 3 and 1 pixels: TP 3/2 and 1/2, Dice 3/5 and 1/3, weights 1/9 and 1.
  np.testing.assert_allclose(theirs, 1 - (3 / 5 / 9 + 1 / 3) / (1 / 9 + 1), rtol=1e-5)
  ours = losses.generalized_dice(logits, masks)
  np.testing.assert_allclose(ours, [1 - (3 / 9 + 1) / (5 / 9 + 3)], rtol=1e-4)


@pytest.mark.parametrize("rank", BATCHES)
def test_fixed_weights_make_dice_and_cross_entropy_of_monai_with_its_gradient(rank):
  compound = peers.monai.DiceCELoss(softmax=True, lambda_dice=1.0, lambda_ce=0.5)

  def loss_fn(logits, masks):
    parts = {"dice": losses.soft_dice, "cross_entropy": losses.cross_entropy}
    return {name: losses.reduce(part(logits, masks)) for name, part in parts.items()}, None

  method = weighting.fixed({"dice": 1.0, "cross_entropy": 0.5})
  compute = jax.jit(weighting.losses_and_gradients(loss_fn, method))
  state = method.init({"dice": 0.0, "cross_entropy": 0.0})
  for shape, num_classes in BATCHES[rank]:
    arrays = batch(shape, num_classes)
    given = arrays["logits"], arrays["one_hot"]
    result, _ = compute(given[0].astype(np.float32), state, given[1].astype(np.float32))
    expected, gradient = _of_torch(compound, *given)
    total = sum(result.weights[name] * result.losses[name] for name in result.losses)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    np.testing.assert_allclose(result.gradients, gradient, atol=1e-5 * np.abs(gradient).max())


if __name__ == "__main__":
  for row_name in ROWS:
    for row_rank in BATCHES:
      for peer_name, largest in deviations(row_name, row_rank).items():
        numbers = " ".join(f"{number:8.1e}" for number in largest)
        print(f"{row_name:35} {peer_name:6} {row_rank:8} {numbers}", flush=True)
