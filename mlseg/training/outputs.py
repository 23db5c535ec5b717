"""Writes the files of a trained run: tables of cases, arrays of some of them, figures, results."""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from mlseg.data import padding
from mlseg.data.cases import Cases, evenly_spaced
from mlseg.data.splits.grouped import Split
from mlseg.files import Row
from mlseg.metrics import dice, foreground_dice_per_case, is_present
from mlseg.models import gradcam
from mlseg.report import plots
from mlseg.training import case_tables, patient_arrays
from mlseg.training.scoring import MAX_MAPS, SeedScores
from mlseg.workdir import (
  attention_table,
  box_table,
  calibration_file,
  case_table,
  data_table,
  diagnosis_table,
  examples_file,
  finding_table,
  patients_file,
  postprocessing_file,
  results_file,
  saliency_file,
  skipped_table,
  split_file,
)

MAX_EXAMPLES = 200  # of a run, to keep its folder small


def write_data(
  workdir: pathlib.Path,
  cases: Cases,
  groups: np.ndarray,
  pairs: list[tuple[int, int, int]],
  parts: dict[int, Split],
) -> None:
  """Writes `data.csv`, `split.json` and `skipped.csv`, before training.

  Args:
    workdir: the run's folder.
    cases: the data set.
    groups: [N], the same number for cases that a split keeps together.
    pairs: of near-duplicates: two indices, and the distance of their hashes.
    parts: the split of each seed.
  """
  saved = split_file.SavedSplit(
    parts={
      seed: {name: [cases.ids[i] for i in part] for name, part in split._asdict().items()}
      for seed, split in parts.items()
    },
    near_duplicates=[(cases.ids[i], cases.ids[j], int(distance)) for i, j, distance in pairs],
  )
  split_file.write(workdir, saved)
  data_table.write(workdir, case_tables.data_table(cases, groups))
  skipped_table.write(workdir, cases.skipped)


def write(
  workdir: pathlib.Path,
  cases: Cases,
  parts: dict[int, Split],
  tested: dict[int, SeedScores],
  summary: dict[str, Any],
  ensemble: SeedScores | None = None,
) -> None:
  """Writes the tables of cases, arrays of some of them, figures, and `results.json` last.

  There is no file about what the network has no head for.

  Args:
    workdir: the run's folder.
    cases: the data set.
    parts: the split of each seed.
    tested: per seed what `score_seed` gave.
    summary: from `summarize_seeds`.
    ensemble: from `score_ensemble`; None: the mean of the models is not tested.
  """
  table, rows_of = _head_table(cases)
  rows, diagnoses, boxes, attention, validation = [], [], [], [], []
  for seed, result in tested.items():
    test = parts[seed].test
    rows += case_tables.case_rows(cases, test, result, seed)
    if result.probabilities is not None and result.validation is not None:
      diagnoses += rows_of(cases, test, result.probabilities, seed)
      validation += rows_of(cases, parts[seed].validation, result.validation, seed)
    if result.attention is not None:
      attention += case_tables.attention_rows(cases, test, result.attention, seed)
    boxes += case_tables.box_rows(cases, test, result.boxes, seed)
  seed, first = next(iter(tested.items()))
  if rows:
    case_table.write(workdir, rows)
    examples_file.write(workdir, _examples(cases, parts[seed].test, first))
  if diagnoses:
    table.write(workdir, diagnoses)
    if validation:
      table.write(workdir, validation, table.VALIDATION_NAME)
    if attention:
      attention_table.write(workdir, attention)
      answers = {seed: _answers(parts[seed].test, result) for seed, result in tested.items()}
      patients_file.write(workdir, patient_arrays.patients_of(cases, answers))
    elif first.maps is not None:
      saliency_file.write(workdir, _saliency(cases, parts[seed].test, first))
  if boxes:
    box_table.write(workdir, boxes)
  if ensemble is not None:
    _write_ensemble(workdir, cases, parts[seed].test, ensemble)
  choices = {seed: result.choice for seed, result in tested.items() if result.choice is not None}
  if choices:
    mean = None if ensemble is None else ensemble.choice
    postprocessing_file.write(workdir, postprocessing_file.Choices(choices, mean))
  found = {seed: own.calibration for seed, own in tested.items() if own.calibration is not None}
  if found:
    of_mean = None if ensemble is None else ensemble.calibration
    calibration_file.write(workdir, calibration_file.Calibrations(found, of_mean))
  plots.plot_run(workdir)
  results_file.write(workdir, summary)


def _write_ensemble(
  workdir: pathlib.Path, cases: Cases, test: np.ndarray, scores: SeedScores
) -> None:
  """Writes the tables of the mean of all models."""
  if rows := case_tables.case_rows(cases, test, scores, None):
    case_table.write(workdir, rows, case_table.ENSEMBLE_NAME)
  if scores.probabilities is not None:
    table, rows_of = _head_table(cases)
    table.write(workdir, rows_of(cases, test, scores.probabilities, None), table.ENSEMBLE_NAME)


def _head_table(cases: Cases) -> tuple[Any, Callable[..., list[Row]]]:
  """Returns the module of the table of a head of classes, and what makes its rows."""
  if cases.findings is None:
    return diagnosis_table, case_tables.diagnosis_rows
  return finding_table, case_tables.finding_rows


def _answers(test: np.ndarray, result: SeedScores) -> patient_arrays.Answers:
  """Returns what one model predicts of volumes."""
  return patient_arrays.Answers(
    test,
    np.asarray(result.probabilities),
    np.asarray(result.attention),
    np.asarray(result.maps)[gradcam.METHODS.index("gradcam")],
    result.predictions,
  )


def _examples(cases: Cases, test: np.ndarray, result: SeedScores) -> examples_file.Examples:
  """Returns the test cases, or as many of them as are kept; of a volume one slice."""
  counts, predictions = np.asarray(result.counts), np.asarray(result.predictions)
  scores = foreground_dice_per_case(dice(counts), is_present(counts))
  truth = cases.masks[test]
  filled = ((truth > 0) & padding.counted(truth)).reshape(len(test), -1).any(1)
  shown = kept_examples(np.where(filled, scores, np.nan) if filled.any() else scores, MAX_EXAMPLES)
  chosen = test[shown]
  images, masks, predicted = cases.images[chosen], cases.masks[chosen], predictions[shown]
  if result.attention is not None:
    own = result.attention[shown]
    images, masks, predicted = (
      patient_arrays.most_attended(each, own) for each in (images, masks, predicted)
    )
  beyond = ~padding.counted(masks)
  return examples_file.Examples(
    images=images,
    masks=np.where(beyond, 0, masks),
    predictions=np.where(beyond, 0, predicted),
    ids=np.array([cases.ids[i] for i in chosen]),
    dice=scores[shown],
  )


def kept_examples(scores: np.ndarray, most: int) -> np.ndarray:
  """Returns the indices of the cases whose pictures are kept, in ascending order.

  Where there are more than `most`, half of `most` are evenly spaced, the same for all runs on the
  same cases, so that runs can be looked at side by side. To these come the worst quarter of `most`,
  and a tenth each of the best and of those around the median, so that a report can show the worst
  of all cases.

  Args:
    scores: [N]; a case whose score is nan is none of the worst, best or median ones.
    most: largest number of indices.
  """
  if len(scores) <= most:
    return np.arange(len(scores))
  order = np.argsort(-scores, kind="stable")
  order = order[np.isfinite(scores[order])]  # from the best to the worst
  few, middle = most // 10, len(order) // 2
  start = max(0, middle - few // 2)
  return np.unique(
    np.concatenate(
      [
        evenly_spaced(len(scores), most // 2),
        order[:few],
        order[start : start + few],
        order[max(0, len(order) - most // 4) :],
      ]
    )
  )


def _saliency(cases: Cases, test: np.ndarray, result: SeedScores) -> saliency_file.Saliency:
  """Returns the maps of some test cases, by `gradcam.METHODS`."""
  shown = evenly_spaced(len(test), MAX_MAPS)
  chosen = test[shown]
  predicted = case_tables.predicted_names(cases, np.asarray(result.probabilities)[shown])
  names = np.array(cases.label_names)
  return saliency_file.Saliency(
    images=cases.images[chosen],
    masks=np.where(padding.counted(cases.masks[chosen]), cases.masks[chosen], 0),
    ids=np.array([cases.ids[i] for i in chosen]),
    labels=names[cases.labels[chosen]],
    predicted=np.array(predicted),
    maps=dict(zip(gradcam.METHODS, np.asarray(result.maps), strict=True)),
  )
