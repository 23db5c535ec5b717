"""Diagnoses of whole cases: confusion tables and saliency maps."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import outlines
from mlseg.report.drawing import ReportFigure, report_figure
from mlseg.report.names import file_name, wrapped
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.diagnosis_table import predictions
from mlseg.workdir.run_files import RunFiles
from mlseg.workdir.saliency_file import Saliency

_SHOWN = 4  # cases of a run


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
    runs: those without `saliency.npz` are left out.
  """
  made = []
  for number, run in enumerate(runs, start=1):
    if (shown := run.saliency) is not None and len(shown.ids):
      chosen = _chosen(shown)
      words = "; ".join(
        f"{shown.ids[n]}: {shown.labels[n]}, predicted {shown.predicted[n]}" for n in chosen
      )
      alt = f"Images with saliency maps of {run.name}. {words}."
      name = file_name("saliency", number, run.name)
      made.append(report_figure(name, figure(run.name, shown), alt, f"{run.name}; {words}."))
  return made


def _chosen(shown: Saliency) -> list[int]:
  """Returns the indices of the cases to show: half of them wrongly predicted, if there are any."""
  right = [n for n in range(len(shown.ids)) if shown.labels[n] == shown.predicted[n]]
  wrong = [n for n in range(len(shown.ids)) if n not in right]
  half = _SHOWN // 2
  chosen = wrong[: max(half, _SHOWN - len(right))] + right[: max(half, _SHOWN - len(wrong))]
  return sorted(chosen[:_SHOWN])


def figure(title: str, shown: Saliency) -> Figure:
  """Returns a row per case: the image, and the image under the map of each method."""
  chosen = _chosen(shown)
  columns = ["image", *shown.maps]
  size = 1.9 * len(columns), 2.2 * len(chosen) + 0.3
  drawn = Figure(figsize=size, layout="constrained")
  drawn.suptitle(wrapped(title, 16 * len(columns)), fontsize=9)
  grid = drawn.subplots(len(chosen), len(columns), squeeze=False)
  for axes_of_case, n in zip(grid, chosen, strict=True):
    for axes, name in zip(axes_of_case, columns, strict=True):
      outlines.show(axes, shown.images[n])
      outlines.outline(axes, shown.masks[n], predicted=False)
      if name != "image":
        warm = np.asarray(shown.maps[name][n], float) / 255
        axes.imshow(warm, cmap="inferno", vmin=0, vmax=1, alpha=0.2 + 0.5 * warm)
      axes.set_title(name, fontsize=7)
    words = f"{shown.ids[n]}\n{shown.labels[n]}\npredicted {shown.predicted[n]}"
    axes_of_case[0].set_ylabel(words, fontsize=7)
  return drawn
