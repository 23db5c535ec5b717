"""Scores of a validation set by which an epoch can be chosen, from counts, under jit.

Each is a function of counts [N, C, 4] and, optionally, of which cases count [N], and returns a
float32 scalar in [0, 1]. `SEGMENTATION_SCORES` has them by name.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from mlseg.metrics.class_means import Absent, mean_over_classes
from mlseg.metrics.overlap import class_balanced_dice, dice


def foreground_dice(
  counts: jax.Array, valid: jax.Array | None = None, absent: Absent = "left_out"
) -> jax.Array:
  """Returns the mean over cases of the mean Dice over the foreground classes of a case.

  Args:
    counts: [N, C, 4], pixels; class 0 is the background.
    valid: [N], nonzero where a case counts (padding does not); None: all count.
    absent: what a class counts that is neither true nor predicted in a case: 'left_out', or 'one'
      for its Dice of 1. A case without any foreground, true or predicted, counts 1 in both.

  Returns:
    A float32 scalar in [0, 1]; 0 where no case is valid.

  Raises:
    ValueError: where absent is unknown.

  Example:
    >>> counts = jnp.array([[[6, 1, 1, 2], [2, 1, 1, 6]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    >>> print(f"{foreground_dice(counts, jnp.array([True, False])):.4f}")
    0.6667
  """
  own = counts[:, 1:]
  return _mean_over_cases(mean_over_classes(dice(own), own, absent), valid)


def pooled_foreground_dice(
  counts: jax.Array, valid: jax.Array | None = None, absent: Absent = "left_out"
) -> jax.Array:
  """Returns the mean over foreground classes of the Dice of all cases' pixels together.

  Args:
    counts: [N, C, 4], pixels; class 0 is the background.
    valid: [N], nonzero where a case counts; None: all count.
    absent: what a class counts that is in no case, true or predicted: 'left_out' or 'one'.

  Returns:
    A float32 scalar in [0, 1]. No foreground in any case: 1; no valid case: 0.

  Raises:
    ValueError: where absent is unknown.

  Example:
    >>> counts = jnp.array([[[6, 1, 1, 2], [2, 1, 1, 6]], [[9, 0, 0, 1], [1, 0, 0, 9]]])
    >>> print(f"{pooled_foreground_dice(counts):.4f}")
    0.7500
  """
  own = _pooled(counts, valid)[1:]
  return _zero_without_cases(mean_over_classes(dice(own), own, absent), valid)


def mean_class_balanced_dice(counts: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns the mean over cases of the class-balanced Dice.

  Args:
    counts: [N, C, 4], pixels, of all classes.
    valid: [N], nonzero where a case counts; None: all count.

  Returns:
    A float32 scalar in [0, 1]; 0 where no case is valid.

  Example:
    >>> counts = jnp.array([[[9, 1, 0, 0], [0, 0, 1, 9]], [[9, 0, 0, 1], [1, 0, 0, 9]]])
    >>> print(f"{mean_class_balanced_dice(counts):.4f}")  # of 0.0947 and 1
    0.5474
  """
  return _mean_over_cases(class_balanced_dice(counts), valid)


def pooled_class_balanced_dice(counts: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns the class-balanced Dice of all cases' pixels together.

  Args:
    counts: [N, C, 4], pixels, of all classes.
    valid: [N], nonzero where a case counts; None: all count.

  Returns:
    A float32 scalar in [0, 1]; 0 where no case is valid.

  Example:
    >>> counts = jnp.array([[[9, 1, 0, 0], [0, 0, 1, 9]], [[9, 0, 0, 1], [1, 0, 0, 9]]])
    >>> print(f"{pooled_class_balanced_dice(counts):.4f}")  # 0.1 · 36/37 + 0.9 · 2/3
    0.6973
  """
  return _zero_without_cases(class_balanced_dice(_pooled(counts, valid)), valid)


# By the name in `config.selection`. 'dice' is the mean over the classes that are present.
SEGMENTATION_SCORES: dict[str, Callable[..., jax.Array]] = {
  "dice": foreground_dice,
  "dice_pooled": pooled_foreground_dice,
  "class_balanced_dice": mean_class_balanced_dice,
  "class_balanced_dice_pooled": pooled_class_balanced_dice,
  "dice_absent_as_one": functools.partial(foreground_dice, absent="one"),
}


def _mean_over_cases(values: jax.Array, valid: jax.Array | None) -> jax.Array:
  """Returns the mean of [N] over the valid cases, 0 where there is none."""
  if valid is None:
    return values.mean()
  counts = (valid != 0).astype(values.dtype)
  return (values * counts).sum() / jnp.maximum(counts.sum(), 1)


def _pooled(counts: jax.Array, valid: jax.Array | None) -> jax.Array:
  """Returns the counts [C, 4] of the valid cases together, as floats, which do not overflow."""
  real = counts.astype(jnp.float32)
  if valid is not None:
    real = real * (valid != 0).astype(real.dtype)[:, None, None]
  return real.sum(axis=0)


def _zero_without_cases(score: jax.Array, valid: jax.Array | None) -> jax.Array:
  """Returns the score, 0 where no case is valid."""
  return score if valid is None else jnp.where((valid != 0).any(), score, 0)
