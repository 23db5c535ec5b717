"""What `predictions.csv` says of the regions in a picture: one row per foreground class."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

COLUMNS = (
  "file",  # below the folder of the pictures
  "mask",  # below the folder of the results
  "width",  # of the picture, pixels
  "height",
  "class",
  "area_pixels",
  "area_fraction",  # of the picture
  "area_mm2",  # empty where the file does not know the size of a pixel
  "components",  # parts that touch in none of 8 directions
  "mean_probability",  # of the class within its region; empty where there is none
  "flip_spread",  # empty where it was not asked for
  "seed_spread",  # empty for a run of one seed
)
_EIGHT_NEIGHBOURS = np.ones((3, 3), int)


def measure(
  labels: np.ndarray,
  probabilities: np.ndarray,
  class_names: Sequence[str],
  spacing: tuple[float, float] | None,
) -> list[dict[str, Any]]:
  """Returns the measurements of each class but the first.

  Args:
    labels: [H, W], the index of a class.
    probabilities: [H, W], that of the class which a pixel was given.
    class_names: the background first.
    spacing: from row to row and column to column, mm, or None.

  Example:
    >>> labels = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0], [1, 0, 0]])
    >>> rows = measure(labels, np.full((4, 3), 0.75), ["background", "lesion"], (0.5, 2.0))
    >>> [rows[0][name] for name in ("area_pixels", "area_mm2", "components")]
    [3, 3.0, 2]
  """
  rows = []
  for label, name in list(enumerate(class_names))[1:]:
    region = labels == label
    area = int(region.sum())
    rows.append(
      {
        "width": labels.shape[1],
        "height": labels.shape[0],
        "class": name,
        "area_pixels": area,
        "area_fraction": area / labels.size,
        "area_mm2": None if spacing is None else area * spacing[0] * spacing[1],
        "components": int(ndimage.label(region, _EIGHT_NEIGHBOURS)[1]),
        "mean_probability": float(probabilities[region].mean()) if area else None,
      }
    )
  return rows


def to_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> bytes:
  """Returns the content of `predictions.csv`, or of another table; what is None stays empty."""
  text = io.StringIO()
  writer = csv.DictWriter(text, fieldnames=columns, lineterminator="\n")
  writer.writeheader()
  for row in rows:
    writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
  # The names of files may hold bytes that are no text; they come out as they are.
  return text.getvalue().encode("utf-8", "surrogateescape")
