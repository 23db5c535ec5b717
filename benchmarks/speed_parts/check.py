"""Compares measurements with committed ones: which ratios are worse than they were."""

from collections.abc import Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]
TOLERANCE = 0.1  # the share by which a ratio may be worse
# Of each part: its columns that are ratios, and whether more of them is better.
_SPEED = {
  "ratio": True, "ratio_many": True, "ratio_onednn": True, "ratio_bfloat16": True,
  "ratio_exact": True,
}  # fmt: skip
RATIOS = {
  "frameworks": _SPEED,
  "frameworks_256": _SPEED,
  "multitask": _SPEED,
  "multitask_256": _SPEED,
  "lite": _SPEED,
  "lite_256": _SPEED,
  "gram": {"ratio": False},
  "seeds": {"ratio": False},
  "floor": {"fraction": True},
  "sweep": {"share": False},
}
_NAMES = ("run", "framework", "variant", "strategy", "models", "batch", "dtype")  # of a row


def worse(part: str, committed: list[Row], measured: list[Row]) -> Iterator[str]:
  """Yields a line for each ratio that is worse than the committed one by more than `TOLERANCE`.

  Args:
    part: a key of `RATIOS`.
    committed: rows of the file.
    measured: rows of now; a row that the file lacks is not compared.
  """
  before = {_name(row): row for row in committed}
  for row in measured:
    known = before.get(_name(row), {})
    for column, more_is_better in RATIOS[part].items():
      if row.get(column) is None or known.get(column) is None:
        continue
      old, new = _median(known[column]), _median(row[column])
      kept = new / old if more_is_better else old / new
      if kept < 1 - TOLERANCE:
        name = ", ".join(str(value) for value in _name(row) if value is not None)
        yield f"{part}: {name}: {column} {new:.3g}, committed {old:.3g}"


def _name(row: Row) -> tuple[Any, ...]:
  return tuple(row.get(name) for name in _NAMES)


def _median(ratio: float | list[float]) -> float:
  """Returns a ratio, or the median of (first quartile, median, third quartile)."""
  return ratio[1] if isinstance(ratio, list) else ratio
