"""`results.json`: the scores of a run. It is written last, so a run that has it is complete.

    {
      "split": "test",
      "metrics": {"dice": {"mean": 0.78, "std": 0.02, "per_seed": [0.77, 0.79]}, ...},
      "classes": {"lesion": {"dice": {...}, "dice_pooled": {...}, "num_true": {...}, ...}, ...},
      "findings": {"edema": {"roc_auc": {...}, "classification_f1": {...}, ...}, ...},
      "ensemble": {
        "num_models": 2,
        "metrics": {"dice": {"value": 0.81, "low": 0.79, "high": 0.83}, ...}
      },
      "seeds": [0, 1],
      "config": {...}
    }

`std` is the sample standard deviation over the seeds, null for one seed. A number that is not
finite is null. The metrics of a class are means over the cases in which it is true or predicted;
`num_true` and `num_predicted` count these cases. Runs from before it was written have no `classes`.
`findings` is there where a case may have several of them; metrics of the diagnosis are then means
over the findings. `ensemble` is there where the mean of all models was tested; `low` and `high` are
the ends of the 95 % bootstrap interval over cases, null for a metric that is no mean over cases.
"""

import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlseg.files import read_json, reading, to_json, write_file
from mlseg.workdir import run_folder

NAME = "results.json"


class Metric(NamedTuple):
  """A metric over the seeds; None stands for what is not known."""

  mean: float | None
  std: float | None
  per_seed: tuple[float | None, ...]


class Estimate(NamedTuple):
  """A metric of the mean of all models, and its interval; None stands for what is not known."""

  value: float | None
  low: float | None
  high: float | None


class Ensemble(NamedTuple):
  """The scores of the mean of several models."""

  num_models: int
  metrics: dict[str, Estimate]  # by name


class Results(NamedTuple):
  """The scores of a run."""

  metrics: dict[str, Metric]  # by name
  seeds: tuple[int, ...]
  config: dict[str, Any]
  classes: dict[str, dict[str, Metric]]  # by class and name; {} in older runs
  ensemble: Ensemble | None = None  # None where it was not tested
  findings: Mapping[str, dict[str, Metric]] = {}  # by finding and name; {}: cases have diagnoses


def write(workdir: pathlib.Path, results: Mapping[str, Any]) -> None:
  """Writes what the file holds, as the module's docstring shows it, into a run's folder."""
  write_file(workdir / NAME, to_json(dict(results), indent=2) + "\n")


def read(workdir: pathlib.Path) -> Results:
  """Returns the scores of a run's folder.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  content = read_json(path)
  with reading(path):
    return Results(
      metrics=_metrics(content["metrics"]),
      seeds=tuple(content["seeds"]),
      config=run_folder.checked_config(content.get("config") or {}),
      classes={str(name): _metrics(own) for name, own in (content.get("classes") or {}).items()},
      findings={str(name): _metrics(own) for name, own in (content.get("findings") or {}).items()},
      ensemble=_ensemble(content["ensemble"]) if content.get("ensemble") else None,
    )


def _metrics(entries: Mapping[str, Any]) -> dict[str, Metric]:
  return {str(name): _metric(entry) for name, entry in entries.items()}


def _ensemble(content: Mapping[str, Any]) -> Ensemble:
  metrics = {
    str(name): Estimate(*(_finite(entry[field]) for field in Estimate._fields))
    for name, entry in content["metrics"].items()
  }
  return Ensemble(int(content["num_models"]), metrics)


def _metric(entry: Mapping[str, Any]) -> Metric:
  per_seed = tuple(_finite(value) for value in entry["per_seed"])
  return Metric(_finite(entry["mean"]), _finite(entry["std"]), per_seed)


def _finite(value: Any) -> float | None:
  return None if value is None or not math.isfinite(value) else float(value)
