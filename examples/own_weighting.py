"""Your own weighting is two pure functions and a state, and it composes like all the others.

This one divides each loss by a moving average of its gradient's length, whose square is on the
diagonal of the gradients' Gram matrix. `SplitLoss` keeps the network and the losses apart, so that
the matrix is taken at the logits. Run it with `python examples/own_weighting.py`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from mlseg import losses, metrics
from mlseg import weighting as w


def inverse_length(decay=0.9):
  """Returns the weighting w_k = 1 / a_k, a_k being a moving average of ‖g_k‖."""

  def init(values):  # the state is a pytree of arrays of fixed shapes: here the averages [K]
    return jnp.zeros(ravel_pytree(values)[0].shape)

  def update(values, state, *, gram=None, **extra):
    lengths = decay * state + (1 - decay) * jnp.sqrt(jnp.diag(gram))
    state = jnp.where(jnp.isfinite(lengths).all(), lengths, state)
    return ravel_pytree(values)[1](1 / jnp.maximum(state, 1e-12)), state

  return w.LossWeighting(init, update, needs_gram=True)


def make_pictures(seed, number):
  """Returns small noisy discs: images [N, 32, 32, 1] and labels [N, 32, 32]."""
  rng = np.random.default_rng(seed)
  offsets = np.mgrid[:32, :32][:, None] - rng.uniform(6, 26, (2, number, 1, 1))
  labels = (np.linalg.norm(offsets, axis=0) < 3).astype(np.int32)
  return (labels + rng.normal(0, 0.6, labels.shape))[..., None].astype(np.float32), labels


def measure(logits, images, labels):
  """Returns a loss that is a mean over the batch, and one that is a sum over all its pixels."""
  entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()
  return {"dice": losses.soft_dice(logits, jax.nn.one_hot(labels, 2)).mean(), "ce": entropy}


network = nn.Sequential([nn.Conv(8, (5, 5)), nn.relu, nn.Conv(2, (3, 3))])
split = w.SplitLoss(lambda params, images, labels: (network.apply(params, images), None), measure)
optimizer, (images, labels) = optax.adam(2e-2), make_pictures(seed=1000, number=64)
start, update = jax.jit(network.init)(jax.random.key(0), images), jax.jit(optimizer.update)
for method in (w.fixed(), w.chain(inverse_length(), w.rescale("sum_to_one"))):
  compute = jax.jit(w.losses_and_gradients(split, method, gram_at="logits"))
  params, opt_state, state = start, optimizer.init(start), method.init({"dice": 0.0, "ce": 0.0})
  for seed in range(150):
    result, state = compute(params, state, *make_pictures(seed, 8))
    updates, opt_state = update(result.gradients, opt_state)
    params = optax.apply_updates(params, updates)
  counts = metrics.confusion_counts(network.apply(params, images).argmax(-1), labels, 2)
  terms = (f"{k} {result.losses[k]:.3f} × {result.weights[k]:.4f}" for k in result.losses)
  print(*terms, f"Dice of new pictures {metrics.summarize(counts)['dice']:.3f}", sep=", ")
