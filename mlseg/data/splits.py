"""Training, validation and test parts that near-duplicate pictures do not cross."""

from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np

from mlseg.data import packing
from mlseg.errors import UserError, require, unknown

# In BUSI at 128×128, 172 pairs are this close. Those of 24 bits and more were all looked at: each
# shows one lesion, in a picture saved again, with other callipers, slightly shifted, or in its
# neighbour in a sweep. From 80 bits on different lesions come in between, so no threshold catches
# what else there is: about ten pairs of shifted frames, such as benign 62 and 140 (92 bits) or
# malignant 4 and 5 with 7, 8 and 9 (82 to 96 bits).
THRESHOLD = 76
METHODS = ("grouped", "random")
BLOCK = 1024  # pictures that are compared with all others at once


class Split(NamedTuple):
  """Which cases belong to which part, as indices in ascending order."""

  train: np.ndarray  # [n] int32
  validation: np.ndarray  # [m] int32
  test: np.ndarray  # [k] int32


def perceptual_hash(image: np.ndarray) -> np.ndarray:
  """Returns 255 bits that change little when a picture is scaled, brightened or written on.

  The signs of the 16×16 lowest frequencies of the cosine transform of the picture at 64×64, but
  the mean, against their median.

  Args:
    image: [H, W] uint8.

  Returns:
    [255] bool.

  Reference: Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010.
  """
  small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
  lowest = cv2.dct(small)[:16, :16].ravel()[1:]
  return lowest > np.median(lowest)


def near_duplicates(hashes: np.ndarray, threshold: int = THRESHOLD) -> list[tuple[int, int, int]]:
  """Returns the pairs of pictures that differ in few bits of their hashes.

  Args:
    hashes: [N, bits] bool, from `perceptual_hash`.
    threshold: bits that a pair may differ in; -1: no pair is near.

  Returns:
    (i, j, bits) with i < j, the closest first.

  Example:
    >>> near_duplicates(np.array([[0, 0, 0], [1, 1, 1], [0, 0, 1]], bool), threshold=1)
    [(0, 2, 1)]
  """
  if threshold < 0:
    return []
  signs = np.where(hashes, 1.0, -1.0).astype(np.float32)
  pairs = []
  for start in range(0, len(signs), BLOCK):  # all at once would be N² numbers
    block = signs[start : start + BLOCK]
    distances = np.rint((hashes.shape[1] - block @ signs[start:].T) / 2).astype(int)
    first, second = np.nonzero(np.triu(distances <= threshold, k=1))
    pairs += [
      (start + int(i), start + int(j), int(distances[i, j]))
      for i, j in zip(first, second, strict=True)
    ]
  return sorted(pairs, key=lambda pair: (pair[2], pair[:2]))


def groups(
  num_cases: int, pairs: list[tuple[int, int, int]], patients: np.ndarray | None = None
) -> np.ndarray:
  """Returns [N] int32, the same number for cases that a chain of pairs or patients connects.

  Args:
    num_cases: N.
    pairs: from `near_duplicates`.
    patients: [N], the same number for cases of one patient; None where they are not known.

  Example:
    >>> groups(4, [(0, 2, 5), (2, 3, 1)]).tolist()
    [0, 1, 0, 0]
    >>> groups(4, [(0, 2, 5)], np.array([7, 8, 9, 9])).tolist()
    [0, 1, 0, 0]
  """
  links = [(i, j) for i, j, _ in pairs]
  if patients is not None:
    _, first, inverse = np.unique(patients, return_index=True, return_inverse=True)
    links += [(int(i), j) for j, i in enumerate(first[inverse]) if i != j]
  group = np.arange(num_cases, dtype=np.int32)
  for i, j in links:
    low, high = sorted((group[i], group[j]))
    group[group == high] = low
  return group


def split(
  labels: np.ndarray,
  group: np.ndarray | None,
  *,
  fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
  seed: int,
  method: str = "grouped",
) -> Split:
  """Returns a random split, stratified by label, whose sizes do not depend on the seed.

  'grouped' keeps every group on one side: groups of several cases are drawn first, each to a part
  with the chance of the room that is left there, then single cases fill every part to its size.
  Where there are too few single cases for that, the sizes come as near to the fractions as whole
  groups allow, and seeds exchange groups of the same size and labels.
  'random' draws cases one by one, the naive split of the paper, which leaks.

  Args:
    labels: [N], what to stratify by; a group counts under the label of each of its cases.
    group: [N], from `groups`; not read for 'random'.
    fractions: of training, validation and test.
    seed: the same seed gives the same split, on any machine.
    method: 'grouped' or 'random'.

  Raises:
    UserError: an unknown method, fractions that do not sum to 1, or groups too large for the parts.
  """
  if method not in METHODS:
    raise unknown("split", method, METHODS)
  if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
    raise UserError(
      f"config.data.fractions must be three positive numbers that sum to 1, not {fractions}"
    )
  num_cases = len(labels)
  if group is not None and len(group) != num_cases:
    raise UserError(f"a split needs one group per case, not {len(group)} for {num_cases}")
  rng = np.random.default_rng(seed)
  room = _sizes(labels, fractions)
  members = packing.shuffled_groups(group if method == "grouped" else None, num_cases, rng)
  needs = packing.needs_of(labels, members)
  if _fills_any_room(needs):
    part_of_group = _draw(needs, room, fractions, rng)
  else:
    part_of_group = packing.pack(needs, room)
    if len(set(part_of_group)) < 3:
      raise _no_room(fractions, int(needs.sum(1).max()))
  part_of = np.full(num_cases, -1)
  for cases, part in zip(members, part_of_group, strict=True):
    part_of[cases] = part
  return Split(*(np.flatnonzero(part_of == part).astype(np.int32) for part in range(3)))


def folds(
  labels: np.ndarray,
  group: np.ndarray | None,
  num_folds: int,
  *,
  seed: int,
  validation: float = 0.15,
) -> list[Split]:
  """Returns the splits of a cross-validation: every case is tested in exactly one of them.

  Groups stay whole, and labels are shared out as evenly as whole groups allow. What a fold does
  not test is split into training and validation in the same way.

  Args:
    labels: [N], what to stratify by.
    group: [N], from `groups`; None: every case is one of its own.
    num_folds: K, at least 2.
    seed: the same seed gives the same folds, on any machine.
    validation: the part of what is not tested that validates, in (0, 1).

  Returns:
    K splits.

  Raises:
    UserError: an argument out of its range, or too few groups for the folds or their parts.

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
  splits = []
  for fold in range(num_folds):
    rest = everything[fold_of != fold]
    rng = np.random.default_rng([seed, fold])
    part_of = _share_out(rest, labels, group, [1 - validation, validation], rng)
    parts = rest[part_of == 0], rest[part_of == 1], everything[fold_of == fold]
    splits.append(Split(*(part.astype(np.int32) for part in parts)))
  return splits


def equalised(parts: Mapping[int, Split]) -> dict[int, Split]:
  """Returns splits whose training parts are of one size, and whose validation parts are.

  Models that are trained in one program need that. The smaller parts repeat some of their cases,
  drawn at random but the same for the same part; folds of whole groups are of different sizes.

  Example:
    >>> three, two = np.array([3, 5, 8]), np.array([1, 2])
    >>> made = equalised({0: Split(three, two, two), 1: Split(two, two, three)})
    >>> len(made[0].train), len(made[1].train), set(made[1].train.tolist()) == {1, 2}
    (3, 3, True)
  """
  largest = [max(len(split[place]) for split in parts.values()) for place in range(2)]
  return {
    seed: split._replace(
      train=_filled(split.train, largest[0]), validation=_filled(split.validation, largest[1])
    )
    for seed, split in parts.items()
  }


def _filled(cases: np.ndarray, size: int) -> np.ndarray:
  """Returns cases with some of them a second time, or more often, in ascending order."""
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
  """Returns the part of each of some cases, the parts of about these shares, groups whole."""
  own = labels[cases]
  members = packing.shuffled_groups(None if group is None else group[cases], len(cases), rng)
  needs = packing.needs_of(own, members)
  if len(members) < len(shares):
    raise UserError(
      f"{len(members)} groups of cases that belong together (near-duplicates, or one patient's)"
      f" cannot be shared out to {len(shares)} parts"
    )
  part_of_group = packing.pack(needs, np.outer(shares, needs.sum(0)))
  packing.fill_empty(part_of_group, needs, len(shares))
  part_of = np.full(len(cases), -1)
  for indices, part in zip(members, part_of_group, strict=True):
    part_of[indices] = part
  return part_of


def _fills_any_room(needs: np.ndarray) -> bool:
  """Returns whether there are single cases enough to fill what groups leave, whatever the draw.

  A group of one label fits into one of three parts unless each has less room than it needs.

  Args:
    needs: [groups, labels], cases of each group.
  """
  is_single = needs.sum(1) == 1
  largest = needs.max(0)
  return bool((needs[is_single].sum(0) >= 3 * (largest - 1)).all())


def _draw(
  needs: np.ndarray, room: np.ndarray, fractions: tuple[float, ...], rng: np.random.Generator
) -> list[int]:
  """Returns the part of each group, drawn with the chance of the room that is left in the parts."""
  room, drawn = room.copy(), []
  for need in needs:
    fits = [part for part in range(3) if (room[part] >= need).all()]
    if not fits:
      raise _no_room(fractions, int(need.sum()))
    chances = np.array([room[part][need > 0].sum() for part in fits], float)
    part = rng.choice(fits, p=chances / chances.sum())
    drawn.append(int(part))
    room[part] -= need
  return drawn


def _no_room(fractions: tuple[float, ...], size: int) -> UserError:
  return UserError(
    f"config.data.fractions {fractions} leave no part with room for a group of {size} cases that"
    " belong together (near-duplicates, or one patient's); use larger parts or split='random'"
  )


def _sizes(labels: np.ndarray, fractions: tuple[float, float, float]) -> np.ndarray:
  """Returns [3, labels]: how many cases of each label each part gets."""
  counts = np.unique(labels, return_counts=True)[1]
  validation = np.rint(counts * fractions[1]).astype(int)
  test = np.rint(counts * fractions[2]).astype(int)
  sizes = np.stack([counts - validation - test, validation, test])
  if not counts.size:
    raise UserError("there are no cases to split")
  if sizes.min() < 1:
    raise UserError(
      f"config.data.fractions {fractions} leave a part without a case of some label:"
      f" the labels have {', '.join(map(str, counts))} cases"
    )
  return sizes
