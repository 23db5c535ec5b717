"""`split.json`: which cases each model is trained, validated and tested on.

    {
     "seeds": {"0": {"train": ["benign (1)", ...], "validation": [...], "test": [...]}, ...},
     "near_duplicates": [["benign (1)", "benign (7)", 3], ...]
    }

A pair of near-duplicates has the number of bits in which the hashes of its images differ.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlseg.files import read_json, reading, to_json, write_file

NAME = "split.json"

Parts = Mapping[str, Sequence[str]]  # ids by part: train, validation and test


class SavedSplit(NamedTuple):
  """The split of each seed, and the pairs of cases that are almost the same."""

  parts: Mapping[int, Parts]  # by seed
  near_duplicates: Sequence[tuple[str, str, int]]  # two ids, and the distance of their hashes


def write(workdir: pathlib.Path, split: SavedSplit) -> None:
  """Writes the split into a run's folder."""
  content = {
    "seeds": {
      str(seed): {name: list(ids) for name, ids in parts.items()}
      for seed, parts in split.parts.items()
    },
    "near_duplicates": split.near_duplicates,
  }
  write_file(workdir / NAME, to_json(content, indent=1) + "\n")


def read(workdir: pathlib.Path) -> SavedSplit:
  """Returns the split of a run's folder.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  content = read_json(path)
  with reading(path):
    parts = {
      int(seed): {str(name): tuple(map(str, ids)) for name, ids in parts.items()}
      for seed, parts in content["seeds"].items()
    }
    pairs = [(str(pair[0]), str(pair[1]), int(pair[2])) for pair in content["near_duplicates"]]
    return SavedSplit(parts, tuple(pairs))
