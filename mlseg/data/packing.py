"""Whole groups of cases shared out to parts."""

import numpy as np


def shuffled_groups(
  group: np.ndarray | None, num_cases: int, rng: np.random.Generator
) -> list[np.ndarray]:
  """Returns the cases of each group, larger groups first, in random order among equals."""
  if group is None:
    return [np.array([case]) for case in rng.permutation(num_cases)]
  members = [np.flatnonzero(group == value) for value in rng.permutation(np.unique(group))]
  return sorted(members, key=len, reverse=True)


def needs_of(labels: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
  """Returns [groups, labels], how many cases of each label a group has."""
  values, places = np.unique(labels, return_inverse=True)
  return np.stack([np.bincount(places[cases], minlength=len(values)) for cases in members])


def pack(needs: np.ndarray, room: np.ndarray) -> list[int]:
  """Returns the part of each group: of those with room, the one that is emptiest for its size.

  Where no part has room, the one with most is taken. How many groups of each kind a part gets does
  not depend on the groups' order.

  Args:
    needs: [groups, labels], larger groups first.
    room: [parts, labels], the sizes wished for.
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
  """Gives each part without a group the smallest one of the part with most groups, in place.

  Args:
    part_of: the part of each group; there are at least as many groups as parts.
    needs: [groups, labels].
    num_parts: of these numbers 0, 1, ...

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
