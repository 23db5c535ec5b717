"""Reading a picture and the masks of its lesion, for data sets with one lesion."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlseg.data import mask_values
from mlseg.data.datasets.sources import Reading
from mlseg.io.pictures import files
from mlseg.io.pictures.picture import Picture

SEVERAL = "several pages or frames, of which the first is read"


class Pair(NamedTuple):
  """A picture and its lesion."""

  picture: Picture
  lesion: np.ndarray  # [H, W] bool, the union of its masks
  values: tuple[str, ...]  # that mean the lesion in its masks, see `mask_values.Lesion`
  changes: tuple[str, ...]  # what was changed or ignored in picture and masks


def read(
  image: pathlib.Path,
  masks: Sequence[pathlib.Path],
  reading: Reading,
  kind: str = "binary",
) -> Pair:
  """Returns a picture and the union of its masks.

  Args:
    image: path of the picture.
    masks: paths of the masks; without any the lesion is empty.
    reading: how pictures and masks are read.
    kind: what values of masks may mean, see `mask_values.lesion`.

  Raises:
    UserError: a file cannot be read, a mask's values can mean different things, or it has another
      size than the picture.
  """
  picture = files.read(image, reading.sixteen_bit)
  union = np.zeros(picture.pixels.shape[:2], bool)
  values, changes = [], list(picture_changes(picture))
  for path in masks:
    stored = files.read_mask(path)
    found = mask_values.lesion(stored, path, kind)
    shape = picture.pixels.shape
    union |= mask_values.fit(found.pixels, path, shape, image.name, reading.mask_resize)
    values.append(found.value)
    changes += [f"masks, {change}" for change in stored.changes]
  return Pair(picture, union, tuple(values), tuple(changes))


def picture_changes(picture: Picture) -> tuple[str, ...]:
  """Returns what was changed or ignored in a picture, a further page included."""
  return (*picture.changes, *((SEVERAL,) if picture.note else ()))
