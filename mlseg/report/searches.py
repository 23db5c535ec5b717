"""The section about searches: their trials, and how much each key matters."""

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure

from mlseg.report.drawing import COLOURS, ReportFigure, add_title, legend_of, report_figure
from mlseg.report.names import file_name
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.search_file import Search

READING = (
  "Trainings with drawn values of some keys, judged by their scores on validation cases alone; none"
  " was tested. A trial is stopped where it is worse than the median of the others at the same"
  " epoch. The importance of a key, by functional ANOVA over the complete trials, is its share in"
  " the variance of the score."
)
_MOST_ROWS = 20  # trials in a table, the best ones


def tables(searches: Mapping[str, Search]) -> Iterator[Table]:
  """Yields the best trials of each search.

  Args:
    searches: by the name of their folders.
  """
  for name, search in searches.items():
    keys = list(dict.fromkeys(key for own in search.trials for key in own.values))
    known = [own for own in search.trials if own.score is not None]
    ranked = sorted(known, key=lambda own: (own.state != "complete", -(own.score or 0.0)))
    rows = tuple(
      tuple(
        map(
          TableCell,
          (str(own.number), {"pruned": "stopped"}.get(own.state, own.state),
           f"{100 * (own.score or 0.0):.2f}", str(own.epochs),
           *(_text(own.values.get(key)) for key in keys)),
        )
      )
      for own in ranked[:_MOST_ROWS]
    )  # fmt: skip
    note = f"{len(search.trials)} trials" + (
      f", of which the best {_MOST_ROWS} are here." if len(ranked) > _MOST_ROWS else "."
    )
    header = ("trial", "state", f"validation {search.selection}, %", "epochs", *keys)
    yield Table(f"Search in {name}", header, rows, note)


def figures(searches: Mapping[str, Search]) -> Iterator[ReportFigure]:
  """Yields the scores of the trials and the importance of the keys, of each search."""
  for number, (name, search) in enumerate(searches.items(), start=1):
    best = search.best
    if best is None:
      continue
    shares = ", ".join(f"{key} {100 * share:.0f} %" for key, share in search.importance.items())
    alt = f"Search in {name}: the best of its trials is trial {best.number}. Importance: {shares}."
    caption = (
      f"Search in {name}: the validation score of each trial, with the best so far; and the"
      " importance of each key."
    )
    yield report_figure(file_name("search", number, name), figure(name, search), alt, caption)


def figure(name: str, search: Search) -> Figure:
  """Returns the scores of the trials, and below them the importance of the keys, if it is known."""
  count = len(search.importance)
  drawn = Figure(figsize=(5.0, 2.6 + 0.35 * count), layout="constrained")
  if count:
    above, below = drawn.subplots(2, height_ratios=(2.2, 0.35 * count))
  else:
    above, below = drawn.subplots(), None
  for n, (state, label) in enumerate((("complete", "complete"), ("pruned", "stopped"))):
    own = [one for one in search.trials if one.state == state and one.score is not None]
    x, y = [one.number for one in own], [100 * (one.score or 0.0) for one in own]
    above.plot(x, y, "ox"[n], color=COLOURS[n], label=label, markersize=4)
  complete = [one for one in search.trials if one.state == "complete" and one.score is not None]
  best = np.maximum.accumulate([100 * (one.score or 0.0) for one in complete])
  above.step([one.number for one in complete], best, where="post", color=COLOURS[0], linewidth=1)
  above.set(xlabel="trial", ylabel=f"validation {search.selection}, %")
  if below is not None:
    keys = list(search.importance)[::-1]
    below.barh(keys, [100 * search.importance[key] for key in keys], color=COLOURS[2])
    below.set(xlabel="importance, %", xlim=(0, 100))
  above.grid(alpha=0.3)
  add_title(drawn, name)
  legend_of(drawn, [above])
  return drawn


def _text(value: object) -> str:
  return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
