"""The tables of single cases that a run leaves, as the text of CSV files."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlseg.data.cases import Cases
from mlseg.metrics import per_case
from mlseg.metrics.detection import ImageBoxes
from mlseg.workdir.columns import COVARIATE, PROBABILITY


def case_rows(
  cases: Cases, test: np.ndarray, counts: np.ndarray, more: Mapping[str, np.ndarray], seed: int
) -> list[dict[str, Any]]:
  """Returns one row per case and class: its counts of pixels, and every metric of it.

  Args:
    cases: the data set.
    test: [N], which cases were tested.
    counts: [N, C, 4]: true and false positives, false and true negatives.
    more: metrics [N, C] beside those of the counts.
    seed: of the model.
  """
  metrics = per_case(counts) | dict(more)
  return [
    {
      "seed": seed,
      "id": cases.ids[case],
      "label": cases.label_names[cases.labels[case]],
      "class": class_name,
    }
    | dict(zip(("tp", "fp", "fn", "tn"), counts[n, c].tolist(), strict=True))
    | {name: float(values[n, c]) for name, values in metrics.items()}
    for n, case in enumerate(test)
    for c, class_name in enumerate(cases.class_names)
  ]


def diagnosis_rows(
  cases: Cases, test: np.ndarray, probabilities: np.ndarray, seed: int
) -> list[dict[str, Any]]:
  """Returns one row per case: its diagnosis, the predicted one, and the probability of each.

  Args:
    cases: the data set.
    test: [N], which cases were tested.
    probabilities: [N, L], of the diagnoses.
    seed: of the model.
  """
  names = cases.label_names
  return [
    {
      "seed": seed,
      "id": cases.ids[case],
      "label": names[cases.labels[case]],
      "predicted": names[int(own.argmax())],
    }
    | {f"{PROBABILITY}{name}": float(value) for name, value in zip(names, own, strict=True)}
    for case, own in zip(test, probabilities, strict=True)
  ]


def attention_rows(
  cases: Cases, test: np.ndarray, attention: np.ndarray, seed: int
) -> list[dict[str, Any]]:
  """Returns one row per slice of a volume that is there: its number, from 1, and what it counts.

  Args:
    cases: the data set.
    test: [N], which cases were tested.
    attention: [N, S], which sum to 1 over the slices.
    seed: of the model.
  """
  return [
    {"seed": seed, "id": cases.ids[case], "slice": place, "attention": float(weight)}
    for case, own in zip(test, attention, strict=True)
    for place, weight in enumerate(own, start=1)
    if weight > 0
  ]


def box_rows(
  cases: Cases, test: np.ndarray, boxes: Sequence[ImageBoxes], seed: int
) -> list[dict[str, Any]]:
  """Returns one row per object that a detector found: its score, class and box, in pixels.

  Args:
    cases: the data set.
    test: [N], which cases were tested.
    boxes: N, or none.
    seed: of the model.
  """
  return [
    {"seed": seed, "id": cases.ids[case], "class": cases.class_names[label], "score": float(score)}
    | dict(zip(("top", "left", "bottom", "right"), map(float, box), strict=True))
    for case, own in zip(test, boxes, strict=False)
    for box, label, score in zip(own.boxes, own.classes, own.scores, strict=True)
  ]


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
  """Returns the text of a table; numbers have six digits."""
  text = io.StringIO()
  writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
  writer.writeheader()
  for row in rows:
    writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
  return text.getvalue()


def data_csv(cases: Cases, groups: np.ndarray) -> str:
  """Returns the text of `data.csv`: per case diagnosis, group, pixels of each class, covariates.

  Args:
    cases: the data set.
    groups: [N], the same number for cases that a split keeps together.
  """
  places = range(len(cases.class_names))
  pixels = np.stack([(cases.masks == c).sum((1, 2)) for c in places], axis=-1)
  return to_csv(
    [
      {"id": name, "label": cases.label_names[cases.labels[n]], "group": int(groups[n])}
      | {f"pixels_{cases.class_names[c]}": int(pixels[n, c]) for c in places}
      | _covariates(cases, n)
      for n, name in enumerate(cases.ids)
    ]
  )


def _covariates(cases: Cases, case: int) -> dict[str, Any]:
  """Returns what is known of a patient by column; an unknown number is an empty cell."""
  if cases.covariates is None:
    return {}
  own = zip(cases.covariate_names, cases.covariates[case].tolist(), strict=True)
  return {f"{COVARIATE}{name}": "" if math.isnan(value) else value for name, value in own}
