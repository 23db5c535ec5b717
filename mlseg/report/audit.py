"""The audit of the data: labels, pixels per class, sizes, splits and near-duplicates."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mlseg.report.drawing import ReportFigure, legend_of, line_style, report_figure
from mlseg.report.names import listed
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.data_table import DataTable
from mlseg.workdir.run_files import RunFiles
from mlseg.workdir.split_file import SavedSplit

Skipped = tuple[tuple[str, str], ...]  # files that were left out, each with the reason
_T = TypeVar("_T", DataTable, SavedSplit, Skipped)
_NUM_BINS = 24  # of the distribution of sizes
_MAX_SKIPPED = 20  # files that are listed by name


class Audit(NamedTuple):
  """Tables and figures about all data sets and splits."""

  tables: tuple[Table, ...]
  figures: tuple[ReportFigure, ...]


def audit(runs: Sequence[RunFiles]) -> Audit:
  """Returns the audit of each different `data.csv`, and of all different `split.json`."""
  # The same images count as one data set, however a run groups them.
  sets = _different(
    (run.name, run.data and run.data._replace(groups=None, covariates={})) for run in runs
  )
  splits = _different((run.name, run.split) for run in runs)
  left_out = _different((run.name, run.skipped or None) for run in runs)
  tables: list[Table] = []
  figures: list[ReportFigure] = []
  for n, (data, names) in enumerate(sets, start=1):
    of = f", data of {listed(names, 2)}" if len(sets) > 1 else ""
    tables += [_labels(data, of), _pixels(data, of)]
    figures += [
      _sizes(data, name, f"sizes-{n}-{number}", of)
      for number, name in enumerate(list(data.pixels)[1:], start=1)
    ]
  tables += [
    _skipped(skipped, f", from the data of {listed(names, 2)}" if len(runs) > 1 else "")
    for skipped, names in left_out
  ]
  if splits:
    tables.append(_split_sizes(splits))
    data_of = {run.name: run.data for run in runs}
    tables += [
      _parts(split, own, f" of {listed(names, 2)}" if len(splits) > 1 else "")
      for split, names in splits
      if (own := data_of[names[0]]) is not None
    ]
  return Audit(tuple(tables), tuple(figures))


def crossing(split: SavedSplit, seed: int) -> int:
  """Returns how many pairs of near-duplicates lie in two different parts of a seed's split.

  Example:
    >>> parts = {0: {"train": ("a", "b"), "test": ("c",)}}
    >>> crossing(SavedSplit(parts, (("a", "b", 2), ("b", "c", 5))), seed=0)
    1
  """
  part_of = {case: part for part, ids in split.parts[seed].items() for case in ids}
  return sum(
    a in part_of and b in part_of and part_of[a] != part_of[b] for a, b, _ in split.near_duplicates
  )


def _different(entries: Iterable[tuple[str, _T | None]]) -> list[tuple[_T, list[str]]]:
  """Returns each different item once, with the names of the runs that have it."""
  found: list[tuple[_T, list[str]]] = []
  for name, item in entries:
    if item is not None:
      names = next((names for known, names in found if known == item), None)
      if names is None:
        found.append((item, names := []))
      names.append(name)
  return found


def _labels(data: DataTable, of: str) -> Table:
  """Returns the numbers of cases and patients of each diagnosis."""
  total = len(data.ids)
  rows = []
  for label, count in sorted(Counter(data.labels).items()):
    texts = [label, str(count), _percent(count / total)]
    if data.patients is not None:
      own = {p for p, name in zip(data.patients, data.labels, strict=True) if name == label}
      texts.insert(2, str(len(own)))
    rows.append(tuple(map(TableCell, texts)))
  note = (
    f"{total} cases in all{_of_patients(data)}. A model that always predicts the most frequent"
    " label reaches its share as accuracy."
  )
  header = ("label", "cases", *(["patients"] if data.patients is not None else []), "share")
  return Table(f"Cases per label{of}", header, tuple(rows), note)


def _skipped(skipped: Skipped, of: str) -> Table:
  """Returns the files that a run left out, the first of them by name."""
  rows = tuple((TableCell(file), TableCell(reason)) for file, reason in skipped[:_MAX_SKIPPED])
  more = len(skipped) - len(rows)
  note = (
    f"{len(skipped)} in all, left out by config.data.skip_bad"
    + (f"; the other {more} are in skipped.csv." if more else ".")
    + " Scores are those of the rest."
  )
  return Table(f"Left out{of}", ("file", "reason"), rows, note)


def _of_patients(data: DataTable) -> str:
  """Returns in words how many patients there are."""
  if data.patients is None:
    return "; the data do not tell which of them are of one patient"
  return f", of {len(set(data.patients))} patients"


def _parts(split: SavedSplit, data: DataTable, of: str) -> Table:
  """Returns the numbers of cases of each diagnosis, and of patients, in each part of a split."""
  label_of = dict(zip(data.ids, data.labels, strict=True))
  patient_of = dict(zip(data.ids, data.patients or (), strict=False))
  parts = list(dict.fromkeys(part for one in split.parts.values() for part in one))

  def row(name: str, count: Callable[[Sequence[str]], int]) -> tuple[TableCell, ...]:
    spans = [_span([count(one.get(p, ())) for one in split.parts.values()]) for p in parts]
    return tuple(map(TableCell, (name, *spans)))

  def of_label(label: str) -> Callable[[Sequence[str]], int]:
    return lambda ids: sum(label_of.get(case) == label for case in ids)

  rows = [row(label, of_label(label)) for label in sorted(set(data.labels))]
  rows.append(row("all cases", len))
  if patient_of:
    rows.append(row("patients", lambda ids: len({patient_of[i] for i in ids if i in patient_of})))
  note = (
    "Numbers of cases by diagnosis, and of patients; two numbers are the smallest and the largest"
    " over the seeds. A metric of the diagnosis can tell little where a part has few cases of one."
  )
  return Table(f"Diagnoses and patients in each part{of}", ("label", *parts), tuple(rows), note)


def _pixels(data: DataTable, of: str) -> Table:
  totals = {name: sum(counts) for name, counts in data.pixels.items()}
  everything = max(1, sum(totals.values()))
  rows = tuple(
    (
      TableCell(name),
      TableCell(f"{totals[name]:,}"),
      TableCell(_percent(totals[name] / everything)),
      TableCell(str(sum(count == 0 for count in counts))),
    )
    for name, counts in data.pixels.items()
  )
  header = ("class", "pixels", "share", "cases without it")
  note = "The smaller the share of a class, the less a score over all pixels depends on it."
  return Table(f"Pixels per class{of}", header, rows, note)


def _split_sizes(splits: Sequence[tuple[SavedSplit, list[str]]]) -> Table:
  parts = dict.fromkeys(part for split, _ in splits for one in split.parts.values() for part in one)
  rows = tuple(
    (
      TableCell(listed(names, 3)),
      TableCell(str(len(split.parts))),
      *(TableCell(_span([len(one.get(p, ())) for one in split.parts.values()])) for p in parts),
      TableCell(str(len(split.near_duplicates))),
      TableCell(_span([crossing(split, seed) for seed in split.parts])),
    )
    for split, names in splits
  )
  header = ("runs", "seeds", *parts, "near-duplicate pairs", "of them across parts")
  note = (
    "Sizes are in cases; two numbers are the smallest and the largest over the seeds. A pair of"
    " near-duplicates across parts means that almost the same image is trained on and tested on,"
    " which makes scores too good."
  )
  return Table("Splits and near-duplicates", header, rows, note)


def _sizes(data: DataTable, class_name: str, name: str, of: str) -> ReportFigure:
  """Returns the distribution of the size of a class by label, over the cases that have it."""
  whole = np.sum(list(data.pixels.values()), axis=0)
  share = 100 * np.array(data.pixels[class_name]) / np.maximum(whole, 1)  # percent of the image
  labels = np.array(data.labels)
  middle = np.median(share[share > 0]) if (share > 0).any() else 0.0
  title = f"Size of {class_name}"
  alt = (
    f"{title}: the median of the {(share > 0).sum()} cases that have it is {middle:.2g} percent."
  )
  caption = f"{title} in percent of the image{of}; median {middle:.2g} percent."
  return report_figure(name, _histogram(share, labels, class_name), alt, caption)


def _histogram(share: np.ndarray, labels: np.ndarray, class_name: str) -> Figure:
  figure = Figure(figsize=(4.0, 3.0), layout="constrained")
  axes = figure.subplots()
  there = share > 0
  low, high = (share[there].min(), share[there].max()) if there.any() else (1.0, 10.0)
  margin = max(1.01, (10 * low / high) ** 0.5)  # at least a decade, so that the axis has a number
  bins = np.geomspace(low / margin, high * margin, _NUM_BINS + 1)
  for n, label in enumerate(sorted(set(labels[there].tolist()))):
    look = line_style(n)
    counts, _ = np.histogram(share[there & (labels == label)], bins)
    axes.stairs(counts, bins, fill=True, color=look["color"], alpha=0.2)
    axes.stairs(counts, bins, color=look["color"], linestyle="-:"[n % 2], lw=1.5, label=label)
  axes.set(xscale="log", xlabel=f"size of {class_name}, percent of the image", ylabel="cases")
  axes.xaxis.set_major_formatter("{x:g}")
  axes.xaxis.set_minor_formatter(NullFormatter())
  axes.grid(alpha=0.3)
  legend_of(figure, [axes])
  return figure


def _percent(share: float) -> str:
  return f"{100 * share:.1f} %"


def _span(numbers: Sequence[int]) -> str:
  """Returns one number, or the smallest and the largest.

  Example:
    >>> _span([3, 3]), _span([1, 3, 2])
    ('3', '1 to 3')
  """
  low, high = min(numbers), max(numbers)
  return str(low) if low == high else f"{low} to {high}"
