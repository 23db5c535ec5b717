"""What a person should know of the data before reading scores."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from mlseg.report.drawing import Picture, line_style, picture
from mlseg.report.names import listed
from mlseg.report.tables import Cell, Table
from mlseg.workdir.run_files import DataTable, Run, Split

_T = TypeVar("_T", DataTable, Split)
_NUM_BINS = 24  # of the distribution of sizes


class Audit(NamedTuple):
  """Tables and figures of all data sets and splits."""

  tables: tuple[Table, ...]
  pictures: tuple[Picture, ...]


def audit(runs: Sequence[Run]) -> Audit:
  """Returns the audit of each different `data.csv`, and of all different `split.json`."""
  sets = _different((run.name, run.data) for run in runs)
  splits = _different((run.name, run.split) for run in runs)
  tables: list[Table] = []
  pictures: list[Picture] = []
  for place, (data, names) in enumerate(sets, start=1):
    of = f", data of {listed(names, 2)}" if len(sets) > 1 else ""
    tables += [_labels(data, of), _pixels(data, of)]
    pictures += [
      _sizes(data, name, f"sizes-{place}-{number}", of)
      for number, name in enumerate(list(data.pixels)[1:], start=1)
    ]
  if splits:
    tables.append(_split_sizes(splits))
  return Audit(tuple(tables), tuple(pictures))


def crossing(split: Split, seed: str) -> int:
  """Returns how many pairs of near-duplicates lie in two different parts of a seed's split.

  Example:
    >>> split = Split({"0": {"train": ("a", "b"), "test": ("c",)}}, (("a", "b"), ("b", "c")))
    >>> crossing(split, "0")
    1
  """
  part_of = {case: part for part, ids in split.parts[seed].items() for case in ids}
  return sum(
    a in part_of and b in part_of and part_of[a] != part_of[b] for a, b in split.near_duplicates
  )


def _different(entries: Iterable[tuple[str, _T | None]]) -> list[tuple[_T, list[str]]]:
  """Returns what is different, each with the names of the runs that have it."""
  found: list[tuple[_T, list[str]]] = []
  for name, item in entries:
    if item is not None:
      names = next((names for known, names in found if known == item), None)
      if names is None:
        found.append((item, names := []))
      names.append(name)
  return found


def _labels(data: DataTable, of: str) -> Table:
  total = len(data.ids)
  rows = tuple(
    (Cell(label), Cell(str(count)), Cell(_percent(count / total)))
    for label, count in sorted(Counter(data.labels).items())
  )
  note = (
    f"{total} cases in all; a model that knows only the most frequent label is right that often."
  )
  return Table(f"Cases per label{of}", ("label", "cases", "share"), rows, note)


def _pixels(data: DataTable, of: str) -> Table:
  totals = {name: sum(counts) for name, counts in data.pixels.items()}
  everything = max(1, sum(totals.values()))
  rows = tuple(
    (
      Cell(name),
      Cell(f"{totals[name]:,}"),
      Cell(_percent(totals[name] / everything)),
      Cell(str(sum(count == 0 for count in counts))),
    )
    for name, counts in data.pixels.items()
  )
  header = ("class", "pixels", "share", "cases without it")
  note = "The smaller the share of a class, the less a score over all pixels says about it."
  return Table(f"Pixels per class{of}", header, rows, note)


def _split_sizes(splits: Sequence[tuple[Split, list[str]]]) -> Table:
  parts = dict.fromkeys(part for split, _ in splits for one in split.parts.values() for part in one)
  rows = tuple(
    (
      Cell(listed(names, 3)),
      Cell(str(len(split.parts))),
      *(Cell(_span([len(one.get(p, ())) for one in split.parts.values()])) for p in parts),
      Cell(str(len(split.near_duplicates))),
      Cell(_span([crossing(split, seed) for seed in split.parts])),
    )
    for split, names in splits
  )
  header = ("runs", "seeds", *parts, "near-duplicate pairs", "of them across parts")
  note = (
    "Sizes in cases; two numbers are the least and the greatest of the seeds. A near-duplicate"
    " across parts is a picture of the training set that comes again, a little changed, where"
    " scores are taken: they are then too good."
  )
  return Table("Splits and near-duplicates", header, rows, note)


def _sizes(data: DataTable, class_name: str, name: str, of: str) -> Picture:
  """Returns the distribution of the size of a class, by label, of the cases that have it."""
  whole = np.sum(list(data.pixels.values()), axis=0)
  share = 100 * np.array(data.pixels[class_name]) / np.maximum(whole, 1)  # percent of the picture
  labels = np.array(data.labels)
  middle = np.median(share[share > 0]) if (share > 0).any() else 0.0
  title = f"Size of {class_name}"
  alt = (
    f"{title}: half of the {(share > 0).sum()} cases that have it are below {middle:.2g} percent."
  )
  caption = f"{title}, percent of the picture{of}; median {middle:.2g} percent."
  return picture(name, _histogram(share, labels, class_name), alt, caption)


def _histogram(share: np.ndarray, labels: np.ndarray, class_name: str) -> Figure:
  figure = Figure(figsize=(4.0, 3.0), layout="constrained")
  axes = figure.subplots()
  there = share > 0
  low, high = (share[there].min(), share[there].max()) if there.any() else (1.0, 10.0)
  margin = max(1.01, (10 * low / high) ** 0.5)  # at least a decade, for the axis to have a number
  bins = np.geomspace(low / margin, high * margin, _NUM_BINS + 1)
  for place, label in enumerate(sorted(set(labels[there].tolist()))):
    look = line_style(place)
    counts, _ = np.histogram(share[there & (labels == label)], bins)
    axes.stairs(counts, bins, fill=True, color=look["color"], alpha=0.2)
    axes.stairs(counts, bins, color=look["color"], linestyle="-:"[place % 2], lw=1.5, label=label)
  axes.set(xscale="log", xlabel=f"size of {class_name}, percent of the picture", ylabel="cases")
  axes.xaxis.set_major_formatter("{x:g}")
  axes.xaxis.set_minor_formatter(NullFormatter())
  axes.grid(alpha=0.3)
  figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
  return figure


def _percent(share: float) -> str:
  return f"{100 * share:.1f} %"


def _span(numbers: Sequence[int]) -> str:
  """Returns one number, or the least and the greatest.

  Example:
    >>> _span([3, 3]), _span([1, 3, 2])
    ('3', '1 to 3')
  """
  low, high = min(numbers), max(numbers)
  return str(low) if low == high else f"{low} to {high}"
