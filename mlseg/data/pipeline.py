"""Batches as pure functions of the step, inside the compiled program, so a run resumes exactly."""

import jax
import jax.numpy as jnp
import numpy as np


def to_float(images: jax.Array | np.ndarray) -> jax.Array:
  """Returns uint8 images as float32 in [0, 1]."""
  return jnp.asarray(images).astype(jnp.float32) / 255.0


def batch_indices(cases: jax.Array, key: jax.Array, step: jax.Array, batch_size: int) -> jax.Array:
  """Returns the cases of the batch of a step.

  Every epoch has its own permutation of the cases. Cases after its last full batch are not used.

  Args:
    cases: [n] int32, the cases to draw from; n >= batch_size.
    key: the same for all steps.
    step: [] int32, counted from 0.
    batch_size: B.

  Returns:
    [B] int32.
  """
  steps_per_epoch = cases.shape[0] // batch_size
  epoch, index = step // steps_per_epoch, step % steps_per_epoch
  order = epoch_order(cases, key, epoch)
  return jax.lax.dynamic_slice_in_dim(order, index * batch_size, batch_size)


def epoch_order(cases: jax.Array, key: jax.Array, epoch: jax.Array) -> jax.Array:
  """Returns the cases [n] in the order of an epoch."""
  return jax.random.permutation(jax.random.fold_in(key, epoch), cases)
