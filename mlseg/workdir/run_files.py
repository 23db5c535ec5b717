"""What a run's files say: what is not there is None, what is damaged an error."""

import csv
import json
import math
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np

from mlseg.errors import UserError
from mlseg.metrics import foreground_dice_per_case
from mlseg.workdir import outcomes as outcome_files
from mlseg.workdir import patients as patient_files

# What reading a damaged file raises; OSError beside them where it cannot be read at all.
_DAMAGES = (
  ValueError,  # also of json, of unicode, and of a pickle that numpy refuses
  KeyError, IndexError, TypeError, AttributeError, EOFError, csv.Error, zipfile.BadZipFile,
  zlib.error, NotImplementedError, RecursionError,
)  # fmt: skip

_T = TypeVar("_T")

SCORES = ("dice", "accuracy")  # of a validation


class Case(NamedTuple):
  """How one seed did on one test case."""

  label: str
  dice: float  # mean over the classes but the first, the background; nan where it has none


class DataTable(NamedTuple):
  """The cases of a data set."""

  ids: tuple[str, ...]  # [N]
  labels: tuple[str, ...]  # [N]
  pixels: dict[str, tuple[int, ...]]  # by class, the background first: [N]


class Split(NamedTuple):
  """Which case is where."""

  parts: dict[str, dict[str, tuple[str, ...]]]  # by seed, by part: ids
  near_duplicates: tuple[tuple[str, str], ...]


class Examples(NamedTuple):
  """Test cases of the first seed."""

  images: np.ndarray  # [N, H, W, 1 or 3] uint8
  masks: np.ndarray  # [N, H, W] uint8, classes
  predictions: np.ndarray  # [N, H, W] uint8, classes
  ids: tuple[str, ...]  # [N]
  dice: np.ndarray  # [N], mean over the classes but the background


class Saliency(NamedTuple):
  """Where the head of classes of the first seed looked, in some test cases."""

  images: np.ndarray  # [N, H, W, 1 or 3] uint8
  masks: np.ndarray  # [N, H, W] uint8, classes
  maps: dict[str, np.ndarray]  # by method [N, H, W] uint8, the most important place 255
  ids: tuple[str, ...]  # [N]
  labels: tuple[str, ...]  # [N]
  predicted: tuple[str, ...]  # [N]

  @property
  def methods(self) -> tuple[str, ...]:
    """The methods, in their order."""
    return tuple(self.maps)


class Run(NamedTuple):
  """A run's files."""

  name: str
  folder: pathlib.Path
  metrics: dict[str, dict[str, Any]]  # by name: mean, std (None for one seed), per_seed
  seeds: tuple[Any, ...]
  config: dict[str, Any]
  about: dict[str, Any]  # of config.json: versions, device, data; empty where it is not there
  modified: float  # seconds since 1970, of results.json
  records: list[dict[str, Any]] | None  # of metrics.jsonl
  cases: dict[tuple[str, str], Case] | None  # by seed and id, of cases.csv
  data: DataTable | None  # of data.csv
  split: Split | None  # of split.json
  examples: Examples | None  # of examples.npz
  diagnoses: dict[tuple[str, str], tuple[str, str]] | None  # diagnoses.csv: true and predicted
  saliency: Saliency | None  # of saliency.npz
  patients: patient_files.Patients | None  # of patients.npz
  tested: tuple[outcome_files.Row, ...] | None  # of diagnoses.csv, with probabilities
  validated: tuple[outcome_files.Row, ...] | None  # of validation_diagnoses.csv
  cohort: outcome_files.Cohort | None  # of data.csv: patients and covariates


def read(name: str, folder: pathlib.Path) -> Run:
  """Returns a run.

  Args:
    name: what it is called.
    folder: with `results.json`; every other file may be absent.

  Raises:
    UserError: a file is damaged or cannot be read.
  """
  path = folder / "results.json"
  metrics, seeds, config = _read(path, _results) or ({}, (), {})
  about = _read(folder / "config.json", _about) or {}
  return Run(
    name=name,
    folder=folder,
    metrics=metrics,
    seeds=seeds,
    config=config or about.get("config", {}),
    about=about,
    modified=path.stat().st_mtime,
    records=_read(folder / "metrics.jsonl", _records),
    cases=_read(folder / "cases.csv", _cases),
    data=_read(folder / "data.csv", _data),
    split=_read(folder / "split.json", _split),
    examples=_read(folder / "examples.npz", _examples),
    diagnoses=_read(folder / "diagnoses.csv", _diagnoses),
    saliency=read_saliency(folder),
    patients=_read(folder / "patients.npz", patient_files.read),
    tested=_read(folder / "diagnoses.csv", outcome_files.diagnosis_rows),
    validated=_read(folder / "validation_diagnoses.csv", outcome_files.diagnosis_rows),
    cohort=_read(folder / "data.csv", outcome_files.cohort),
  )


def read_saliency(folder: pathlib.Path) -> Saliency | None:
  """Returns what `saliency.npz` of a run's folder holds; None where there is none."""
  return _read(folder / "saliency.npz", _saliency)


@contextmanager
def damage(what: object) -> Iterator[None]:
  """Turns what reading a damaged file raises into a UserError that names it.

  Args:
    what: the file.
  """
  try:
    yield
  except UserError:
    raise
  except OSError as error:
    raise UserError(f"{error.filename or what} cannot be read ({error.strerror})") from error
  except _DAMAGES as error:
    reason = " ".join(str(error).split())
    raise UserError(f"{what} is damaged: {type(error).__name__}: {reason[:150]}") from error


def _read(path: pathlib.Path, parse: Callable[[pathlib.Path], _T]) -> _T | None:
  if not path.exists():
    return None
  with damage(path):
    return parse(path)


def _results(
  path: pathlib.Path,
) -> tuple[dict[str, dict[str, Any]], tuple[Any, ...], dict[str, Any]]:
  content = json.loads(path.read_text())
  metrics = {
    str(name): {key: _number(entry[key]) for key in ("mean", "std")}
    for name, entry in content["metrics"].items()
  }
  return metrics, tuple(content["seeds"]), dict(content.get("config") or {})


def _number(value: Any) -> float | None:
  return None if value is None or not math.isfinite(value) else float(value)


def _about(path: pathlib.Path) -> dict[str, Any]:
  content = json.loads(path.read_text())
  return {
    "config": dict(content.get("config") or {}),
    "versions": {str(k): str(v) for k, v in (content.get("versions") or {}).items()},
    "device": str(content.get("device") or ""),
    "data": str(content.get("data") or ""),
  }


def _records(path: pathlib.Path) -> list[dict[str, Any]]:
  records = [json.loads(line) for line in path.read_text().splitlines()]
  for record in records:
    record["epoch"] = float(record["epoch"])
    record["seed"] = str(record["seed"])
    for field in ("losses", "weights"):
      record[field] = {str(k): _number(v) for k, v in record[field].items()}
    if "validation" in record:
      said = record["validation"]
      record["validation"] = {name: _number(said[name]) for name in SCORES if name in said}
  return records


def _cases(path: pathlib.Path) -> dict[tuple[str, str], Case]:
  with path.open(newline="") as file:
    rows = list(csv.DictReader(file, strict=True))
  if not rows or "class" not in rows[0]:
    raise ValueError("it must have a row per seed, case and class")
  labels = {(row["seed"], row["id"]): row.get("label") or "all" for row in rows}
  values: dict[tuple[str, str], list[float]] = {key: [] for key in labels}
  for row in rows:
    values[row["seed"], row["id"]].append(float(row["dice"]))
  return {
    key: Case(labels[key], float(foreground_dice_per_case(dice))) for key, dice in values.items()
  }


def _data(path: pathlib.Path) -> DataTable:
  with path.open(newline="") as file:
    rows = list(csv.DictReader(file, strict=True))
  columns = [name for name in rows[0] if name.startswith("pixels_")]
  return DataTable(
    ids=tuple(row["id"] for row in rows),
    labels=tuple(row.get("label") or "all" for row in rows),
    pixels={c.removeprefix("pixels_"): tuple(int(row[c]) for row in rows) for c in columns},
  )


def _split(path: pathlib.Path) -> Split:
  content = json.loads(path.read_text())
  parts = {
    str(seed): {str(part): tuple(map(str, ids)) for part, ids in parts.items()}
    for seed, parts in content["seeds"].items()
  }
  pairs = tuple((str(pair[0]), str(pair[1])) for pair in content.get("near_duplicates") or ())
  return Split(parts, pairs)


def _diagnoses(path: pathlib.Path) -> dict[tuple[str, str], tuple[str, str]]:
  with path.open(newline="") as file:
    rows = list(csv.DictReader(file, strict=True))
  return {(row["seed"], row["id"]): (row["label"], row["predicted"]) for row in rows}


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
  # Opened here, since numpy does not close what it cannot read.
  with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
    return dict(file)


def _check_images(images: np.ndarray) -> None:
  if images.ndim != 4 or images.shape[-1] not in (1, 3) or images.dtype != np.uint8:
    raise ValueError(f"images must be [N, H, W, 1 or 3] uint8, not {images.shape} {images.dtype}")


def _saliency(path: pathlib.Path) -> Saliency:
  content = _arrays(path)
  images, masks = content["images"], content["masks"]
  ids, labels, predicted = (
    tuple(map(str, content[name].tolist())) for name in ("ids", "labels", "predicted")
  )
  maps = {name.removeprefix("map_"): content[name] for name in content if name.startswith("map_")}
  _check_images(images)
  shape = (len(ids), *images.shape[1:3])
  if not len(images) == len(labels) == len(predicted) == len(ids) or any(
    array.shape != shape for array in (masks, *maps.values())
  ):
    raise ValueError("images, masks, maps, ids, labels and predicted are not of the same cases")
  return Saliency(images, masks, maps, ids, labels, predicted)


def _examples(path: pathlib.Path) -> Examples:
  content = _arrays(path)
  images, ids = content["images"], tuple(content["ids"].tolist())
  masks, predictions, dice = content["masks"], content["predictions"], content["dice"]
  shape = (len(ids), *images.shape[1:3])
  _check_images(images)
  if not len(images) == len(ids) == len(dice) or not masks.shape == predictions.shape == shape:
    raise ValueError("images, masks, predictions, ids and dice are not of the same cases")
  return Examples(images, masks, predictions, tuple(map(str, ids)), dice)
