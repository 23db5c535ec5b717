"""Splits that keep groups of near-duplicate pictures, and those of one patient, in one part."""

from typing import NamedTuple

import cv2
import numpy as np

from mlseg.errors import UserError, unknown

# Near-duplicates differ in at most this many bits. In BUSI at 128×128, 172 pairs do. All pairs of
# 24 bits and more were inspected: each shows one lesion, in a picture that was saved again, has
# other callipers, is slightly shifted, or is the next frame of a sweep. From 80 bits on, pairs of
# different lesions occur, so no threshold finds the rest: about ten pairs of shifted frames, such
# as benign 62 and 140 (92 bits) or malignant 4 and 5 with 7, 8 and 9 (82 to 96 bits).
THRESHOLD = 76
METHODS = ("grouped", "random")  # of `split`
BLOCK = 1024  # number of pictures that are compared with all others at once
NUM_DRAWS = 500  # of the parts of all groups, before they are packed instead


class Split(NamedTuple):
  """The cases of each part, as indices in ascending order."""

  train: np.ndarray  # [n] int32
  validation: np.ndarray  # [m] int32
  test: np.ndarray  # [k] int32


def perceptual_hash(image: np.ndarray) -> np.ndarray:
  """Returns 255 bits that change little when a picture is scaled, brightened or written on.

  The picture is reduced to 64×64. Of the 16×16 lowest frequencies of its cosine transform, without
  the mean, each bit tells whether the coefficient is larger than their median.

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
    threshold: largest number of bits in which a pair differs; -1: no pairs.

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

  'grouped' keeps every group in one part. Groups of several cases are drawn first, each into a part
  with a probability proportional to the room left there; then single cases fill every part to its
  size. Where there are too few single cases for that, the sizes come as near to the fractions as
  whole groups allow, and seeds exchange groups of the same size and labels. A draw may leave no
  part with room for a group of several labels. Then all groups are drawn anew, and if many draws
  end so, they are packed as above.

  'random' draws the cases one by one. It is the naive split of the paper, and leaks.

  Args:
    labels: [N], what to stratify by; a group counts under the label of each of its cases.
    group: [N], from `groups`; None: every case is a group. Not read for 'random'.
    fractions: shares of training, validation and test.
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
  in_groups = shuffled_groups(group if method == "grouped" else None, num_cases, rng)
  needs = needs_of(labels, in_groups)
  part_of_group = _draw_until_all_fit(needs, room, rng) if _fills_any_room(needs) else None
  if part_of_group is None:
    part_of_group = pack(needs, room)
    if len(set(part_of_group)) < 3:
      raise _no_room(fractions, int(needs.sum(1).max()))
  part_of = np.full(num_cases, -1)
  for cases, part in zip(in_groups, part_of_group, strict=True):
    part_of[cases] = part
  return Split(*(np.flatnonzero(part_of == part).astype(np.int32) for part in range(3)))


def _fills_any_room(needs: np.ndarray) -> bool:
  """Returns whether the single cases suffice to fill the parts after a draw of the groups.

  A group of one label fits into one of three parts unless each has less room than it needs. So
  where no group has several labels, every draw succeeds.

  Args:
    needs: [groups, labels], numbers of cases.
  """
  is_single = needs.sum(1) == 1
  largest = needs.max(0)
  return bool((needs[is_single].sum(0) >= 3 * (largest - 1)).all())


def _draw_until_all_fit(
  needs: np.ndarray, room: np.ndarray, rng: np.random.Generator
) -> list[int] | None:
  """Returns the part of each group from the first draw that succeeds; None where none does."""
  draws = (_draw(needs, room, rng) for _ in range(NUM_DRAWS))
  return next((drawn for drawn in draws if drawn is not None), None)


def _draw(needs: np.ndarray, room: np.ndarray, rng: np.random.Generator) -> list[int] | None:
  """Returns the part of each group, drawn with probabilities proportional to the room left.

  None where a group fits into no part any more.
  """
  room, drawn = room.copy(), []
  for need in needs:
    fits = [part for part in range(3) if (room[part] >= need).all()]
    if not fits:
      return None
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
  """Returns [3, labels], the number of cases of each label in each part."""
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


def shuffled_groups(
  group: np.ndarray | None, num_cases: int, rng: np.random.Generator
) -> list[np.ndarray]:
  """Returns the cases of each group, larger groups first, groups of one size in random order."""
  if group is None:
    return [np.array([case]) for case in rng.permutation(num_cases)]
  found = [np.flatnonzero(group == value) for value in rng.permutation(np.unique(group))]
  return sorted(found, key=len, reverse=True)


def needs_of(labels: np.ndarray, in_groups: list[np.ndarray]) -> np.ndarray:
  """Returns [groups, labels], the number of cases of each label in each group."""
  values, indices = np.unique(labels, return_inverse=True)
  return np.stack([np.bincount(indices[cases], minlength=len(values)) for cases in in_groups])


def pack(needs: np.ndarray, room: np.ndarray) -> list[int]:
  """Returns the part of each group: among those with room, the one with the largest free share.

  Where no part has room, the part with most room is taken. The number of groups of each kind in a
  part does not depend on the order of the groups.

  Args:
    needs: [groups, labels], larger groups first.
    room: [parts, labels], the intended sizes.
  """
  order = sorted(range(len(needs)), key=lambda n: (-needs[n].sum(), *needs[n].tolist()))
  filled, part_of = np.zeros(room.shape), [0] * len(needs)
  for n in order:
    left = room - filled
    fits = (left >= needs[n]).all(1)
    weights = np.where(fits[:, None], left / np.maximum(room, 1), -1.0) if fits.any() else left
    part = int((weights * needs[n]).sum(1).argmax())
    part_of[n] = part
    filled[part] += needs[n]
  return part_of


def fill_empty(part_of: list[int], needs: np.ndarray, num_parts: int) -> None:
  """Moves groups, in place, until no part is empty.

  Each empty part gets the smallest group of the part with most groups.

  Args:
    part_of: the part of each group; there are at least as many groups as parts.
    needs: [groups, labels].
    num_parts: number of parts.

  Example:
    >>> parts = [0, 0, 0]
    >>> fill_empty(parts, np.array([[3], [1], [2]]), 2)
    >>> parts
    [0, 1, 0]
  """
  for part in range(num_parts):
    if part not in part_of:
      donor = int(np.bincount(part_of).argmax())
      own = [n for n, other in enumerate(part_of) if other == donor]
      part_of[min(own, key=lambda n: needs[n].sum())] = part
