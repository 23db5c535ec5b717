"""`metrics.jsonl`: what training reports, a line per logged step and seed.

    {"seed": 0, "step": 50, "epoch": 1.0, "losses": {"focal": 0.021, ...},
     "weights": {"focal": 1.7, ...}, "images_per_second": 410.0, "nonfinite": 0,
     "validation": {"dice": 0.61, "losses": {"focal": 0.018, ...}}}

(in one line). `validation` is in the last line of a validated epoch alone; it has `dice` and, of
networks that diagnose, `accuracy` and `auc`. A number that is not finite is null.

Where the recipe asks for them, the first line of an epoch has

     "cosines": {"soft_dice/focal": 0.71, ...}

the cosine between the gradients of each pair of losses in the first step of this epoch, before the
step is taken; null where the batch lacks a loss, or a gradient is not finite.
"""

import json
import math
import os
import pathlib
from typing import Any

from mlseg.errors import UserError
from mlseg.files import open_regular, read_bytes, reading, to_json, write_file

NAME = "metrics.jsonl"
_BETWEEN = "/"  # the names of two losses, which have no such sign
# What a line that is no record raises.
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


class MetricsFile:
  """The file of one run while it is trained.

  Args:
    path: of the file.
  """

  def __init__(self, path: pathlib.Path):
    self._path = path

  def append(self, records: list[dict[str, Any]]) -> None:
    """Adds a line for each record, which has the keys 'seed' and 'step' among others.

    Raises:
      UserError: the file cannot be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
      with os.fdopen(open_regular(self._path, flags), "a", encoding="utf-8") as file:
        file.write("".join(to_json(record) + "\n" for record in records))
    except OSError as error:
      raise UserError(f"{self._path} cannot be written ({error.strerror})") from error

  def rewind(self, seeds: list[int], step: int) -> int:
    """Drops the lines that training will write again when it resumes, and damaged ones.

    Args:
      seeds: that are resumed.
      step: at which they are; their later lines are dropped.

    Returns:
      The number of damaged lines, without a last line that a kill cut in two.

    Raises:
      UserError: the file cannot be read or written.
    """
    try:
      content = read_bytes(self._path)
    except FileNotFoundError:
      return 0
    except OSError as error:
      raise UserError(f"{self._path} cannot be read ({error.strerror})") from error
    lines = content.split(b"\n")
    kept, damaged = [], 0
    for number, line in enumerate(lines, start=1):
      try:
        record = _checked(json.loads(line))
        is_kept = record["seed"] not in seeds or int(record["step"]) <= step
      except _DAMAGE:
        damaged += number < len(lines)
        continue
      if is_kept:
        kept.append(line + b"\n")
    with reading(self._path):
      write_file(self._path, b"".join(kept))
    return damaged


def pair_name(one: str, other: str) -> str:
  """Returns the name of a pair of losses in `cosines`.

  Example:
    >>> pair_name("soft_dice", "focal")
    'soft_dice/focal'
  """
  return f"{one}{_BETWEEN}{other}"


def losses_of_pair(name: str) -> tuple[str, str]:
  """Returns the names of the two losses of a pair."""
  one, _, other = name.partition(_BETWEEN)
  return one, other


def read(workdir: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the records of a run; a number that is not finite is None.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  with reading(path):
    return [_checked(json.loads(line)) for line in read_bytes(path).splitlines()]


def _checked(record: dict[str, Any]) -> dict[str, Any]:
  """Returns a record whose numbers are floats or None."""
  checked = record | {"seed": int(record["seed"]), "epoch": float(record["epoch"])}
  for field in ("losses", "weights"):
    checked[field] = {str(name): _finite(value) for name, value in record[field].items()}
  if "cosines" in record:
    found = {str(name): _finite(value) for name, value in record["cosines"].items()}
    if any(name.count(_BETWEEN) != 1 for name in found):
      raise ValueError(f"cosines must be of pairs of losses, not {', '.join(found)}")
    checked["cosines"] = found
  if "validation" in record:
    scores = record["validation"]
    known = {str(name): value for name, value in scores.items() if name != "losses"}
    checked["validation"] = {name: _finite(value) for name, value in known.items()}
  return checked


def _finite(value: Any) -> float | None:
  return None if value is None or not math.isfinite(value) else float(value)
