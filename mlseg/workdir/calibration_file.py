"""`calibration.json`: the temperatures of each model, fitted on validation, and what they change.

    {
      "seeds": {"0": CALIBRATION, "1": CALIBRATION},
      "ensemble": CALIBRATION
    }

where `ensemble`, the mean of the seeds' models, is null where there is none, and a CALIBRATION is

    {
      "pixels": {
        "temperature": 1.31, "num_cases": 97,
        "before": {"nll": 0.164, "ece": 0.031, "error_detection_auc": 0.91,
                   "counts": [0, 120, ...], "confidence": [null, 0.53, ...], "accuracy": [...]},
        "after": {...}
      },
      "diagnoses": null
    }

`num_cases` are those that the temperature was fitted on, and null where it was fitted in another
run. `before` and `after` are of the test cases: the mean negative log-likelihood, the expected
calibration error, the AUC with which low confidence tells wrong from right, and the data of a
reliability diagram, by bins of confidence. What the network does not give is null.
"""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlseg.files import read_json, reading, to_json, write_file

NAME = "calibration.json"


class Confidence(NamedTuple):
  """How far the confidence of test pixels, or of diagnoses, can be trusted; None: not known."""

  nll: float
  ece: float
  error_detection_auc: float | None
  counts: tuple[int, ...]  # by bin
  confidence: tuple[float | None, ...]
  accuracy: tuple[float | None, ...]


class Scaling(NamedTuple):
  """A temperature, and the confidence of the test cases without and with it."""

  temperature: float
  num_cases: int | None  # on which it was fitted
  before: Confidence
  after: Confidence


class Calibration(NamedTuple):
  """The temperatures of one model; None for what it does not give."""

  pixels: Scaling | None
  diagnoses: Scaling | None


class Calibrations(NamedTuple):
  """The temperatures of a run."""

  seeds: Mapping[int, Calibration]
  ensemble: Calibration | None  # of the mean of the models; None where there is none


def write(workdir: pathlib.Path, calibrations: Calibrations) -> None:
  """Writes the temperatures into a run's folder."""
  content = {
    "seeds": {str(seed): _content(own) for seed, own in calibrations.seeds.items()},
    "ensemble": None if calibrations.ensemble is None else _content(calibrations.ensemble),
  }
  write_file(workdir / NAME, to_json(content, indent=1) + "\n")


def read(workdir: pathlib.Path) -> Calibrations:
  """Returns the temperatures of a run's folder.

  Raises:
    UserError: the file is missing or damaged, or a value is out of its range.
  """
  path = workdir / NAME
  content = read_json(path)
  with reading(path):
    ensemble = content["ensemble"]
    return Calibrations(
      {int(seed): _calibration(own) for seed, own in content["seeds"].items()},
      None if ensemble is None else _calibration(ensemble),
    )


def _content(calibration: Calibration) -> dict[str, Any]:
  return {
    name: None
    if scaling is None
    else scaling._asdict()
    | {part: getattr(scaling, part)._asdict() for part in ("before", "after")}
    for name, scaling in calibration._asdict().items()
  }


def _calibration(content: Mapping[str, Any]) -> Calibration:
  return Calibration(*(_scaling(content[name]) for name in Calibration._fields))


def _scaling(content: Mapping[str, Any] | None) -> Scaling | None:
  if content is None:
    return None
  temperature, count = content["temperature"], content["num_cases"]
  if not isinstance(temperature, int | float) or not 0 < temperature < 1e6:
    raise ValueError(f"temperature must be above 0, not {temperature!r}")
  before, after = (_confidence(content[part]) for part in ("before", "after"))
  return Scaling(float(temperature), None if count is None else int(count), before, after)


def _confidence(content: Mapping[str, Any]) -> Confidence:
  counts = tuple(int(count) for count in content["counts"])
  means = [
    tuple(None if value is None else float(value) for value in content[name])
    for name in ("confidence", "accuracy")
  ]
  if {len(counts)} != {len(values) for values in means}:
    raise ValueError("counts, confidence and accuracy must have the same length")
  auc = content["error_detection_auc"]
  auc = None if auc is None else float(auc)
  return Confidence(float(content["nll"]), float(content["ece"]), auc, counts, *means)
