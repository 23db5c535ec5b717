"""Numbers in DICOM headers, which many programs write wrong, and what they do to pixel values."""

import math
from typing import Any

import numpy as np

from mlseg.errors import UserError


def numbers(dataset: Any, name: str) -> tuple[float, ...] | None:
  """Returns the values of an element: () where it is absent or empty, None where it is malformed.

  Malformed are values that are not finite numbers, such as those with a decimal comma.
  """
  try:
    value = dataset.get(name)
    if value is None or value == "":
      return ()
    if isinstance(value, str):  # of an element whose type should have been one of numbers
      value = value.split("\\")
    several = list(value) if hasattr(value, "__iter__") else [value]
    found = tuple(float(one) for one in several)
  except Exception:  # pydicom raises many classes for what it cannot convert
    return None
  return found if all(map(math.isfinite, found)) else None


def needed(dataset: Any, name: str, count: int) -> np.ndarray:
  """Returns the values of an element, [count].

  Raises:
    UserError: there are not as many finite numbers; the message names the element and its value.
  """
  found = numbers(dataset, name)
  if found is None or len(found) != count:
    what = "a finite number" if count == 1 else f"{count} finite numbers"
    raise UserError(f"{name} must be {what}, not {as_text(dataset, name)}")
  return np.array(found)


def as_text(dataset: Any, name: str) -> str:
  """Returns the value of an element for messages."""
  try:
    value = dataset.get_item(name)
    value = value.value if value is not None else None
    return repr(value.decode("ascii", "replace").strip() if isinstance(value, bytes) else value)
  except Exception:  # pydicom raises many classes for what it cannot convert
    return "what it is"


def add_syntax(dataset: Any) -> None:
  """Adds the transfer syntax to a data set without one, as that of files without a preamble."""
  from pydicom import uid

  if "TransferSyntaxUID" in dataset.file_meta:
    return
  is_implicit, is_little = dataset.original_encoding
  explicit = uid.ExplicitVRLittleEndian if is_little in (True, None) else uid.ExplicitVRBigEndian
  dataset.file_meta.TransferSyntaxUID = (
    explicit if is_implicit is False else uid.ImplicitVRLittleEndian
  )


def padding(stored: np.ndarray, dataset: Any) -> np.ndarray | None:
  """Returns which stored values [H, W] mean that a pixel is outside of the picture; None: none.

  They are the PixelPaddingValue, and where there is a PixelPaddingRangeLimit, all between the two.
  """
  first = numbers(dataset, "PixelPaddingValue")
  if not first:
    return None
  last = numbers(dataset, "PixelPaddingRangeLimit") or first
  low, high = min(first[0], last[0]), max(first[0], last[0])
  outside = (stored >= low) & (stored <= high)
  return outside if outside.any() and not outside.all() else None


def without_padding(stored: np.ndarray, outside: np.ndarray | None) -> np.ndarray:
  """Returns stored values in which those outside of the picture are the least of those inside."""
  return stored if outside is None else np.where(outside, stored[~outside].min(), stored)


def rescaled(stored: np.ndarray, dataset: Any) -> np.ndarray:
  """Returns stored values after slope and intercept, or after the modality's table.

  Raises:
    UserError: the slope or the intercept is not a finite number.
  """
  from pydicom import pixels

  if "ModalityLUTSequence" not in dataset:
    for name in ("RescaleSlope", "RescaleIntercept"):
      if numbers(dataset, name) != ():
        needed(dataset, name, 1)
  return pixels.apply_modality_lut(stored, dataset)


def has_window(dataset: Any) -> bool | None:
  """Returns whether a file has a window; None: it has one that cannot be used.

  The width of a linear window must be at least 1, that of others must be positive.
  """
  centre, width = (numbers(dataset, name) for name in ("WindowCenter", "WindowWidth"))
  if centre == () or width == ():
    return False
  function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
  if centre is None or width is None or width[0] <= 0 or (function == "LINEAR" and width[0] < 1):
    return None
  return True
