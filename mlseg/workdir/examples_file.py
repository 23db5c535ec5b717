"""`examples.npz`: some test cases of the first seed, with masks and predictions.

The arrays are the fields of `Examples`, under their names.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from mlseg.files import read_npz, reading, to_npz, write_file

NAME = "examples.npz"


class Examples(NamedTuple):
  """Test cases of the first seed."""

  images: np.ndarray  # [N, H, W, 1 or 3] uint8
  masks: np.ndarray  # [N, H, W] uint8, classes
  predictions: np.ndarray  # [N, H, W] uint8, classes
  ids: np.ndarray  # [N] text
  dice: np.ndarray  # [N], mean over the classes but the background


def write(workdir: pathlib.Path, examples: Examples) -> None:
  """Writes the examples into a run's folder."""
  write_file(workdir / NAME, to_npz(examples._asdict(), compressed=True))


def read(workdir: pathlib.Path) -> Examples:
  """Returns the examples of a run's folder.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  content = read_npz(path)
  with reading(path):
    examples = Examples(**{name: content[name] for name in Examples._fields})
    images, masks, predictions, ids, dice = examples
    check_images(images)
    shape = (len(ids), *images.shape[1:3])
    if not len(images) == len(ids) == len(dice) or not masks.shape == predictions.shape == shape:
      raise ValueError("images, masks, predictions, ids and dice are not of the same cases")
  return examples


def select(examples: Examples, indices: np.ndarray) -> Examples:
  """Returns some of the examples."""
  return Examples(*(array[indices] for array in examples))


def check_images(images: np.ndarray) -> None:
  """Raises a ValueError unless these are grey or colour images of bytes."""
  if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
    raise ValueError(f"images must be [N, H, W, 1 or 3] uint8, not {images.shape} {images.dtype}")
