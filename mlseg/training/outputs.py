"""The files that a run leaves: tables of single cases, arrays of some of them, figures, results."""

import io
import json
import pathlib
from typing import Any

import numpy as np

from mlseg.data import padding
from mlseg.data.cases import Cases
from mlseg.data.splits.grouped import Split
from mlseg.files import to_json, write_file
from mlseg.metrics import dice, foreground_dice_per_case
from mlseg.models import gradcam
from mlseg.report import plots
from mlseg.training import case_objects, case_tables, patient_arrays
from mlseg.training.scoring import MAX_MAPS, SeedScores, shown_places

MAX_EXAMPLES = 200  # of a run, to keep its folder small


def write(
  workdir: pathlib.Path,
  cases: Cases,
  parts: dict[int, Split],
  tested: dict[int, SeedScores],
  summary: dict[str, Any],
) -> None:
  """Writes the tables of cases, arrays of some of them, figures, and `results.json` last.

  A network without a head for something leaves no table of it.

  Args:
    workdir: the run's folder.
    cases: the data set.
    parts: the split of each seed.
    tested: per seed what `test_seed` gave.
    summary: from `summarize_seeds`.
  """
  rows, diagnoses, boxes, attention, validation = [], [], [], [], []
  for seed, result in tested.items():
    test = parts[seed].test
    if result.counts is not None:
      more = {} if result.surfaces is None else result.surfaces.metrics
      if result.objects is not None:
        more = more | case_objects.of_cases(result.objects)
      rows += case_tables.case_rows(cases, test, result.counts, more, seed)
    if result.probabilities is not None and result.validation is not None:
      diagnoses += case_tables.diagnosis_rows(cases, test, result.probabilities, seed)
      own = parts[seed].validation
      validation += case_tables.diagnosis_rows(cases, own, result.validation, seed)
    if result.attention is not None:
      attention += case_tables.attention_rows(cases, test, result.attention, seed)
    boxes += case_tables.box_rows(cases, test, result.boxes, seed)
  seed, first = next(iter(tested.items()))
  if rows:
    write_file(workdir / "cases.csv", case_tables.to_csv(rows))
    write_file(workdir / "examples.npz", _packed(_examples(cases, parts[seed].test, first)))
  if diagnoses:
    write_file(workdir / "diagnoses.csv", case_tables.to_csv(diagnoses))
    write_file(workdir / "validation_diagnoses.csv", case_tables.to_csv(validation))
    if attention:
      write_file(workdir / "attention.csv", case_tables.to_csv(attention))
      answers = {seed: _answers(parts[seed].test, result) for seed, result in tested.items()}
      write_file(workdir / "patients.npz", _packed(patient_arrays.arrays_of(cases, answers)))
    elif first.maps is not None:
      write_file(workdir / "saliency.npz", _packed(_saliency(cases, parts[seed].test, first)))
  if boxes:
    write_file(workdir / "boxes.csv", case_tables.to_csv(boxes))
  plots.plot_run(workdir)
  write_file(workdir / "results.json", to_json(summary, indent=2) + "\n")  # says: complete


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
  buffer = io.BytesIO()
  np.savez_compressed(buffer, allow_pickle=False, **arrays)
  return buffer.getvalue()


def _answers(test: np.ndarray, result: SeedScores) -> patient_arrays.Answers:
  """Returns what a seed says of volumes."""
  return patient_arrays.Answers(
    test,
    np.asarray(result.probabilities),
    np.asarray(result.attention),
    np.asarray(result.maps)[gradcam.METHODS.index("gradcam")],
    result.predictions,
  )


def _examples(cases: Cases, test: np.ndarray, result: SeedScores) -> dict[str, np.ndarray]:
  """Returns what `examples.npz` holds: the test cases, or as many of them."""
  places = shown_places(len(test), MAX_EXAMPLES)
  chosen = test[places]
  counts, predictions = np.asarray(result.counts), np.asarray(result.predictions)
  images, masks, predicted = cases.images[chosen], cases.masks[chosen], predictions[places]
  if result.attention is not None:
    own = result.attention[places]
    images, masks, predicted = (
      patient_arrays.most_attended(each, own) for each in (images, masks, predicted)
    )
  beyond = masks == padding.IGNORED
  return {
    "images": images,
    "masks": np.where(beyond, 0, masks),
    "predictions": np.where(beyond, 0, predicted),
    "ids": np.array([cases.ids[i] for i in chosen]),
    "dice": foreground_dice_per_case(dice(counts)[places]),
  }


def _saliency(cases: Cases, test: np.ndarray, result: SeedScores) -> dict[str, np.ndarray]:
  """Returns what `saliency.npz` holds: maps of some test cases, by `gradcam.METHODS`."""
  places = shown_places(len(test), MAX_MAPS)
  chosen = test[places]
  called = np.asarray(result.probabilities)[places].argmax(-1)
  names = np.array(cases.label_names)
  maps = dict(zip(gradcam.METHODS, np.asarray(result.maps), strict=True))
  return {
    "images": cases.images[chosen],
    "masks": cases.masks[chosen],
    "ids": np.array([cases.ids[i] for i in chosen]),
    "labels": names[cases.labels[chosen]],
    "predicted": names[called],
  } | {f"map_{name}": values for name, values in maps.items()}


def split_json(cases: Cases, pairs: list[tuple[int, int, int]], parts: dict[int, Split]) -> str:
  """Returns the text of `split.json`: the ids of each part per seed, and the near-duplicates."""
  content = {
    "seeds": {
      str(seed): {name: [cases.ids[i] for i in part] for name, part in split._asdict().items()}
      for seed, split in parts.items()
    },
    "near_duplicates": [[cases.ids[i], cases.ids[j], int(distance)] for i, j, distance in pairs],
  }
  return json.dumps(content, indent=1) + "\n"
