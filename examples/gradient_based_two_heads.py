"""A network with two heads learns a mask and its area, whose losses differ in scale and in unit.

The squared error of the area, in pixels, is thousands of times larger than the cross-entropy of the
mask, which it drowns in the plain sum. `nash_mtl` compares the gradients of both, and does not
change where a loss is multiplied by a number. Each loss reads its own head, so they have no logits
in common: `gram_at="params"` compares gradients of the parameters, at one backward pass for each
loss. Run it with `python examples/gradient_based_two_heads.py`.
"""

import flax.linen as nn
import jax
import numpy as np
import optax

from mlseg import losses, metrics
from mlseg import weighting as w


class Network(nn.Module):
  """A common trunk, and two heads: images [B, H, W, 1] to logits [B, H, W, 2] and areas [B]."""

  @nn.compact
  def __call__(self, images):  # noqa: D102
    hidden = nn.relu(nn.Conv(8, (3, 3))(images))
    hidden = nn.relu(nn.Conv(16, (3, 3))(hidden))
    areas = nn.Dense(1)(nn.relu(nn.Dense(16)(hidden.mean((1, 2)))))
    return nn.Conv(2, (3, 3))(hidden), areas[:, 0]


def make_pictures(seed, number):
  """Returns noisy discs [N, 24, 24, 1], their labels [N, 24, 24] and areas [N] in pixels."""
  rng = np.random.default_rng(seed)
  centers, radii = rng.uniform(8, 16, (2, number, 1, 1)), rng.uniform(2, 7, (number, 1, 1))
  labels = (np.linalg.norm(np.mgrid[:24, :24][:, None] - centers, axis=0) < radii).astype(np.int32)
  images = (labels + rng.normal(0, 0.6, labels.shape))[..., None].astype(np.float32)
  return images, labels, labels.sum((1, 2))


def loss_fn(params, images, labels, areas):
  """Returns both losses of a batch, and the outputs of both heads beside them."""
  logits, found = network.apply(params, images)
  mask = losses.reduce(losses.cross_entropy(logits, jax.nn.one_hot(labels, 2)))
  return {"area": ((found - areas) ** 2).mean(), "mask": mask}, (logits, found)


network, optimizer = Network(), optax.adam(optax.cosine_decay_schedule(1e-2, 250))
update, test = jax.jit(optimizer.update), make_pictures(seed=1000, number=64)
start = jax.jit(network.init)(jax.random.key(0), test[0])
for name, method in {"plain sum": w.fixed(), "nash_mtl": w.nash_mtl()}.items():
  compute = jax.jit(w.losses_and_gradients(loss_fn, method, gram_at="params"))
  params, opt_state, state = start, optimizer.init(start), method.init({"area": 0.0, "mask": 0.0})
  for seed in range(250):
    result, state = compute(params, state, *make_pictures(seed, 8))
    updates, opt_state = update(result.gradients, opt_state)
    params = optax.apply_updates(params, updates)
  logits, found = jax.jit(loss_fn)(params, *test)[1]
  dice = metrics.dice(metrics.confusion_counts(logits.argmax(-1), test[1], 2))[:, 1].mean()
  print(f"{name:9} Dice {dice:.3f}, area off by {np.abs(found - test[2]).mean():.1f} pixels")
print(*(f"{name} {result.losses[name]:.3f} × {result.weights[name]:.4f}" for name in result.losses))
