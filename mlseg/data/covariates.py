"""Covariates of patients: the columns that a network reads, and their statistics in training."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Statistics(NamedTuple):
  """By which covariates are standardised."""

  mean: np.ndarray  # [K] float32, of the values that are known; 0 where none is
  deviation: np.ndarray  # [K] float32, likewise; 0: the column is constant, or unknown


def columns(
  covariates: np.ndarray | None, known: Sequence[str], names: Sequence[str]
) -> np.ndarray:
  """Returns some of the covariates of patients.

  Args:
    covariates: [N, K] of all columns; None: there are none.
    known: K names.
    names: of the columns that are wanted, in their order.

  Raises:
    ValueError: there is no such column.

  Example:
    >>> columns(np.array([[61.0, 3.5, 2.0]]), ("age", "volume_ml", "stage"), ("stage", "age"))
    array([[ 2., 61.]])
  """
  index = {name: n for n, name in enumerate(known)}
  for name in names:
    if name not in index:
      choices = f": choose from {', '.join(known)}" if known else ", nor any other"
      raise ValueError(f"the manifest has no covariate {name!r}{choices}")
  return np.asarray(covariates)[:, [index[name] for name in names]]


def statistics(covariates: np.ndarray) -> Statistics:
  """Returns mean and standard deviation of the values of each column that are known.

  Args:
    covariates: [n, K] of the training patients; what is not finite, such as NaN, is not known.

  Example:
    >>> mean, deviation = statistics(np.array([[60.0, 7.0], [np.nan, 7.0], [64.0, np.nan]]))
    >>> mean.tolist(), deviation.tolist()
    ([62.0, 7.0], [2.0, 0.0])
  """
  is_known = np.isfinite(covariates)
  values = np.where(is_known, covariates, 0).astype(np.float64)
  count = np.maximum(is_known.sum(0), 1)
  mean = values.sum(0) / count
  deviation = np.sqrt((np.where(is_known, values - mean, 0) ** 2).sum(0) / count)
  # The mean of equal numbers is rounded, so that they seem to deviate from it.
  low = np.where(is_known, covariates, np.inf).min(0)
  high = np.where(is_known, covariates, -np.inf).max(0)
  return Statistics(mean.astype(np.float32), np.where(low < high, deviation, 0).astype(np.float32))
