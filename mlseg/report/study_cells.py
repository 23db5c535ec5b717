"""Cells of the tables of a study, from the rows of a label: means, the leader, gaps and p."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from mlseg.report import leader
from mlseg.report.leader import Leader
from mlseg.report.tables import TableCell

Row = dict[str, str]  # of rows.csv
_DEVIATION = " Mean ± standard deviation over seeds."


def deviation_words(rows: Mapping[str, Sequence[Row]]) -> str:
  """Returns what stands behind ±, where any row has several seeds."""
  return _DEVIATION if any(len(found) > 1 for found in rows.values()) else ""


def score_cell(
  label: str, found: Sequence[Row], name: str, factor: float, best: Leader | None
) -> TableCell:
  """Returns the cell of a score.

  Args:
    label: of the row.
    found: its rows by seed.
    name: of the score.
    factor: of its values.
    best: the leader of the column, if there is one.
  """
  ahead = best is not None and best.name == label
  why = leader.in_words(best, factor) if best is not None and ahead else ""
  return TableCell(mean_text(found, name, factor), ahead, why)


def gaps_in_words(cells: Sequence[dict[str, Any]]) -> str:
  """Returns in words which cells have no results."""
  failed = [f"{cell['name']} ({cell['failed']})" for cell in cells if "failed" in cell]
  unfinished = [c["name"] for c in cells if not c["complete"] and "failed" not in c]
  text = f" Failed: {'; '.join(failed)}." if failed else ""
  return text + (f" Not complete: {', '.join(unfinished)}." if unfinished else "")


def values_of(rows: Sequence[Row], name: str) -> list[float]:
  """Returns a score of each row; nan where it is not known."""
  return [float(row[name]) if row[name] else math.nan for row in rows]


def leader_of(rows: Mapping[str, Sequence[Row]], name: str, less: bool) -> Leader | None:
  """Returns the label with the best mean, where an interval tells that it is the best."""
  return leader.leader(
    {
      label: dict(zip((int(row["seed"]) for row in found), values_of(found, name), strict=True))
      for label, found in rows.items()
    },
    less,
  )


def mean_of(rows: Sequence[Row], name: str) -> float:
  """Returns the mean of a score."""
  return statistics.fmean(values_of(rows, name))


def mean_text(rows: Sequence[Row], name: str, factor: float) -> str:
  """Returns mean ± sample standard deviation; of a single seed the value alone."""
  values = [factor * value for value in values_of(rows, name)]
  text = f"{statistics.fmean(values):.2f}"
  return f"{text} ± {statistics.stdev(values):.2f}" if len(values) > 1 else text


def p_text(value: str) -> str:
  """Returns a p-value as tables show it.

  Example:
    >>> p_text("0.0421"), p_text("1.3e-7"), p_text("")
    ('0.042', '< 0.001', '')
  """
  if not value:
    return ""
  p = float(value)
  return "< 0.001" if p < 0.001 else f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"
