"""Images with the outlines of masks, in figures and as paths of an SVG."""

from collections.abc import Sequence
from typing import Any

import contourpy
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mlseg.report.drawing import add_legend

# All are light enough for dark images. Of one class, truth and prediction differ in colour; where
# there are several, each class has a colour. Predictions are dashed in both cases.
ONE_CLASS = ("#56B4E9", "#E69F00")
COLOURS = (
  "#56B4E9", "#E69F00", "#00C08B", "#F0E442", "#F781BF", "#FF6A3D", "#B2A1FF", "#A6D854",
  "#40E0D0", "#D2A679", "#FF4D6D", "#FFFFFF",
)  # fmt: skip
LEGEND = "truth: solid line, prediction: dashed line"


def colours(num_classes: int) -> list[tuple[str, str]]:
  """Returns the colours of truth and prediction of each class but the background.

  From the thirteenth class on, colours come again.

  Args:
    num_classes: with the background.
  """
  if num_classes <= 2:
    return [ONE_CLASS]
  return [(COLOURS[n % len(COLOURS)],) * 2 for n in range(num_classes - 1)]


def class_names(known: Sequence[str], highest: int) -> list[str]:
  """Returns a name for each class, the background first.

  Args:
    known: the names, or nothing.
    highest: the highest class that a mask has.

  Example:
    >>> class_names(["tissue", "cyst"], 2), class_names([], 1)
    (['tissue', 'cyst', 'class 2'], ['background', 'class 1'])
  """
  names = list(known) or ["background"]
  return names + [f"class {n}" for n in range(len(names), highest + 1)]


def add_class_legend(figure: Figure, names: Sequence[str]) -> None:
  """Puts a legend below a figure: a colour per class, and what solid and dashed lines are.

  Args:
    figure: with a constrained layout.
    names: of all classes, the background first.
  """
  own = colours(len(names))
  if len(own) == 1:
    looks: list[Any] = [("truth", own[0][0], "-"), ("prediction", own[0][1], "--")]
  else:
    looks = [(name, colour, "-") for name, (colour, _) in zip(names[1:], own, strict=True)]
    looks += [("truth", "0.4", "-"), ("prediction", "0.4", "--")]
  handles = [Line2D([], [], color=colour, linestyle=dash) for _, colour, dash in looks]
  add_legend(figure, handles, [name for name, _, _ in looks])


def show_classes(axes: Axes, mask: np.ndarray, num_classes: int) -> None:
  """Draws a mask with a colour per class, without ticks; the background is black.

  Args:
    axes: where.
    mask: [H, W], classes.
    num_classes: with the background.
  """
  own = ["#FFFFFF"] if num_classes <= 2 else [colour for colour, _ in colours(num_classes)]
  look: Any = {"vmin": 0, "vmax": len(own), "interpolation": "nearest"}
  axes.imshow(mask, cmap=ListedColormap(["#000000", *own]), **look)
  axes.set(xticks=[], yticks=[])


def show(axes: Axes, image: np.ndarray) -> None:
  """Draws an image without ticks.

  Args:
    axes: where.
    image: [H, W, 1 or 3] uint8.
  """
  grey: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 255}
  axes.imshow(image[..., 0], **grey) if image.shape[-1] == 1 else axes.imshow(image)
  axes.set(xticks=[], yticks=[])


def outline(axes: Axes, mask: np.ndarray, predicted: bool, num_classes: int = 2) -> None:
  """Draws the outline of each class but the background.

  Args:
    axes: where.
    mask: [H, W], classes.
    predicted: a prediction, drawn dashed; else the truth, drawn solid.
    num_classes: of the data, with the background; it decides the colours.
  """
  own = colours(num_classes)
  for label, lines in _rings(mask).items():
    colour = own[(label - 1) % len(own)][predicted]
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
