"""All files of a run's folder, read at once: None stands for a file that is not there."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from mlseg.files import Row
from mlseg.workdir import (
  calibration_file,
  case_table,
  data_table,
  diagnosis_table,
  examples_file,
  metrics_log,
  patients_file,
  postprocessing_file,
  results_file,
  run_folder,
  saliency_file,
  skipped_table,
  split_file,
)
from mlseg.workdir.calibration_file import Calibrations
from mlseg.workdir.case_table import CaseScore
from mlseg.workdir.data_table import DataTable
from mlseg.workdir.examples_file import Examples
from mlseg.workdir.patients_file import Patients
from mlseg.workdir.postprocessing_file import Choices
from mlseg.workdir.results_file import Ensemble, Metric
from mlseg.workdir.run_folder import Description
from mlseg.workdir.saliency_file import Saliency
from mlseg.workdir.split_file import SavedSplit

_T = TypeVar("_T")
_NOTHING = Description(config={}, data="", strategy=None, device="", versions={})


class RunFiles(NamedTuple):
  """What the files of a run hold."""

  name: str
  folder: pathlib.Path
  metrics: dict[str, Metric]  # by name, of results.json
  classes: dict[str, dict[str, Metric]]  # by class and name, of results.json; {} in older runs
  seeds: tuple[int, ...]
  config: dict[str, Any]
  about: Description  # of config.json; empty where it is not there
  modified: float  # seconds since 1970, of results.json
  records: list[dict[str, Any]] | None  # of metrics.jsonl
  cases: dict[tuple[int, str], CaseScore] | None  # by seed and id, of cases.csv
  data: DataTable | None  # of data.csv
  split: SavedSplit | None  # of split.json
  skipped: tuple[tuple[str, str], ...]  # of skipped.csv, files and reasons
  examples: Examples | None  # of examples.npz
  saliency: Saliency | None  # of saliency.npz
  patients: Patients | None  # of patients.npz
  tested: list[Row] | None  # of diagnoses.csv
  validated: list[Row] | None  # of validation_diagnoses.csv
  ensemble: Ensemble | None = None  # of results.json; None where the mean was not tested
  choices: Choices | None = None  # of postprocessing.json
  calibrations: Calibrations | None = None  # of calibration.json
  findings: Mapping[str, dict[str, Metric]] = {}  # by finding and name, of results.json


def read(name: str, folder: pathlib.Path) -> RunFiles:
  """Returns a run.

  Args:
    name: of the run, to be shown.
    folder: with `results.json`; every other file may be absent.

  Raises:
    UserError: a file is damaged or cannot be read.
  """

  def known(file: str, read_file: Callable[[pathlib.Path], _T]) -> _T | None:
    return read_file(folder) if (folder / file).exists() else None

  results = results_file.read(folder)
  about = known(run_folder.NAME, run_folder.read) or _NOTHING
  rows = known(case_table.NAME, case_table.read)
  validation = diagnosis_table.VALIDATION_NAME
  return RunFiles(
    name=name,
    folder=folder,
    metrics=results.metrics,
    classes=results.classes,
    seeds=results.seeds,
    config=results.config or about.config,
    about=about,
    modified=(folder / results_file.NAME).stat().st_mtime,
    records=known(metrics_log.NAME, metrics_log.read),
    cases=None if rows is None else case_table.foreground_scores(rows),
    data=known(data_table.NAME, data_table.read),
    split=known(split_file.NAME, split_file.read),
    skipped=tuple(skipped_table.read(folder)),
    examples=known(examples_file.NAME, examples_file.read),
    saliency=known(saliency_file.NAME, saliency_file.read),
    patients=known(patients_file.NAME, patients_file.read),
    tested=known(diagnosis_table.NAME, diagnosis_table.read),
    validated=known(validation, lambda path: diagnosis_table.read(path, validation)),
    ensemble=results.ensemble,
    choices=known(postprocessing_file.NAME, postprocessing_file.read),
    calibrations=known(calibration_file.NAME, calibration_file.read),
    findings=results.findings,
  )
