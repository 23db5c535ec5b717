"""Diagnoses of whole cases: confusion tables and saliency maps."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from mlseg.report import outlines
from mlseg.report.drawing import ReportFigure, add_legend, add_title, fitted, report_figure
from mlseg.report.names import file_name, listed
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.diagnosis_table import predictions
from mlseg.workdir.run_files import RunFiles
from mlseg.workdir.saliency_file import Saliency

_SHOWN = 4  # cases of a run
_FINE = 7  # fewest cells of a grid along each side that is fine enough for a saliency map
_SIDE = 1.9  # of an image in a figure, inches
_COLOURS, _OPACITY = "inferno", 0.55  # of saliency maps; the opacity is that of their maximum


def confusion(run: RunFiles) -> Table | None:
  """Returns the confusion table over all seeds; None where the run has no diagnoses."""
  if not run.tested:
    return None
  counts = Counter(predictions(run.tested).values())
  names = list(dict.fromkeys(name for pair in sorted(counts) for name in pair))
  rows = []
  for true in names:
    total = sum(counts[true, predicted] for predicted in names)
    cells = [TableCell(str(counts[true, predicted])) for predicted in names]
    share = f"{100 * counts[true, true] / total:.1f} %" if total else "–"
    rows.append((TableCell(true), *cells, TableCell(share)))
  header = ("true", *(f"predicted {name}" for name in names), "correct")
  count = len(run.seeds)
  note = "Number of test cases" + (f", summed over {count} seeds." if count > 1 else ".")
  return Table(f"Diagnoses of {run.name}", header, tuple(rows), note)


def saliency(runs: Sequence[RunFiles]) -> list[ReportFigure]:
  """Returns a figure per run that diagnoses: images and their saliency maps.

  Args:
    runs: those without `saliency.npz`, or with maps that are too coarse, are left out.
  """
  made = []
  for number, run in enumerate(runs, start=1):
    shown = run.saliency
    if shown is None or not len(shown.ids) or not is_fine(grid_of(shown.maps.values())):
      continue
    words = "; ".join(
      f"{shown.ids[n]}: {shown.labels[n]}, predicted {shown.predicted[n]}" for n in _chosen(shown)
    )
    alt = f"Images with saliency maps of {run.name}. {words}."
    name = file_name("saliency", number, run.name)
    classes = list(run.data.pixels) if run.data else []
    drawn = figure(run.name, shown, classes)
    made.append(report_figure(name, drawn, alt, f"{run.name}; {words}."))
  return made


def coarse(runs: Sequence[RunFiles]) -> str:
  """Returns in words which runs have saliency maps that are too coarse to be shown, or ''."""
  found = {}
  for run in runs:
    maps = [*run.saliency.maps.values()] if run.saliency and len(run.saliency.ids) else []
    maps += [*run.patients.saliency] if run.patients else []
    if maps and not is_fine(grid := grid_of(maps)):
      found[run.name] = f"{grid[0]}×{grid[1]}"
  if not found:
    return ""
  grids = listed(list(dict.fromkeys(found.values())))
  return f"No saliency maps are shown of {listed(list(found))}: {_coarse_words(grids)}"


def warning(maps: np.ndarray | None) -> str:
  """Returns in words that saliency maps [N, H, W] in [0, 1] are too coarse, or ''."""
  if maps is None:
    return ""
  grid = grid_of([np.rint(255 * np.asarray(maps))])
  return "" if is_fine(grid) or not any(grid) else _coarse_words(f"{grid[0]}×{grid[1]}")


def _coarse_words(grids: str) -> str:
  return (
    f"the network's last features have {grids} cells, and with fewer than {_FINE}×{_FINE} a map"
    " tells little more than in which corner the network looks. Larger images give finer maps."
  )


def grid_of(maps: Iterable[np.ndarray]) -> tuple[int, int]:
  """Returns the size of the network's features, (rows, columns), from which maps were enlarged.

  Maps are enlarged linearly, by a factor f. Then the outermost f / 2 lines of pixels along each
  edge are equal, since there is no cell beyond the edge to interpolate to.

  Args:
    maps: [N, H, W] each; maps of zeros tell nothing.

  Example:
    >>> row = np.array([0, 0, 64, 191, 255, 255])
    >>> grid_of([np.add.outer(row, row)[None]])
    (2, 2)
  """
  every = [one for each in maps for one in np.asarray(each) if one.any()]
  if not every:
    return 0, 0
  height, width = every[0].shape
  rows, columns = (
    min(_border(side) for one in every for side in _sides(one, axis)) for axis in (0, 1)
  )
  return max(1, round(height / (2 * rows))), max(1, round(width / (2 * columns)))


def _sides(one: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns a map with its lines along an axis in their order, and the other way round."""
  lines = np.moveaxis(one, axis, 0)
  return lines, lines[::-1]


def _border(lines: np.ndarray) -> int:
  """Returns how many lines at the start are equal to the first."""
  differs = np.flatnonzero((lines != lines[0]).any(1))
  return int(differs[0]) if len(differs) else len(lines)


def is_fine(grid: tuple[int, int]) -> bool:
  """Returns whether maps of such a grid tell more than in which corner the network looks.

  The limit of 7 cells is the grid that Grad-CAM has on the common networks for 224×224 pixels.
  """
  return min(grid) >= _FINE


def _chosen(shown: Saliency) -> list[int]:
  """Returns the indices of the cases to show: half of them wrongly predicted, if there are any."""
  right = [n for n in range(len(shown.ids)) if shown.labels[n] == shown.predicted[n]]
  wrong = [n for n in range(len(shown.ids)) if n not in right]
  half = _SHOWN // 2
  chosen = wrong[: max(half, _SHOWN - len(right))] + right[: max(half, _SHOWN - len(wrong))]
  return sorted(chosen[:_SHOWN])


def figure(title: str, shown: Saliency, names: Sequence[str] = ()) -> Figure:
  """Returns a row per case: the image, and the image under the map of each method.

  Args:
    title: of the figure.
    shown: the cases.
    names: of the classes of masks, the background first; empty: they are numbered.
  """
  chosen, columns = _chosen(shown), ["image", *shown.maps]
  size = _SIDE * len(columns) + 0.8, 2.2 * len(chosen) + 0.3
  drawn = Figure(figsize=size, layout="constrained")
  add_title(drawn, title, 9)
  grid = drawn.subplots(len(chosen), len(columns), squeeze=False)
  names = outlines.class_names(names, int(shown.masks.max(initial=0)))
  for axes_of_case, n in zip(grid, chosen, strict=True):
    for axes, name in zip(axes_of_case, columns, strict=True):
      outlines.show(axes, shown.images[n])
      if name != "image":
        show_map(axes, shown.maps[name][n])
      outlines.outline(axes, shown.masks[n], predicted=False, num_classes=len(names))
      axes.set_title(name, fontsize=7)
    words = f"{shown.ids[n]}\n{shown.labels[n]}\npredicted {shown.predicted[n]}"
    axes_of_case[0].set_ylabel(fitted(words, _SIDE - 0.1, 7), fontsize=7)
  add_colour_bar(drawn, grid)
  own = outlines.colours(len(names))
  handles = [Line2D([], [], color=colour) for colour, _ in own]
  add_legend(drawn, handles, [f"true outline of {name}" for name in names[1 : len(own) + 1]])
  return drawn


def show_map(axes: Axes, values: np.ndarray) -> None:
  """Draws a saliency map over an image, which stays visible.

  Args:
    axes: that show the image.
    values: [H, W] uint8, 255 at the largest value of the case.
  """
  warm = np.asarray(values, float) / 255
  axes.imshow(warm, cmap=_COLOURS, vmin=0, vmax=1, alpha=_OPACITY * warm)


def add_colour_bar(figure: Figure | SubFigure, all_axes: np.ndarray) -> None:
  """Adds the colour bar of saliency maps at the right of some axes."""
  values = ScalarMappable(Normalize(0, 1), _COLOURS)
  bar = figure.colorbar(values, ax=all_axes, shrink=0.8, aspect=30, alpha=_OPACITY)
  bar.set_label("saliency, share of the largest value of the case", fontsize=7)
  bar.ax.tick_params(labelsize=7)
