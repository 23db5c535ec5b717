"""Batches as pure functions of the step, inside the compiled program, so a run resumes exactly."""

import jax
import jax.numpy as jnp
import numpy as np


def to_float(images: jax.Array | np.ndarray) -> jax.Array:
  """Returns uint8 images as float32 in [0, 1]."""
  return jnp.asarray(images).astype(jnp.float32) / 255.0


def batch_indices(
  cases: jax.Array,
  key: jax.Array,
  step: jax.Array,
  batch_size: int,
  groups: jax.Array | None = None,
) -> jax.Array:
  """Returns the cases of the batch of a step.

  Every epoch has its own order of the cases. Those after its last full batch are not used.

  Args:
    cases: [n] int32, the cases to draw from; n >= batch_size.
    key: the same for all steps.
    step: [] int32, counted from 0.
    batch_size: B.
    groups: [n] int32, as in `balanced_order`; None: every epoch is a permutation of the cases.

  Returns:
    [B] int32.
  """
  steps_per_epoch = cases.shape[0] // batch_size
  epoch, index = step // steps_per_epoch, step % steps_per_epoch
  order = epoch_order(cases, key, epoch, groups)
  return jax.lax.dynamic_slice_in_dim(order, index * batch_size, batch_size)


def epoch_order(
  cases: jax.Array, key: jax.Array, epoch: jax.Array, groups: jax.Array | None = None
) -> jax.Array:
  """Returns the cases [n] in the order of an epoch; with groups, from `balanced_order`."""
  key = jax.random.fold_in(key, epoch)
  if groups is None:
    return jax.random.permutation(key, cases)
  return balanced_order(key, cases, groups)


def balanced_order(key: jax.Array, cases: jax.Array, groups: jax.Array) -> jax.Array:
  """Returns cases [n] in random order in which all groups are equally frequent.

  Each of G groups has ⌊n / G⌋ or ⌈n / G⌉ of the cases. A group with fewer cases has them several
  times, each as often as the others or once more; of a larger group some cases are left out. Over
  the epochs, all cases of a group are equally frequent, and so are all groups.

  Args:
    key: of the epoch.
    cases: [n] int32.
    groups: [n] int32, the group of each, from 0 without gaps.

  Example:
    >>> order = balanced_order(jax.random.key(0), jnp.arange(8), jnp.array([0] * 6 + [1] * 2))
    >>> sorted(order.tolist())[-4:]
    [6, 6, 7, 7]
  """
  count = cases.shape[0]
  first, shuffle, last = jax.random.split(key, 3)
  shuffled = jax.random.permutation(shuffle, count)
  by_group = shuffled[jnp.argsort(groups[shuffled], stable=True)]  # positions, group after group
  sizes = jnp.bincount(groups, length=count)
  starts = jnp.cumsum(sizes) - sizes
  num_groups = groups.max() + 1
  draw = jnp.arange(count)
  # Where the groups do not divide n, another one has a case more in each epoch.
  group = (draw + jax.random.randint(first, (), 0, num_groups)) % num_groups
  position = starts[group] + (draw // num_groups) % sizes[group]
  return jax.random.permutation(last, cases[by_group[position]])
