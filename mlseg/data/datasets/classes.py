"""From the grey values or colours of a mask file to classes."""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlseg.errors import UserError, require
from mlseg.io.pictures.picture import to_colour, to_grey

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


class Classes(NamedTuple):
  """The classes of masks, and the value of each in mask files."""

  names: tuple[str, ...]  # C, the background first
  values: np.ndarray  # [C, 1] grey values, or [C, 3] colours, int
  tolerance: int  # largest difference in any channel between a pixel and its class


def parse(table: Sequence[tuple[str, int | str]], tolerance: int) -> Classes:
  """Returns the classes of the section config.data.folder.

  Args:
    table: for each class its name, and its grey value or its colour as '#rrggbb'.
    tolerance: 0 to 255.

  Raises:
    UserError: there are fewer than two classes, a name occurs twice, a value is out of range, or
      there are values of both kinds.
  """
  option = "config.data.folder.classes"
  rule = f"{option} must be pairs of a name and a value, at least two of them"
  are_pairs = all(isinstance(row, tuple | list) and len(row) == 2 for row in table)
  require(are_pairs and len(table) >= 2, rule, tuple(table))
  names = tuple(str(name) for name, _ in table)
  values = [value for _, value in table]
  require(len(set(names)) == len(names) and all(names), f"{option} must have names of their own",
          names)  # fmt: skip
  for value in values:
    is_grey = isinstance(value, int) and 0 <= value <= 255
    is_colour = isinstance(value, str) and _COLOUR.fullmatch(value) is not None
    require(is_grey or is_colour, f"{option}: a value must be 0 to 255 or '#rrggbb'", value)
  rule = f"{option}: values must be all grey or all colours"
  require(len({type(value) for value in values}) == 1, rule, tuple(values))
  rule = "config.data.folder.tolerance must be in [0, 255]"
  require(0 <= tolerance <= 255, rule, tolerance)
  numbers = [
    [value] if isinstance(value, int) else list(bytes.fromhex(value[1:])) for value in values
  ]
  return Classes(names, np.array(numbers), tolerance)


def by_value(
  mask: np.ndarray, path: pathlib.Path, classes: Classes, chosen: Sequence[int]
) -> np.ndarray:
  """Returns the class with the nearest value at each pixel, [H, W] uint8.

  Args:
    mask: [H, W] or RGB [H, W, 3], uint8.
    path: of the mask, for messages.
    classes: the classes and their values.
    chosen: the indices of the classes that the file may have.

  Raises:
    UserError: a value differs from every class by more than the tolerance.
  """
  values = classes.values[list(chosen)]
  if values.shape[1] == 1 and mask.ndim == 3:
    if np.ptp(mask, axis=-1).max() > classes.tolerance:
      raise UserError(
        f"{path}: is in colour, but config.data.folder.classes has grey values; give '#rrggbb'"
      )
    mask = to_grey(mask)
  pixels = (mask[..., None] if values.shape[1] == 1 else to_colour(mask)).astype(np.int32)
  codes = pixels @ np.array([1, 256, 65536])[: values.shape[1]]
  _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
  own = pixels.reshape(-1, values.shape[1])[first]
  distances = np.abs(own[:, None] - values).max(-1)
  nearest = distances.argmin(-1)
  wrong = np.flatnonzero(distances.min(-1) > classes.tolerance)
  if wrong.size:
    names = [f"{classes.names[c]} {_in_words(classes.values[c])}" for c in chosen]
    value = _in_words(own[wrong[0]])
    raise UserError(
      f"{path}: has the value {value}, which is of no class ({', '.join(names)});"
      " config.data.folder.tolerance takes the nearest class (127 for noisy JPEG masks)"
    )
  return np.array(chosen, np.uint8)[nearest][inverse].reshape(mask.shape[:2])


def _in_words(value: np.ndarray) -> str:
  return str(int(value[0])) if len(value) == 1 else "#" + bytes(value.tolist()).hex()
