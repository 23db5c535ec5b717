"""An Equinox network finds thin vessels, under cross-entropy, Dice and the centre-line Dice.

`eqx.partition` splits a model into its arrays, which are differentiated, and everything else, which
`eqx.combine` puts back inside the loss function. The running statistics of the batch normalisation
are an `eqx.nn.State`, which the loss function takes as an argument and returns beside the losses.
Run it with `python examples/equinox_model.py`; Equinox comes with `pip install equinox`.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlseg import losses, metrics
from mlseg import weighting as w

LOSSES = {"centre": losses.cl_dice, "dice": losses.soft_dice, "entropy": losses.cross_entropy}


def make_network(key):
  """Returns a network from an image [1, H, W] to logits [2, H, W], as Equinox has its axes."""
  keys, rectify = jax.random.split(key), eqx.nn.Lambda(jax.nn.relu)
  first = eqx.nn.Conv2d(1, 16, 5, padding=2, key=keys[0])
  norm = eqx.nn.BatchNorm(16, axis_name="batch", mode="batch", momentum=0.9)
  return eqx.nn.Sequential([first, norm, rectify, eqx.nn.Conv2d(16, 2, 5, padding=2, key=keys[1])])


def make_pictures(seed, number):
  """Returns images [N, 32, 32] of two noisy curves each, and their labels."""
  rng, (y, x) = np.random.default_rng(seed), np.mgrid[:32, :32]
  phases, middles = rng.uniform(0, 6.3, (number, 2, 1, 1)), rng.uniform(8, 24, (number, 2, 1, 1))
  labels = (np.abs(y - middles - 5 * np.sin(x / 5 + phases)) < 1.2).any(1).astype(np.int32)
  return (labels + rng.normal(0, 0.5, labels.shape)).astype(np.float32), labels


def apply(model, statistics, images):
  """Returns logits [B, H, W, 2], and the running statistics after the images [B, H, W]."""
  over_batch = jax.vmap(model, in_axes=(0, None), out_axes=(0, None), axis_name="batch")
  logits, statistics = over_batch(images[:, None], statistics)
  return jnp.moveaxis(logits, 1, -1), statistics


def loss_fn(arrays, statistics, images, labels):
  """Returns the losses of a batch, and the running statistics after it."""
  logits, statistics = apply(eqx.combine(arrays, static), statistics, images)
  masks = jax.nn.one_hot(labels, 2)
  return {name: losses.reduce(loss(logits, masks)) for name, loss in LOSSES.items()}, statistics


@jax.jit
def step(arrays, statistics, opt_state, state, images, labels):
  """Returns the arrays, statistics and states after one more batch, and what was computed."""
  result, state = compute(arrays, state, statistics, images, labels)
  updates, opt_state = optimizer.update(result.gradients, opt_state, arrays)
  return eqx.apply_updates(arrays, updates), result.aux, opt_state, state, result


model, statistics = eqx.nn.make_with_state(make_network)(jax.random.key(0))
arrays, static = eqx.partition(model, eqx.is_inexact_array)
method, optimizer = w.coefficient_of_variation(), optax.adam(1e-2)
compute = w.losses_and_gradients(loss_fn, method)
carry = arrays, statistics, optimizer.init(arrays), method.init(dict.fromkeys(LOSSES, 0.0))
for seed in range(150):
  *carry, result = step(*carry, *make_pictures(seed, 8))
print(*(f"{name} {result.losses[name]:.3f} × {result.weights[name]:.2f}" for name in LOSSES))
images, labels = make_pictures(seed=1000, number=64)
trained = eqx.nn.inference_mode(eqx.combine(carry[0], static))  # it reads its running statistics
logits, _ = eqx.filter_jit(apply)(trained, carry[1], images)
counts = metrics.confusion_counts(logits.argmax(-1), labels, 2)
print(f"Dice on 64 new pictures: {metrics.summarize(counts)['dice']:.3f}")
