"""Images with the outlines of masks, in figures and as paths of an SVG."""

from typing import Any

import contourpy
import numpy as np
from matplotlib.axes import Axes

# Colours of truth and prediction per class, light enough for dark images.
CLASS_COLOURS = (("#56B4E9", "#E69F00"), ("#009E73", "#CC79A7"), ("#F0E442", "#D55E00"))
COLOUR_NAMES = (("blue", "orange"), ("green", "pink"), ("yellow", "red"))
LEGEND = "truth: solid line, prediction: dashed line"


def show(axes: Axes, image: np.ndarray) -> None:
  """Draws an image without ticks.

  Args:
    axes: where.
    image: [H, W, 1 or 3] uint8.
  """
  grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}
  axes.imshow(image[..., 0], **grey) if image.shape[-1] == 1 else axes.imshow(image)
  axes.set(xticks=[], yticks=[])


def outline(axes: Axes, mask: np.ndarray, predicted: bool) -> None:
  """Draws the outline of each class but the background.

  Args:
    axes: where.
    mask: [H, W], classes.
    predicted: a prediction, drawn dashed; else the truth, drawn solid, in another colour.
  """
  for label, lines in _rings(mask).items():
    colour = CLASS_COLOURS[(label - 1) % len(CLASS_COLOURS)][predicted]
    for line in lines:
      axes.plot(line[:, 0], line[:, 1], "--" if predicted else "-", color=colour, linewidth=1.2)


def paths(mask: np.ndarray) -> list[tuple[int, str]]:
  """Returns the outline of each class but the background as `d` of an SVG's path.

  The top left corner of the top left pixel is (0, 0).

  Args:
    mask: [H, W], classes.

  Example:
    >>> paths(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]))
    [(1, 'M1 1.5L1.5 1L2 1.5L1.5 2Z')]
  """
  return [
    (label, "".join(_path(line + 0.5) for line in lines)) for label, lines in _rings(mask).items()
  ]


def key(num_classes: int) -> str:
  """Returns which colours stand for which class, where there are several besides the background.

  Example:
    >>> key(3)
    'Truth and prediction: class 1 blue and orange, class 2 green and pink.'
    >>> key(2)
    ''
  """
  names = [
    f"class {n + 1} {' and '.join(COLOUR_NAMES[n % len(COLOUR_NAMES)])}"
    for n in range(num_classes - 1)
  ]
  return f"Truth and prediction: {', '.join(names)}." if len(names) > 1 else ""


def _path(line: np.ndarray) -> str:
  """Returns a closed path through points [N, 2] (column, row); the last equals the first."""
  return "M" + "L".join(f"{x:g} {y:g}" for x, y in line[:-1]) + "Z"


def _rings(mask: np.ndarray) -> dict[int, list[np.ndarray]]:
  """Returns closed lines [N, 2] (column, row) by class; pixel centres lie at whole numbers."""
  rings: dict[int, list[np.ndarray]] = {}
  for label in np.unique(mask[mask > 0]).tolist():
    # A margin of background closes regions at an edge of the image.
    inside = np.pad(mask == label, 1).astype(float)
    lines = contourpy.contour_generator(z=inside, line_type=contourpy.LineType.Separate).lines(0.5)
    rings[label] = [np.asarray(line) - 1 for line in lines]
  return rings
