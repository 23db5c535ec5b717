"""What is checked, and said, of a whole data set once all of its examples are read."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlseg.data import mask_values, padding
from mlseg.data.datasets.sources import Example, Source
from mlseg.errors import UserError, printable


class Ready(NamedTuple):
  """An example that is resized and filtered, and what its original was like."""

  example: Example
  hash: np.ndarray  # [bits] bool, of the unfiltered picture
  share: float  # of the original mask's pixels that are no background
  has_lesion: bool  # whether a pixel of the resized mask is no background
  is_blank: bool = False  # whether all pixels of the picture are the same


def check(source: Source, found: Sequence[Ready]) -> None:
  """Raises a UserError where the masks of a data set do not fit together, or are all empty.

  Args:
    source: of the examples.
    found: the examples.
  """
  mask_values.check_values((value, one.example.id) for one in found for value in one.example.values)
  if source.has_outcomes and len({one.example.label for one in found}) < 2:
    raise UserError(f"all {len(found)} patients that can be read have the same label")
  if source.has_masks and not any(one.share > 0 for one in found):
    raise UserError(
      f"no mask of the data set has a pixel of {' or '.join(source.class_names[1:])}: are"
      " config.data.root and the values of the masks right?"
    )
  if source.has_masks and not any(one.has_lesion for one in found):
    raise UserError(
      "at config.data.image_size no mask has a pixel that is not background: all of"
      f" {' or '.join(source.class_names[1:])} vanishes"
    )


def notes(source: Source, found: Sequence[Ready]) -> list[str]:
  """Returns what a user should know of a data set before it is trained on.

  Args:
    source: of the examples.
    found: the examples.
  """
  said = list(source.notes)
  by_change: dict[str, list[str]] = {}
  for one in found:
    for change in dict.fromkeys(one.example.changes):
      by_change.setdefault(change, []).append(one.example.id)
  said += [
    f"{len(ids)} of {len(found)} cases: {change} ({printable(ids[0])})"
    for change, ids in by_change.items()
  ]
  shares = [one.share for one in found if one.share > 0]
  if shares and (median := float(np.median(shares))) > mask_values.NEARLY_ALL:
    said.append(
      f"warning: masks are nearly all {' or '.join(source.class_names[1:])} (median"
      f" {100 * median:.0f} % of the pixels): are they inverted?"
    )
  if blank := [one.example.id for one in found if one.is_blank]:
    said.append(
      f"warning: {len(blank)} of {len(found)} pictures are blank, all pixels the same"
      f" ({printable(blank[0])})"
    )
  vanished = [one.example.id for one in found if one.share > 0 and not one.has_lesion]
  if vanished:
    said.append(
      f"warning: in {len(vanished)} of {len(found)} cases nothing of the mask is left at"
      f" config.data.image_size ({printable(vanished[0])})"
    )
  return said


def share(mask: np.ndarray) -> float:
  """Returns the share of a mask [H, W] that is no background, of the pixels that count."""
  own = padding.counted(mask)
  return float((mask[own] > 0).mean()) if own.any() else 0.0
