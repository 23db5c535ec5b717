"""A plain optax loop trains a network under three losses, which a weighting balances.

`losses_and_gradients` computes the losses, their weights, and the gradient of the weighted sum in
one backward pass; what follows is an ordinary optax step. Where a step has the gradients of all
losses anyway, `optax.chain(w.combine_gradients(method, K), optax.adam(3e-3))` makes the method a
part of the optimiser. Run it with `python examples/optax_loop.py`.
"""

import flax.linen as nn
import jax
import numpy as np
import optax

from mlseg import losses, metrics
from mlseg import weighting as w

LOSSES = {"dice": losses.soft_dice, "entropy": losses.cross_entropy, "iou": losses.soft_iou}


def make_pictures(seed, number):
  """Returns dark ellipses in speckle: images [N, 32, 32, 1] and labels [N, 32, 32]."""
  rng = np.random.default_rng(seed)
  centers, radii = rng.uniform(10, 22, (2, number, 1, 1)), rng.uniform(3, 8, (2, number, 1, 1))
  offsets = (np.mgrid[:32, :32][:, None] - centers) / radii
  labels = ((offsets**2).sum(0) < 1).astype(np.int32)
  speckle = rng.gamma(3.0, 1 / 3.0, labels.shape) * np.where(labels, 0.5, 1.0)
  return speckle[..., None].astype(np.float32), labels


def loss_fn(params, images, labels):
  """Returns the losses of a batch, and nothing beside them."""
  logits, masks = network.apply(params, images), jax.nn.one_hot(labels, 2)
  return {name: losses.reduce(loss(logits, masks)) for name, loss in LOSSES.items()}, None


@jax.jit
def step(params, opt_state, state, images, labels):
  """Returns the next parameters, the next states of optimiser and weighting, and the losses."""
  result, state = compute(params, state, images, labels)
  updates, opt_state = optimizer.update(result.gradients, opt_state, params)
  return optax.apply_updates(params, updates), opt_state, state, result


conv = nn.Conv(16, (3, 3)), nn.relu, nn.Conv(16, (3, 3), kernel_dilation=3), nn.relu
network = nn.Sequential([*conv, nn.Conv(2, (3, 3))])
method = w.chain(w.dynamic_memory_fusion("mad", min_history=20), w.ema(0.9))
compute = w.losses_and_gradients(loss_fn, method)
optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))
images, labels = make_pictures(seed=0, number=256)
params = jax.jit(network.init)(jax.random.key(0), images[:1])
opt_state, state = optimizer.init(params), method.init(dict.fromkeys(LOSSES, 0.0))
for number in range(200):
  batch = np.random.default_rng(number).choice(256, 16, replace=False)
  params, opt_state, state, result = step(params, opt_state, state, images[batch], labels[batch])
  if number in (0, 49, 199):
    terms = (f"{name} {result.losses[name]:.3f} × {result.weights[name]:.2f}" for name in LOSSES)
    print(f"step {number + 1:3}:", ", ".join(terms))
images, labels = make_pictures(seed=1, number=64)
counts = metrics.confusion_counts(jax.jit(network.apply)(params, images).argmax(-1), labels, 2)
print(f"Dice on 64 new pictures: {metrics.summarize(counts)['dice']:.3f}")
