"""`postprocessing.json`: how each model's probabilities become masks, as chosen on validation.

    {
      "seeds": {"0": CHOICE, "1": CHOICE},
      "ensemble": CHOICE
    }

where `ensemble`, the mean of the seeds' models, is null where there is none, and a CHOICE is

    {
      "threshold": 0.45,
      "component_share": 0.002,
      "hole_share": 0.0,
      "num_cases": 97,
      "dice_without": 0.771,
      "dice": 0.779,
      "grids": {
        "threshold": [[0.05, 0.612], [0.1, 0.688], ...],
        "component_share": [[0.0, 0.774], ...],
        "hole_share": [[0.0, 0.779], ...]
      }
    }

`threshold` is null where the most probable class counts. The shares are of the pixels of an image;
smaller components and holes go. The grids have the mean Dice of the validation cases for each value
that was tried; they are empty where nothing was to be chosen.
"""

import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlseg.files import read_json, reading, to_json, write_file
from mlseg.postprocessing.decision import Choice, Decision

NAME = "postprocessing.json"


class Choices(NamedTuple):
  """What was chosen on validation for the models of a run."""

  seeds: Mapping[int, Choice]  # by seed
  ensemble: Choice | None  # for the mean of the models; None where there is none


def write(workdir: pathlib.Path, choices: Choices) -> None:
  """Writes the choices into a run's folder."""
  content = {
    "seeds": {str(seed): _content(choice) for seed, choice in choices.seeds.items()},
    "ensemble": None if choices.ensemble is None else _content(choices.ensemble),
  }
  write_file(workdir / NAME, to_json(content, indent=1) + "\n")


def read(workdir: pathlib.Path) -> Choices:
  """Returns the choices of a run's folder.

  Raises:
    UserError: the file is missing or damaged, or a value is out of its range.
  """
  path = workdir / NAME
  content = read_json(path)
  with reading(path):
    ensemble = content["ensemble"]
    return Choices(
      {int(seed): _choice(own) for seed, own in content["seeds"].items()},
      None if ensemble is None else _choice(ensemble),
    )


def _content(choice: Choice) -> dict[str, Any]:
  grids = choice.thresholds, choice.components, choice.holes
  return {
    **choice.decision._asdict(),
    "num_cases": choice.num_cases,
    "dice_without": choice.without,
    "dice": choice.score,
    "grids": {
      name: [list(pair) for pair in grid.items()]
      for name, grid in zip(Decision._fields, grids, strict=True)
    },
  }


def _choice(content: Mapping[str, Any]) -> Choice:
  threshold, grids = content["threshold"], content["grids"]
  decision = Decision(
    None if threshold is None else _share("threshold", threshold),
    _share("component_share", content["component_share"]),
    _share("hole_share", content["hole_share"]),
  )
  scores = (
    {_share(name, value): _share("dice", score, 1.0) for value, score in grids[name]}
    for name in Decision._fields
  )
  return Choice(
    decision,
    int(content["num_cases"]),
    _share("dice_without", content["dice_without"], 1.0),
    _share("dice", content["dice"], 1.0),
    *scores,
  )


def _share(name: str, value: Any, most: float = math.nextafter(1.0, 0.0)) -> float:
  """Returns a number from 0 to 1, of which 1 is one only where `most` is.

  Raises:
    ValueError: it is something else.
  """
  if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
    raise ValueError(f"{name} must be in [0, 1{']' if most == 1 else ')'}, not {value!r}")
  return float(value)
