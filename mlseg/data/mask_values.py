"""What the values of a mask mean: the one place that decides it, for all data sets.

A mask of a lesion has two values, whatever they are: 0 (black) is the background, and the other one
(1, 255, an index of a palette, a colour) the lesion. Grey masks with noise around 0 and 255, as
JPEG and smooth edges make it, are thresholded. Everything else is refused, since a threshold would
turn labels or probabilities into lesions without a word.
"""

import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from mlseg.errors import UserError
from mlseg.io.pictures.picture import Stored, to_grey

RESIZES = ("refuse", "nearest", "area")
NEARLY_ALL = 0.8  # median share of the lesion in masks above which a warning asks for a look
_FULL = (1, 255, 65535)  # values that may stand for the same lesion in masks of one data set
_LARGEST_CHROMA = 24  # of 255: largest difference of channels in what is grey but for JPEG's noise
_LOW, _HIGH = 64, 192  # of 255: values below and from here on are noise around 0 and around 255
_FEW = 8  # masks with at most as many values have labels, not noise
_LARGEST_ASPECT = 0.05  # relative difference of height to width of a mask that may be resized


class Lesion(NamedTuple):
  """A lesion in a mask."""

  pixels: np.ndarray  # [H, W] bool
  value: str  # that stands for the lesion in the file, such as '255' or '#800000'; '': it is empty


def lesion(stored: Stored, path: pathlib.Path, kind: str = "labels") -> Lesion:
  """Returns the lesion in a mask.

  Args:
    stored: the values of the mask.
    path: of the mask, for messages.
    kind: what else than two values is taken: 'labels' nothing but noise around 0 and 255; 'binary'
      also wide edges, in data sets that are known to have one lesion and no other labels;
      'probabilities' any grey values of 8 bits, of which 128 and more are the lesion.

  Raises:
    UserError: the values can mean different things, or are not finite.
  """
  values, is_colour = _values(stored)
  if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
    raise UserError(f"{path}: has values that are not finite")
  unique, counts = _unique(values)
  if kind == "probabilities" and values.dtype == np.uint8:
    found = values >= (128 if unique[-1] > 1 else 1)
    return Lesion(found, "255" if found.any() else "")
  if len(unique) == 1:
    return Lesion(values != 0, "" if unique[0] == 0 else _words(unique[0], is_colour))
  if len(unique) == 2 and unique[0] == 0:
    return Lesion(values != 0, _words(unique[1], is_colour))
  if values.dtype == np.uint8 and _is_noisy(values, unique, counts, kind == "binary"):
    found = values >= 128
    return Lesion(found, "255" if found.any() else "")
  raise UserError(
    f"{path}: has {_in_words(unique, is_colour)}; a mask of one lesion has two, of which one is 0"
  )


def _values(stored: Stored) -> tuple[np.ndarray, bool]:
  """Returns one value a pixel [H, W], and whether it is the code of a colour.

  Otherwise it is a grey value, or the index of a palette whose colours are all the same.
  """
  values = stored.values
  if stored.indices is not None and np.ptp(stored.indices) and (values == values[:1, :1]).all():
    return stored.indices, False
  if values.ndim == 2:
    return values, False
  spread = values.max(-1).astype(np.int64) - values.min(-1)
  is_noise = values.dtype == np.uint8 and spread.max() <= _LARGEST_CHROMA and values.max() >= _HIGH
  if spread.max() == 0 or is_noise:
    return to_grey(values) if values.dtype == np.uint8 else values[..., 0], False
  parts, base = values.astype(np.int64), 256 if values.dtype == np.uint8 else 65536
  return (parts[..., 0] * base + parts[..., 1]) * base + parts[..., 2], True


def _unique(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Returns the sorted values that occur, and how often."""
  if values.dtype != np.uint8:
    return np.unique(values, return_counts=True)
  counts = np.bincount(values.ravel(), minlength=256)
  unique = np.flatnonzero(counts)
  return unique, counts[unique]


def _words(value: float, is_colour: bool) -> str:
  return f"#{int(value):06x}" if is_colour else f"{value:g}"


def _in_words(unique: np.ndarray, is_colour: bool) -> str:
  """Returns how many values there are, and the first of them."""
  shown = ", ".join(_words(value, is_colour) for value in unique[:6])
  kind = "colours" if is_colour else "values"
  more = ", ..." if len(unique) > 6 else ""
  return f"{len(unique)} {kind} ({shown}{more})"


def _is_noisy(values: np.ndarray, unique: np.ndarray, counts: np.ndarray, is_binary: bool) -> bool:
  """Returns whether grey values of 8 bits are 0 and 255 but for noise and smooth edges.

  Args:
    values: [H, W] uint8.
    unique: the values that occur.
    counts: how often each does.
    is_binary: whether it is known that there are no labels.
  """
  if unique[-1] < _HIGH:  # of an empty mask noise may be left, but small values are labels
    return bool(is_binary and _FEW < unique[-1] < _LOW)
  between = (values >= _LOW) & (values < _HIGH)
  num_high = counts[unique >= _HIGH].sum()
  if is_binary:
    return bool(between.sum() <= max(num_high, 16))
  if len(unique) == 2:
    return bool(unique[0] < _LOW)
  labels = unique[(unique > 0) & (unique < unique[-1])] if len(unique) <= _FEW else ()
  if any(_has_region(values == label, 3) for label in labels):
    return False
  return bool(between.sum() <= num_high / 2 and not _has_region(between, 5))


def _has_region(chosen: np.ndarray, side: int) -> bool:
  """Returns whether pixels [H, W] bool hold a square of a side."""
  if min(chosen.shape) < side:
    return False
  padded = np.pad(chosen.astype(np.uint8), 1)
  return bool(cv2.erode(padded, np.ones((side, side), np.uint8)).any())


def objects(stored: Stored, path: pathlib.Path) -> np.ndarray:
  """Returns the numbers of objects in a mask, [H, W] uint8; 0 is the background.

  Raises:
    UserError: the mask is in colour, or has other numbers than 0 to 255.
  """
  values, is_colour = _values(stored)
  if is_colour:
    raise UserError(f"{path}: is in colour, but objects have grey values, their numbers")
  whole = values.astype(np.uint8)
  if not (whole == values).all():
    raise UserError(f"{path}: has other values than whole numbers from 0 to 255")
  return whole


def volume_lesion(values: np.ndarray, label: float, threshold: float) -> np.ndarray:
  """Returns the lesion in the mask of a volume.

  Args:
    values: [Z, Y, X], of any type of number.
    label: value of the lesion; 0: the only value beside 0.
    threshold: values above it are the lesion; 0: there is none.

  Returns:
    [Z, Y, X] bool.

  Raises:
    UserError: there are several values beside 0, or 0 is not among several values.
  """
  if threshold:
    return values > threshold
  unique = np.unique(values)
  if label:
    if not (unique == np.rint(unique)).all():
      raise UserError(
        f"has {_in_words(unique, False)}; config.data.cohort.mask_label needs whole numbers: give"
        " config.data.cohort.mask_threshold"
      )
    return values == label
  if len(unique) > 2 or (len(unique) == 2 and 0 not in unique):
    raise UserError(
      f"has {_in_words(unique, False)}; a mask of one lesion has one value beside 0: choose it by"
      " config.data.cohort.mask_label, or give config.data.cohort.mask_threshold"
    )
  return values != 0


def fit(
  mask: np.ndarray,
  path: object,
  shape: Sequence[int],
  name: object,
  how: str = "refuse",
) -> np.ndarray:
  """Returns a mask in the size of its picture.

  Args:
    mask: [h, w] bool, or the index of a class.
    path: of the mask, for messages.
    shape: height and width of the picture, and more.
    name: of the picture, for messages.
    how: one of `RESIZES`: 'nearest' copies the nearest pixel, 'area' takes the class that covers
      most of a pixel's area.

  Returns:
    [H, W] of the same type.

  Raises:
    UserError: the sizes differ and `how` is 'refuse', or the shapes are not alike.
  """
  height, width = shape[:2]
  if mask.shape == (height, width):
    return mask
  text = f"{path}: is {mask.shape[0]}×{mask.shape[1]}, but its picture {name} is {height}×{width}"
  if how == "refuse":
    raise UserError(f"{text} (config.data.mask_resize 'nearest' or 'area' resizes masks)")
  ratio = (mask.shape[0] * width) / (mask.shape[1] * height)
  if not abs(math.log(ratio)) <= _LARGEST_ASPECT:
    raise UserError(f"{text}, which is another shape")
  if how == "nearest":
    resized = cv2.resize(
      mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT
    )
    return resized.astype(mask.dtype)
  return _by_area(mask, height, width)


def _by_area(mask: np.ndarray, height: int, width: int) -> np.ndarray:
  """Returns at each pixel the class that covers most of its area, of equal ones the first."""
  is_smaller = height <= mask.shape[0]
  interpolation = cv2.INTER_AREA if is_smaller else cv2.INTER_LINEAR
  best, result = np.full((height, width), -1.0, np.float32), np.zeros((height, width), mask.dtype)
  for value in np.unique(mask):
    share = (mask == value).astype(np.float32)
    share = cv2.resize(share, (width, height), interpolation=interpolation)
    result[share > best] = value
    best = np.maximum(best, share)
  return result


def check_values(found: Iterable[tuple[str, str]]) -> None:
  """Raises a UserError where masks of one data set have different values of the lesion.

  1, 255 and 65535 may stand for the same, and 250 and more of 255 are 255 but for noise.

  Args:
    found: of each mask with a lesion, the value, and a name for messages.
  """
  first: dict[str, str] = {}
  for value, name in found:
    if value:
      first.setdefault(value, name)
  near = {str(value): "255" for value in range(250, 255)} | {"#ffffff": "255"}
  distinct = {near.get(value, value) for value in first}
  if len(distinct) > 1 and not distinct <= set(map(str, _FULL)):
    words = ", ".join(f"{value} in {name}" for value, name in list(first.items())[:4])
    raise UserError(
      f"masks have different values of the lesion: {words}; a data set of one lesion has one"
      " (config.data.name 'folder' reads several classes, by config.data.folder.classes)"
    )
