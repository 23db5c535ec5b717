"""`metrics.jsonl`: what training reports, a line per logged step and seed.

    {"seed": 0, "step": 50, "epoch": 1.0, "losses": {"focal": 0.021, ...},
     "weights": {"focal": 1.7, ...}, "images_per_second": 410.0, "nonfinite": 0,
     "validation": {"dice": 0.61, "losses": {"focal": 0.018, ...}}}

(in one line). `validation` is in the last line of an epoch alone; it has `dice` and, of networks
that diagnose, `accuracy` and `auc`. A number that is not finite is null.
"""

import json
import math
import pathlib
from typing import Any

from mlseg.files import reading, to_json, write_file

NAME = "metrics.jsonl"


class MetricsFile:
  """The file of one run while it is trained.

  Args:
    path: of the file.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path

  def append(self, records: list[dict[str, Any]]) -> None:
    """Adds a line for each record, which has the keys 'seed' and 'step' among others."""
    with self._path.open("a") as file:
      file.write("".join(to_json(record) + "\n" for record in records))

  def rewind(self, seeds: list[int], step: int) -> None:
    """Drops the lines that training will write again when it resumes.

    Args:
      seeds: that are resumed.
      step: at which they are; their later lines are dropped.
    """
    if not self._path.exists():
      return
    kept = []
    for line in self._path.read_text().splitlines():
      try:
        record = json.loads(line)
      except json.JSONDecodeError:  # the line that a kill cut in two
        continue
      if record["seed"] not in seeds or record["step"] <= step:
        kept.append(line)
    write_file(self._path, "".join(line + "\n" for line in kept))


def read(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the records of a run; a number that is not finite is None.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  with reading(path):
    lines = path.read_text().splitlines()
    return [_checked(json.loads(line)) for line in lines]


def _checked(record: dict[str, Any]) -> dict[str, Any]:
  """Returns a record whose numbers are floats or None."""
  checked = record | {"seed": int(record["seed"]), "epoch": float(record["epoch"])}
  for field in ("losses", "weights"):
    checked[field] = {str(name): _finite(value) for name, value in record[field].items()}
  if "validation" in record:
    scores = record["validation"]
    known = {str(name): value for name, value in scores.items() if name != "losses"}
    checked["validation"] = {name: _finite(value) for name, value in known.items()}
  return checked


def _finite(value: Any) -> float | None:
  return None if value is None or not math.isfinite(value) else float(value)
