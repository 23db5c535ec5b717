"""What runs say of whole cases: who is called what, and where the head of classes looked."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlseg.report import outlines
from mlseg.report.drawing import Picture, picture
from mlseg.report.names import file_name, wrapped
from mlseg.report.tables import Cell, Table
from mlseg.workdir.run_files import Run, Saliency

_SHOWN = 4  # cases of a run


def confusion(run: Run) -> Table | None:
  """Returns how many cases of each diagnosis are called what, over all seeds; None without any."""
  if not run.diagnoses:
    return None
  counts = Counter(run.diagnoses.values())
  names = list(dict.fromkeys(name for pair in sorted(counts) for name in pair))
  rows = []
  for true in names:
    total = sum(counts[true, called] for called in names)
    cells = [Cell(str(counts[true, called])) for called in names]
    share = f"{100 * counts[true, true] / total:.1f} %" if total else "–"
    rows.append((Cell(true), *cells, Cell(share)))
  header = ("true", *(f"called {name}" for name in names), "right")
  note = f"Cases of the test set, counted once for each of {len(run.seeds)} seeds."
  return Table(f"Diagnoses of {run.name}", header, tuple(rows), note)


def looks(runs: Sequence[Run]) -> list[Picture]:
  """Returns a figure per run with a head of classes: pictures, and what speaks for the answer.

  Args:
    runs: those without `saliency.npz` are left out.
  """
  made = []
  for place, run in enumerate(runs, start=1):
    if (shown := run.saliency) is not None and shown.ids:
      chosen = _chosen(shown)
      said = ", ".join(f"{shown.ids[n]}: {shown.labels[n]}, called {shown.predicted[n]}"
                       for n in chosen)  # fmt: skip
      alt = f"Pictures under maps of what spoke for the answer of {run.name}. {said}."
      name = file_name("saliency", place, run.name)
      made.append(picture(name, figure(run.name, shown), alt, f"{run.name}; {said}."))
  return made


def _chosen(shown: Saliency) -> list[int]:
  """Returns the places of the cases that are shown: wrong answers among them, if there are any."""
  right = [n for n in range(len(shown.ids)) if shown.labels[n] == shown.predicted[n]]
  wrong = [n for n in range(len(shown.ids)) if n not in right]
  half = _SHOWN // 2
  chosen = wrong[: max(half, _SHOWN - len(right))] + right[: max(half, _SHOWN - len(wrong))]
  return sorted(chosen[:_SHOWN])


def figure(title: str, shown: Saliency) -> Figure:
  """Returns some cases under the maps of each method, one below the other."""
  chosen = _chosen(shown)
  columns = ["image", *shown.methods]
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
    words = f"{shown.ids[n]}\n{shown.labels[n]}\ncalled {shown.predicted[n]}"
    axes_of_case[0].set_ylabel(words, fontsize=7)
  return drawn
