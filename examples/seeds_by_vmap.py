"""Eight seeds train at once, by `jax.vmap` over the parameters and the states of the weighting.

A weighting's state is a tuple of arrays of fixed shapes, so one compiled program serves all seeds:
each has its own start, its own batches, and weights that follow its own losses. The last line
checks that a seed trained alone ends the same. Run it with `python examples/seeds_by_vmap.py`.
"""

import flax.linen as nn
import jax
import numpy as np
import optax

from mlseg import losses, metrics
from mlseg import weighting as w

LOSSES = {"dice": losses.soft_dice, "entropy": losses.cross_entropy, "tversky": losses.tversky}


def make_pictures(number):
  """Returns the 7 × 7 neighbours of each pixel [N, 16, 16, 49] of noisy squares, and labels."""
  rng = np.random.default_rng(0)
  offsets = np.mgrid[:16, :16][:, None] - rng.integers(2, 9, (2, number, 1, 1))
  labels = ((offsets >= 0) & (offsets < 5)).all(0).astype(np.int32)
  images = np.pad(labels + rng.normal(0, 0.6, labels.shape), [(0, 0), (3, 3), (3, 3)])
  windows = np.lib.stride_tricks.sliding_window_view(images, (7, 7), (1, 2))
  return windows.reshape(number, 16, 16, 49).astype(np.float32), labels


def loss_fn(params, batch):
  """Returns the losses of the pictures with these numbers, and nothing beside them."""
  logits, masks = network.apply(params, patches[batch]), jax.nn.one_hot(labels[batch], 2)
  return {name: losses.reduce(loss(logits, masks)) for name, loss in LOSSES.items()}, None


def train(key):
  """Returns the weights of the last of 200 steps, and the Dice on the pictures kept for it."""

  def step(carry, key):
    params, opt_state, state = carry
    result, state = compute(params, state, jax.random.choice(key, 192, (8,)))
    updates, opt_state = optimizer.update(result.gradients, opt_state)
    return (optax.apply_updates(params, updates), opt_state, state), result.weights

  params = network.init(key, patches[:1])
  start = params, optimizer.init(params), method.init(dict.fromkeys(LOSSES, 0.0))
  (params, _, _), weights = jax.lax.scan(step, start, jax.random.split(key, 200))
  predictions = network.apply(params, patches[192:]).argmax(-1)
  counts = metrics.confusion_counts(predictions, labels[192:], 2)
  return {name: value[-1] for name, value in weights.items()}, metrics.dice(counts)[:, 1].mean()


network = nn.Sequential([nn.Dense(16), nn.relu, nn.Dense(2)])
method, optimizer = w.chain(w.dynamic_memory_fusion("mad"), w.ema(0.9)), optax.adam(1e-2)
compute = w.losses_and_gradients(loss_fn, method)
patches, labels = jax.device_put(make_pictures(256))
keys = jax.random.split(jax.random.key(0), 8)
weights, dice = jax.device_get(jax.jit(jax.vmap(train))(keys))
print(*(f"weights of {name:7} {values.round(2)}" for name, values in weights.items()), sep="\n")
print(f"Dice: {metrics.format_mean_and_deviation(100 * dice)} % over {len(dice)} seeds")
print(f"seed 3 alone differs by {abs(jax.jit(train)(keys[3])[1] - dice[3]):.4f}")
