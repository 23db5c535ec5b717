"""Prepares the diagnoses of a run for the numbers on outcomes: each case once, or by seed.

The outcome is the second of two labels.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlseg.workdir.diagnosis_table import PROBABILITY, label_names

Row = Mapping[str, Any]  # of diagnoses.csv: seed, id, label and probability_NAME of two labels


class RunRows(NamedTuple):
  """The diagnoses of a run, with what is known of its patients."""

  test: Sequence[Row]  # of diagnoses.csv
  validation: Sequence[Row] | None = None  # of validation_diagnoses.csv; None: there is none
  groups: Mapping[str, Any] | None = None  # patient by id; None: each case is another patient
  covariates: Mapping[str, Mapping[str, float]] = {}  # by name, by id; without unknown values


class Pooled(NamedTuple):
  """The tested cases of a run, each once."""

  names: tuple[str, str]  # of the labels; the second is the outcome
  ids: tuple[str, ...]  # [N]
  labels: np.ndarray  # [N] int64, 1 for the outcome
  probabilities: np.ndarray  # [N] float64, of the outcome, mean over the seeds
  patients: np.ndarray  # [N] str


def pool(rows: RunRows) -> Pooled:
  """Returns each tested case once, with the mean of its probabilities over the seeds.

  Args:
    rows: of two labels.

  Raises:
    ValueError: there are not two labels, a case has another label, or different ones in two rows.
    KeyError: a case has no group.

  Example:
    >>> rows = [{"seed": s, "id": "a", "label": "ill", "probability_well": 1 - p,
    ...          "probability_ill": p} for s, p in enumerate([0.5, 0.75])]
    >>> pool(RunRows(rows)).probabilities
    array([0.625])
  """
  names = label_names(rows.test)
  if len(names) != 2:
    raise ValueError(f"rows must have probabilities of two labels, got {list(names)}")
  labels: dict[str, str] = {}
  values: dict[str, list[float]] = {}
  for row in rows.test:
    if row["label"] not in names:
      raise ValueError(f"the label of {row['id']} must be one of {list(names)}, got {row['label']}")
    if labels.setdefault(row["id"], row["label"]) != row["label"]:
      raise ValueError(f"{row['id']} has two labels: {labels[row['id']]} and {row['label']}")
    values.setdefault(row["id"], []).append(_probability(row, names[1]))
  return Pooled(
    names=(names[0], names[1]),
    ids=tuple(labels),
    labels=np.array([label == names[1] for label in labels.values()], np.int64),
    probabilities=np.array([np.mean(one) for one in values.values()]),
    patients=patients_of(labels, rows.groups),
  )


def patients_of(ids: Iterable[str], groups: Mapping[str, Any] | None) -> np.ndarray:
  """Returns the patient of each case, [N] str."""
  return np.array([str(case if groups is None else groups[case]) for case in ids])


def by_seed(rows: Iterable[Row]) -> dict[str, dict[str, Row]]:
  """Returns rows by seed and id; a case that comes twice, to fill up a part, is there once."""
  found: dict[str, dict[str, Row]] = {}
  for row in rows:
    found.setdefault(str(row["seed"]), {})[row["id"]] = row
  return found


def columns(rows: Iterable[Row], positive: str) -> tuple[np.ndarray, np.ndarray]:
  """Returns labels and probabilities [N] of the outcome."""
  pairs = [(row["label"] == positive, _probability(row, positive)) for row in rows]
  labels, probabilities = zip(*pairs, strict=True)
  return np.array(labels, np.int64), np.array(probabilities)


def _probability(row: Row, name: str) -> float:
  return float(row[f"{PROBABILITY}{name}"])
