"""Means over classes, which leave out the classes that are neither true nor predicted.

A ratio of an absent class is 1, since prediction and truth agree. In a mean over many classes that
rewards predicting nothing: an image with one lesion of eight classes would score 7/8 without any
prediction. So such classes are left out, and only where all are absent the mean is 1.
"""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

Array = Any  # numpy in, numpy (float64) out; jax in, jax (float32) out
Absent = Literal["left_out", "one"]
ABSENT = ("left_out", "one")


def namespace(array: Array) -> Any:
  """Returns jax.numpy for a jax array, else numpy."""
  return jnp if isinstance(array, jax.Array) else np


def is_present(counts: Array) -> Array:
  """Returns whether a class has a pixel in the truth or in the prediction.

  Args:
    counts: [..., 4], pixels: tp, fp, fn, tn.

  Returns:
    [...], bool.

  Example:
    >>> is_present(np.array([[0, 3, 0, 6], [0, 0, 0, 9]])).tolist()
    [True, False]
  """
  return (counts[..., :3] > 0).any(axis=-1)


def counted(present: Array, absent: Absent = "left_out") -> Array:
  """Returns which classes count in a mean over classes.

  Args:
    present: [..., C] bool, of the classes over which the mean goes.
    absent: 'left_out': those that are present, or all where none is; 'one': all, so that an absent
      class counts with its value of 1.

  Returns:
    [..., C], bool, at least one of them for each case.

  Raises:
    ValueError: where absent is unknown.

  Example:
    >>> counted(np.array([[True, False], [False, False]])).tolist()
    [[True, False], [True, True]]
  """
  if absent not in ABSENT:
    raise ValueError(f"absent: choose from {', '.join(ABSENT)}; got {absent!r}")
  if absent == "one":
    return namespace(present).ones_like(present)
  return present | ~present.any(axis=-1, keepdims=True)


def mean_over_present(values: Array, present: Array, absent: Absent = "left_out") -> Array:
  """Returns the mean of a metric over classes, for each case.

  Args:
    values: [..., C], the metric of each class.
    present: [..., C] bool, of the same classes.
    absent: as in `counted`.

  Returns:
    [...].

  Raises:
    ValueError: where absent is unknown.

  Example:
    >>> float(mean_over_present(np.array([0.25, 0.75, 1.0]), np.array([True, True, False])))
    0.5
  """
  weights = counted(present, absent).astype(values.dtype)
  return (weights * values).sum(axis=-1) / weights.sum(axis=-1)


def mean_over_classes(values: Array, counts: Array, absent: Absent = "left_out") -> Array:
  """Returns the mean of a metric over the classes that are true or predicted, for each case.

  Args:
    values: [..., C], the metric of each class.
    counts: [..., C, 4], pixels; of the same classes.
    absent: 'left_out', or 'one' for the mean over all classes; where none is true or predicted the
      mean is over all.

  Returns:
    [...].

  Raises:
    ValueError: where absent is unknown.

  Example:
    >>> counts = np.array([[0, 0, 4, 5], [0, 0, 0, 9], [0, 0, 0, 9]])  # one missed, two absent
    >>> dice = np.array([0.0, 1.0, 1.0])
    >>> print(mean_over_classes(dice, counts), f"{mean_over_classes(dice, counts, 'one'):.3f}")
    0.0 0.667
  """
  return mean_over_present(values, is_present(counts), absent)
