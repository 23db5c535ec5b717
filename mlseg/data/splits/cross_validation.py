"""Cross-validation that keeps groups of near-duplicates, or of one patient, in one part."""

from collections.abc import Mapping

import numpy as np

from mlseg.data.splits import grouped
from mlseg.data.splits.grouped import Split
from mlseg.errors import UserError, require


def folds(
  labels: np.ndarray,
  group: np.ndarray | None,
  num_folds: int,
  *,
  seed: int,
  validation: float = 0.15,
) -> list[Split]:
  """Returns the splits of a cross-validation: every case is tested in exactly one of them.

  Groups stay whole, and labels are shared out as evenly as whole groups allow. The cases that a
  fold does not test are split into training and validation in the same way.

  Args:
    labels: [N], what to stratify by.
    group: [N], from `grouped.groups`; None: every case is a group.
    num_folds: K, at least 2.
    seed: the same seed gives the same folds, on any machine.
    validation: share of validation among the cases that are not tested, in (0, 1).

  Returns:
    K splits.

  Raises:
    UserError: an argument is out of its range, or there are too few groups.

  Example:
    >>> parts = folds(np.array([0, 0, 0, 0, 1, 1, 1, 1]), None, 4, seed=0, validation=0.5)
    >>> sorted(int(case) for part in parts for case in part.test)
    [0, 1, 2, 3, 4, 5, 6, 7]
  """
  rule = "the number of folds must be at least 2"
  require(num_folds >= 2, rule, num_folds)
  require(0 < validation < 1, "the part that validates must be between 0 and 1", validation)
  if group is not None and len(group) != len(labels):
    raise UserError(f"folds need one group per case, not {len(group)} for {len(labels)}")
  everything = np.arange(len(labels))
  rng = np.random.default_rng(seed)
  fold_of = _share_out(everything, labels, group, [1 / num_folds] * num_folds, rng)
  return [
    _rest_shared(everything[fold_of == fold], labels, group, validation, [seed, fold])
    for fold in range(num_folds)
  ]


def published(
  labels: np.ndarray,
  group: np.ndarray | None,
  is_test: np.ndarray,
  *,
  seed: int,
  validation: float = 0.15,
) -> Split:
  """Returns the split with a published test part; the rest is shared out as in a fold.

  Args:
    labels: [N], what to stratify by.
    group: [N], from `grouped.groups`, kept whole within training or validation; None: every case is
      a group. Groups may lie in the published test part and outside of it.
    is_test: [N] bool, the published test part.
    seed: the same seed gives the same split, on any machine.
    validation: share of validation among the cases that are not tested, in (0, 1).

  Raises:
    UserError: too few groups.
  """
  require(0 < validation < 1, "the part that validates must be between 0 and 1", validation)
  return _rest_shared(np.flatnonzero(is_test), labels, group, validation, [seed, 0])


def _rest_shared(
  test: np.ndarray,
  labels: np.ndarray,
  group: np.ndarray | None,
  validation: float,
  seed: list[int],
) -> Split:
  """Returns the split with a test part, the other cases shared out to training and validation."""
  rest = np.setdiff1d(np.arange(len(labels)), test)
  shares = [1 - validation, validation]
  part_of = _share_out(rest, labels, group, shares, np.random.default_rng(seed))
  parts = rest[part_of == 0], rest[part_of == 1], test
  return Split(*(part.astype(np.int32) for part in parts))


def equalised(parts: Mapping[int, Split]) -> dict[int, Split]:
  """Returns splits with training parts of one size, and validation parts of one size.

  Models that are trained in one program need this, and folds of whole groups differ in size.
  Smaller parts repeat some of their cases. These are drawn at random, but are always the same for a
  part.

  Args:
    parts: the split of each seed.

  Example:
    >>> three, two = np.array([3, 5, 8]), np.array([1, 2])
    >>> made = equalised({0: Split(three, two, two), 1: Split(two, two, three)})
    >>> len(made[0].train), len(made[1].train), set(made[1].train.tolist()) == {1, 2}
    (3, 3, True)
  """
  largest = [max(len(split[part]) for split in parts.values()) for part in range(2)]
  return {
    seed: split._replace(
      train=_filled(split.train, largest[0]), validation=_filled(split.validation, largest[1])
    )
    for seed, split in parts.items()
  }


def _filled(cases: np.ndarray, size: int) -> np.ndarray:
  """Returns `size` cases in ascending order, some of them repeated."""
  times, rest = divmod(size, len(cases))
  drawn = np.random.default_rng(size).choice(cases, rest, replace=False)
  return np.sort(np.concatenate([*[cases] * times, drawn]))


def _share_out(
  cases: np.ndarray,
  labels: np.ndarray,
  group: np.ndarray | None,
  shares: list[float],
  rng: np.random.Generator,
) -> np.ndarray:
  """Returns the part of each case, in about these shares, with whole groups."""
  own = labels[cases]
  in_groups = grouped.shuffled_groups(None if group is None else group[cases], len(cases), rng)
  needs = grouped.needs_of(own, in_groups)
  if len(in_groups) < len(shares):
    raise UserError(
      f"{len(in_groups)} groups of cases that belong together (near-duplicates, or one patient's)"
      f" cannot be shared out to {len(shares)} parts"
    )
  part_of_group = grouped.pack(needs, np.outer(shares, needs.sum(0)))
  grouped.fill_empty(part_of_group, needs, len(shares))
  part_of = np.full(len(cases), -1)
  for indices, part in zip(in_groups, part_of_group, strict=True):
    part_of[indices] = part
  return part_of
