"""Rows of the tables of a run, from its cases and scores."""

import math
from collections.abc import Sequence

import numpy as np

from mlseg.data import multilabel, padding, partial
from mlseg.data.cases import Cases
from mlseg.files import Row
from mlseg.metrics import per_case
from mlseg.metrics.detection import ImageBoxes
from mlseg.training import case_objects
from mlseg.training.scoring import SeedScores
from mlseg.workdir import (
  attention_table,
  box_table,
  case_table,
  diagnosis_table,
  finding_table,
)
from mlseg.workdir.data_table import DataTable


def case_rows(cases: Cases, test: np.ndarray, scores: SeedScores, seed: int | None) -> list[Row]:
  """Returns the rows of `cases.csv` of one model; none where the network gives no masks.

  Args:
    cases: the data set.
    test: [N], indices of the test cases.
    scores: of the model.
    seed: of the model; None: of the mean of all models.
  """
  if scores.counts is None:
    return []
  metrics = per_case(scores.counts)
  if scores.surfaces is not None:
    metrics = metrics | dict(scores.surfaces.metrics)
  if scores.objects is not None:
    metrics = metrics | case_objects.of_cases(scores.objects)
  ids, labels = _ids(cases, test), _labels(cases, test)
  return case_table.make_rows(seed, ids, labels, cases.class_names, scores.counts, metrics)


def diagnosis_rows(
  cases: Cases, indices: np.ndarray, probabilities: np.ndarray, seed: int | None
) -> list[Row]:
  """Returns the rows of `diagnoses.csv` or `validation_diagnoses.csv` of one model.

  Args:
    cases: the data set.
    indices: [N], of the test or the validation cases.
    probabilities: [N, L], of the diagnoses.
    seed: of the model; None: of the mean of all models.
  """
  ids, labels = _ids(cases, indices), _labels(cases, indices)
  return diagnosis_table.make_rows(seed, ids, labels, cases.label_names, probabilities)


def finding_rows(
  cases: Cases, indices: np.ndarray, probabilities: np.ndarray, seed: int | None
) -> list[Row]:
  """Returns the rows of `findings.csv` or `validation_findings.csv` of one model.

  Args:
    cases: the data set, whose cases may have several findings.
    indices: [N], of the test or the validation cases.
    probabilities: [N, L], of the findings.
    seed: of the model; None: of the mean of all models.
  """
  predicted = predicted_names(cases, probabilities)
  ids, labels, names = _ids(cases, indices), _labels(cases, indices), cases.finding_names
  true = cases.diagnoses[indices]
  return finding_table.make_rows(seed, ids, labels, predicted, names, true, probabilities)


def predicted_names(cases: Cases, probabilities: np.ndarray) -> list[str]:
  """Returns what is predicted of each case: the most probable diagnosis, or all its findings.

  Args:
    cases: the data set.
    probabilities: [N, L].
  """
  names = cases.diagnosis_names
  if cases.findings is None:
    return [names[int(own.argmax())] for own in probabilities]
  return [multilabel.combination(names, own > multilabel.THRESHOLD) for own in probabilities]


def attention_rows(cases: Cases, test: np.ndarray, attention: np.ndarray, seed: int) -> list[Row]:
  """Returns the rows of `attention.csv` of one model.

  Args:
    cases: the data set, volumes.
    test: [N], indices of the test cases.
    attention: [N, S], of the slices.
    seed: of the model.
  """
  return attention_table.make_rows(seed, _ids(cases, test), attention)


def box_rows(cases: Cases, test: np.ndarray, boxes: Sequence[ImageBoxes], seed: int) -> list[Row]:
  """Returns the rows of `boxes.csv` of one model.

  Args:
    cases: the data set.
    test: [N], indices of the test cases.
    boxes: N, or none where the network is no detector.
    seed: of the model.
  """
  return [
    row
    for case, own in zip(_ids(cases, test), boxes, strict=False)
    for row in box_table.make_rows(
      seed, case, [cases.class_names[c] for c in own.classes], own.scores, own.boxes
    )
  ]


def data_table(cases: Cases, groups: np.ndarray) -> DataTable:
  """Returns what `data.csv` holds: diagnoses, groups, patients, pixels of each class, covariates.

  Args:
    cases: the data set.
    groups: [N], the same number for cases that a split keeps together.
  """
  pixels = padding.class_pixels(cases.masks, len(cases.class_names))
  return DataTable(
    ids=tuple(cases.ids),
    labels=tuple(_labels(cases, range(len(cases.ids)))),
    groups=tuple(map(int, groups)),
    pixels=dict(zip(cases.class_names, map(tuple, pixels.T.tolist()), strict=True)),
    covariates=_covariates(cases),
    patients=None if cases.patients is None else tuple(map(int, cases.patients)),
  )


def _covariates(cases: Cases) -> dict[str, dict[str, float]]:
  """Returns by name and id the covariates that are known."""
  if cases.covariates is None:
    return {}
  return {
    name: {
      case: value
      for case, value in zip(cases.ids, column.tolist(), strict=True)
      if not math.isnan(value)
    }
    for name, column in zip(cases.covariate_names, cases.covariates.T, strict=True)
  }


def _ids(cases: Cases, indices: np.ndarray) -> list[str]:
  return [cases.ids[n] for n in indices]


def _labels(cases: Cases, indices: Sequence[int] | np.ndarray) -> list[str]:
  names = {partial.UNKNOWN: ""} | dict(enumerate(cases.label_names))
  return [names[int(cases.labels[n])] for n in indices]
