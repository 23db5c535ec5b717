"""From the grey values or colours of a mask file to classes."""

import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlseg.data import padding
from mlseg.errors import UserError, require
from mlseg.io.pictures.picture import to_colour, to_grey

Value = int | str | Sequence[int | str]  # of a class: grey, '#rrggbb', or several of one kind
_PIXELS = 2**22  # of a mask that are compared with the classes at once
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


class Classes(NamedTuple):
  """The classes of masks, and the value of each in mask files."""

  names: tuple[str, ...]  # C, the background first
  values: np.ndarray  # [V, 1] grey values, or [V, 3] colours, int
  owners: np.ndarray  # [V], the class of each value, or `padding.UNLABELLED`
  tolerance: int  # largest difference in any channel between a pixel and its class

  @property
  def is_colour(self) -> bool:
    """Whether classes have colours."""
    return self.values.shape[1] == 3

  @property
  def is_lesion(self) -> bool:
    """Whether there are two classes, 0 and 255: any mask of one lesion, however it is written."""
    return len(self.names) == 2 and self.values.tolist() == [[0], [255]]


def parse(table: Sequence[tuple[str, Value]], tolerance: int, ignore_label: Value = ()) -> Classes:
  """Returns the classes of the section config.data.folder.

  Args:
    table: for each class its name, and its grey value or its colour as '#rrggbb', or several.
    tolerance: 0 to 255.
    ignore_label: value of the pixels whose class is not known, or several; (): there are none.

  Raises:
    UserError: there are fewer than two classes, a name occurs twice, a value is out of range, or
      there are values of both kinds.

  Example:
    >>> parse((("skin", "#000000"), ("cyst", ("#ff0000", "#00ff00"))), 0).owners.tolist()
    [0, 1, 1]
  """
  option = "config.data.folder.classes"
  rule = f"{option} must be pairs of a name and a value, at least two of them"
  are_pairs = all(isinstance(row, tuple | list) and len(row) == 2 for row in table)
  require(are_pairs and len(table) >= 2, rule, tuple(table))
  names = tuple(str(name) for name, _ in table)
  several = [value if isinstance(value, tuple | list) else (value,) for _, value in table]
  require(all(several), f"{option} must have a value for each class", tuple(table))
  unlabelled = list(ignore_label) if isinstance(ignore_label, tuple | list) else [ignore_label]
  values = [value for own in several for value in own] + unlabelled
  owners = [number for number, own in enumerate(several) for _ in own]
  owners += [padding.UNLABELLED] * len(unlabelled)
  require(len(set(names)) == len(names) and all(names), f"{option} must have names of their own",
          names)  # fmt: skip
  for value in values:
    is_grey = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255
    is_colour = isinstance(value, str) and _COLOUR.fullmatch(value) is not None
    where = option if value not in unlabelled else "config.data.folder.ignore_label"
    require(is_grey or is_colour, f"{where}: a value must be 0 to 255 or '#rrggbb'", value)
  rule = f"{option} and ignore_label: values must be all grey or all colours"
  require(len({type(value) for value in values}) == 1, rule, tuple(values))
  rule = "config.data.folder.tolerance must be in [0, 255]"
  require(0 <= tolerance <= 255, rule, tolerance)
  numbers = [
    [value] if isinstance(value, int) else list(bytes.fromhex(value[1:])) for value in values
  ]
  return Classes(names, np.array(numbers), np.array(owners), tolerance)


def check_distinct(classes: Classes) -> None:
  """Raises a UserError where a value is of two classes, which only files of one class can have."""
  seen: dict[tuple[int, ...], int] = {}
  for value, owner in zip(classes.values, classes.owners, strict=True):
    before = seen.setdefault(tuple(value.tolist()), int(owner))
    if before == owner:
      continue
    if padding.UNLABELLED in (before, owner):
      raise UserError(
        f"config.data.folder.ignore_label: {_in_words(value)} is of a class too; give classes and"
        " pixels without one different values"
      )
    raise UserError(
      f"config.data.folder.classes: {_in_words(value)} is of two classes, which needs {{class}}"
      " in config.data.folder.masks"
    )


def by_value(
  mask: np.ndarray, path: pathlib.Path, classes: Classes, chosen: Sequence[int]
) -> np.ndarray:
  """Returns the class with the nearest value at each pixel, [H, W] uint8, or `padding.UNLABELLED`.

  Args:
    mask: [H, W] or RGB [H, W, 3], of whole numbers.
    path: of the mask, for messages.
    classes: the classes and their values.
    chosen: the indices of the classes that the file may have.

  Raises:
    UserError: a value differs from every class by more than the tolerance.
  """
  _check_numbers(mask, path)
  own = np.isin(classes.owners, [*chosen, padding.UNLABELLED])
  chosen_only = classes._replace(values=classes.values[own], owners=classes.owners[own])
  if not classes.is_colour and mask.ndim == 3:
    if np.ptp(mask, axis=-1).max() > classes.tolerance:
      raise UserError(
        f"{path}: is in colour, but config.data.folder.classes has grey values; give '#rrggbb'"
      )
    mask = to_grey(mask)
  rows = max(1, _PIXELS // mask.shape[1])  # in parts, since codes of colours take much memory
  parts = [
    _nearest(mask[start : start + rows], path, chosen_only) for start in range(0, len(mask), rows)
  ]
  return np.concatenate(parts)


def _check_numbers(mask: np.ndarray, path: pathlib.Path) -> None:
  """Raises a UserError where a mask has other values than whole numbers or colours of 8 bits."""
  is_float = np.issubdtype(mask.dtype, np.floating)
  is_whole = not is_float or (np.isfinite(mask).all() and (mask == np.rint(mask)).all())
  if not is_whole or (mask.ndim == 3 and mask.dtype != np.uint8):
    rule = "whole numbers or colours of 8 bits"
    raise UserError(f"{path}: has values of {mask.dtype}, but classes need {rule}")


def _nearest(mask: np.ndarray, path: pathlib.Path, classes: Classes) -> np.ndarray:
  """Returns the class with the nearest value at each pixel of a part of a mask."""
  values, owners = classes.values, classes.owners
  pixels = (to_colour(mask) if classes.is_colour else mask[..., None]).astype(np.int32)
  codes = pixels @ np.array([1, 256, 65536])[: values.shape[1]]
  _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
  found = pixels.reshape(-1, values.shape[1])[first]
  distances = np.abs(found[:, None] - values).max(-1)
  wrong = np.flatnonzero(distances.min(-1) > classes.tolerance)
  if wrong.size:
    known = dict(enumerate(classes.names)) | {padding.UNLABELLED: "ignore_label"}
    names = [f"{known[c]} {_in_words(v)}" for c, v in zip(owners.tolist(), values, strict=True)]
    shown = ", ".join(_in_words(found[index]) for index in wrong[:4])
    more = ", ..." if wrong.size > 4 else ""
    what = "the value" if wrong.size == 1 else "the values"
    verb = "is" if wrong.size == 1 else "are"
    raise UserError(
      f"{path}: has {what} {shown}{more}, which {verb} of no class ({', '.join(names)}): add them"
      " to config.data.folder.classes, or take the nearest class with config.data.folder.tolerance"
    )
  nearest = owners.astype(np.uint8)[distances.argmin(-1)]
  return nearest[inverse].reshape(mask.shape[:2])


def _in_words(value: np.ndarray) -> str:
  return str(int(value[0])) if len(value) == 1 else "#" + bytes(value.tolist()).hex()


def lesion_of(classes: Classes, name: str | None) -> int | None:
  """Returns the class that a mask file of one lesion shows; None: the file has classes by value.

  It does where the background is 0 and the lesion 255, as in the recipe, and all pixels have a
  class: how the file is written is then for `mask_values.lesion` to decide.

  Args:
    classes: of the data set.
    name: of the class that the file shows; None: of all.
  """
  if padding.UNLABELLED in classes.owners:
    return None
  if name is None:
    return 1 if classes.is_lesion else None
  number = classes.names.index(name)
  own = classes.values[classes.owners == number].tolist()
  background = classes.values[classes.owners == 0].tolist()
  return number if (background, own) == ([[0]], [[255]]) else None
