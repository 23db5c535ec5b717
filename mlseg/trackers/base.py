"""What a tracker does, and the numbers of a record by the names that trackers show."""

import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np


class Started(NamedTuple):
  """The run that is tracked."""

  name: str  # for a person
  workdir: pathlib.Path
  config: Mapping[str, Any]  # the whole recipe


class Tracker(Protocol):
  """Writes what a run reports; made by `Class(started)`, which goes on with a run from before."""

  def numbers(self, seed: int, step: int, values: Mapping[str, float]) -> None:
    """Writes numbers of a model at a step."""

  def image(self, seed: int, step: int, name: str, pixels: np.ndarray) -> None:
    """Writes an image [H, W, 3] uint8 of a model at a step."""

  def summary(self, values: Mapping[str, float]) -> None:
    """Writes the scores of the run when it has ended."""

  def close(self) -> None:
    """Writes what is left."""


def numbers_of(record: Mapping[str, Any]) -> dict[str, float]:
  """Returns the finite numbers of a line of `metrics.jsonl` by the names that trackers show.

  Example:
    >>> numbers_of({"seed": 0, "step": 5, "epoch": 0.5, "losses": {"dice": 0.4},
    ...             "validation": {"dice": 0.6, "losses": {"dice": None}}})
    {'epoch': 0.5, 'losses/dice': 0.4, 'validation/dice': 0.6}
  """
  rest = {name: value for name, value in record.items() if name not in ("seed", "step")}
  return {name: value for name, value in _leaves(rest, "") if math.isfinite(value)}


def _leaves(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
  for name, value in values.items():
    if isinstance(value, Mapping):
      yield from _leaves(value, f"{prefix}{name}/")
    elif isinstance(value, int | float) and not isinstance(value, bool):
      yield f"{prefix}{name}", float(value)


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
  """Returns the values of a recipe by their dotted names.

  Example:
    >>> flat({"model": {"depth": 3}, "losses": ("dice",)})
    {'model.depth': 3, 'losses': ('dice',)}
  """
  found: dict[str, Any] = {}
  for name, value in config.items():
    if isinstance(value, Mapping):
      found |= flat(value, f"{prefix}{name}.")
    else:
      found[f"{prefix}{name}"] = value
  return found
