"""`data.csv`: the cases of the data set, one row each.

    id,label,group,patient,pixels_background,pixels_lesion,covariate_age
    benign (1),benign,0,0,14836,1548,61
    benign (2),benign,1,1,15800,584,

A group is a number that is the same for cases which the split keeps together: those of a patient,
and near-duplicates. A patient is a number too; data whose patients are not known have no such
column. A covariate that is not known is an empty cell.
"""

import math
import pathlib
from typing import NamedTuple

from mlseg.files import Row, read_csv, read_header, reading, to_csv, write_file

NAME = "data.csv"
PIXELS, COVARIATE = "pixels_", "covariate_"  # before the name of a class, or of a covariate


class DataTable(NamedTuple):
  """The cases of a data set."""

  ids: tuple[str, ...]  # [N]
  labels: tuple[str, ...]  # [N], diagnoses
  groups: tuple[int, ...] | None  # [N]; None: an older run, which did not write them
  pixels: dict[str, tuple[int, ...]]  # by class, the background first: [N]
  covariates: dict[str, dict[str, float]]  # by name, by id; without those that are not known
  patients: tuple[int, ...] | None = None  # [N]; None: they are not known


def write(workdir: pathlib.Path, data: DataTable) -> None:
  """Writes the table into a run's folder."""
  rows: list[Row] = [
    {"id": name, "label": data.labels[n]}
    | ({} if data.groups is None else {"group": data.groups[n]})
    | ({} if data.patients is None else {"patient": data.patients[n]})
    | {f"{PIXELS}{class_name}": counts[n] for class_name, counts in data.pixels.items()}
    | {f"{COVARIATE}{c}": known.get(name, "") for c, known in data.covariates.items()}
    for n, name in enumerate(data.ids)
  ]
  write_file(workdir / NAME, to_csv(rows))


def read(workdir: pathlib.Path) -> DataTable:
  """Returns the table of a run's folder; without labels, which old runs lack, all are 'all'.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  rows = read_csv(path, columns=("id",))
  with reading(path):
    if not rows:
      raise ValueError("it has no rows")
    return DataTable(
      ids=tuple(row["id"] for row in rows),
      labels=tuple(row.get("label") or "all" for row in rows),
      groups=tuple(int(row["group"]) for row in rows) if "group" in rows[0] else None,
      pixels={c: tuple(int(row[PIXELS + c]) for row in rows) for c in _names(rows[0], PIXELS)},
      covariates={c: _known(rows, COVARIATE + c) for c in _names(rows[0], COVARIATE)},
      patients=tuple(int(row["patient"]) for row in rows) if "patient" in rows[0] else None,
    )


def class_names(workdir: pathlib.Path) -> tuple[str, ...]:
  """Returns the classes of the masks, the background first.

  Raises:
    UserError: the file is missing or damaged.
  """
  return tuple(_names(dict.fromkeys(read_header(workdir / NAME), ""), PIXELS))


def _names(row: dict[str, str], prefix: str) -> list[str]:
  return [name.removeprefix(prefix) for name in row if name.startswith(prefix)]


def _known(rows: list[dict[str, str]], name: str) -> dict[str, float]:
  """Returns a covariate by id, where its cell is neither empty nor nan."""
  values = {row["id"]: float(row[name] or "nan") for row in rows}
  if wrong := [value for value in values.values() if math.isinf(value)]:
    raise ValueError(f"{name} must be finite, not {wrong[0]}")
  return {case: value for case, value in values.items() if not math.isnan(value)}
