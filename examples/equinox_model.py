"""An Equinox network finds thin vessels, under cross-entropy, Dice and the centre-line Dice.

`eqx.partition` splits a model into its arrays, which are differentiated, and everything else, which
`eqx.combine` puts back inside the loss function. Run it with `python examples/equinox_model.py`;
Equinox comes with `pip install equinox`.
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
  return eqx.nn.Sequential([first, rectify, eqx.nn.Conv2d(16, 2, 5, padding=2, key=keys[1])])


def make_pictures(seed, number):
  """Returns images [N, 32, 32] of two noisy curves each, and their labels."""
  rng, (y, x) = np.random.default_rng(seed), np.mgrid[:32, :32]
  phases, middles = rng.uniform(0, 6.3, (number, 2, 1, 1)), rng.uniform(8, 24, (number, 2, 1, 1))
  labels = (np.abs(y - middles - 5 * np.sin(x / 5 + phases)) < 1.2).any(1).astype(np.int32)
  return (labels + rng.normal(0, 0.5, labels.shape)).astype(np.float32), labels


def loss_fn(arrays, images, labels):
  """Returns the losses of a batch, and the logits [B, H, W, 2] beside them."""
  logits = jnp.moveaxis(jax.vmap(eqx.combine(arrays, static))(images[:, None]), 1, -1)
  masks = jax.nn.one_hot(labels, 2)
  return {name: losses.reduce(loss(logits, masks)) for name, loss in LOSSES.items()}, logits


@jax.jit
def step(arrays, opt_state, state, images, labels):
  """Returns the arrays and states after one more batch, and what was computed."""
  result, state = compute(arrays, state, images, labels)
  updates, opt_state = optimizer.update(result.gradients, opt_state, arrays)
  return eqx.apply_updates(arrays, updates), opt_state, state, result


arrays, static = eqx.partition(make_network(jax.random.key(0)), eqx.is_inexact_array)
method, optimizer = w.coefficient_of_variation(), optax.adam(1e-2)
compute = w.losses_and_gradients(loss_fn, method)
carry = arrays, optimizer.init(arrays), method.init(dict.fromkeys(LOSSES, 0.0))
for seed in range(150):
  *carry, result = step(*carry, *make_pictures(seed, 8))
print(*(f"{name} {result.losses[name]:.3f} × {result.weights[name]:.2f}" for name in LOSSES))
images, labels = make_pictures(seed=1000, number=64)
logits = jax.jit(loss_fn)(carry[0], images, labels)[1]
counts = metrics.confusion_counts(logits.argmax(-1), labels, 2)
print(f"Dice on 64 new pictures: {metrics.summarize(counts)['dice']:.3f}")
