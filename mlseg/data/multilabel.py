"""Findings of which a case may have several, or none: their combinations, and what splits heed.

A finding is a column of 0 and 1 in a table, such as 'effusion' or 'edema'. The label of a case is
the combination of its findings, so that tables treat it as a diagnosis; the head of a network
learns each finding by itself.
"""

import math
from collections.abc import Sequence

import numpy as np

NONE = "none"  # the combination of a case without a finding
THRESHOLD = 0.5  # a finding is predicted where its probability is above it


def combination(names: Sequence[str], present: Sequence[int] | np.ndarray) -> str:
  """Returns the findings of a case in one text.

  Args:
    names: [L], of the findings.
    present: [L], nonzero where the case has the finding.

  Example:
    >>> combination(("effusion", "edema"), (1, 1)), combination(("effusion", "edema"), (0, 0))
    ('effusion+edema', 'none')
  """
  return "+".join(name for name, own in zip(names, present, strict=True) if own) or NONE


def strata(findings: np.ndarray, least: int) -> np.ndarray:
  """Returns the stratum of each case, for a split that is stratified.

  A stratum is a combination of findings. Combinations of fewer than `least` cases are united with
  those of as many findings; what is still smaller than `least` becomes one stratum, or, if that is
  too small as well, a part of the largest one.

  Args:
    findings: [N, L], 0 or 1.
    least: fewest cases of a stratum; see `least_cases`.

  Returns:
    [N] int32, from 0 without gaps.

  Example:
    >>> strata(np.array([[0, 0]] * 3 + [[1, 0]] * 2 + [[0, 1]] + [[1, 1]]), 3).tolist()
    [0, 0, 0, 1, 1, 1, 0]
  """
  groups = _numbered(findings)
  for coarser in (findings.sum(1), np.zeros(len(findings), int)):
    counts = np.bincount(groups)[groups]
    few = counts < least
    groups = _numbered(np.stack([few, np.where(few, coarser, groups)], 1))
  sizes = np.bincount(groups)
  if len(sizes) > 1 and sizes.min() < least:
    groups = np.where(groups == sizes.argmin(), sizes.argmax(), groups)
  return _numbered(groups[:, None])


def least_cases(fractions: Sequence[float], num_folds: int = 0) -> int:
  """Returns the fewest cases of a stratum of which each part of a split gets one.

  Args:
    fractions: shares of the parts.
    num_folds: of a cross-validation, each of which has a part that validates; 0: there is none.

  Example:
    >>> least_cases((0.7, 0.15, 0.15)), least_cases((0.7, 0.15, 0.15), 10)
    (7, 20)
  """
  smallest = min((part for part in fractions if part > 0), default=1.0)
  return max(math.ceil(1 / smallest), 2 * num_folds)


def _numbered(rows: np.ndarray) -> np.ndarray:
  """Returns [N] int32: the number of each distinct row of [N, K], in sorted order."""
  return np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)
