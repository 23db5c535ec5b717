"""`predictions.csv`: the predicted regions of each picture, a row per foreground class.

file,mask,width,height,class,area_pixels,area_fraction,area_mm2,components,...
scan 1.png,masks/scan 1.png,640,480,lesion,5120,0.0166667,,1,...
"""

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
  "components",  # connected regions; diagonal neighbours are connected
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
  """Returns a row for each class but the first, without the columns that need the file's name.

  Args:
    labels: [H, W], the index of a class.
    probabilities: [H, W], of each pixel's predicted class.
    class_names: the background first.
    spacing: of rows and of columns, mm; None: not known.

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
