"""The volumes that `patients.npz` keeps, from the cases of a run and its predictions."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mlseg.data import padding
from mlseg.data.cases import Cases
from mlseg.workdir.patients_file import Patients

MAX_PATIENTS = 200  # of a run, to keep its folder small


class Answers(NamedTuple):
  """What one model predicts of the volumes that it is tested on, one per case."""

  test: np.ndarray  # [N], indices of the cases
  probabilities: np.ndarray  # [N, L], of the diagnoses
  attention: np.ndarray  # [N, S], how much each slice counts
  saliency: np.ndarray  # [N, S H, W] uint8, for the most probable diagnosis
  predictions: np.ndarray | None  # [N, S H, W] uint8, classes; None: the network gives no masks


def most_attended(arrays: np.ndarray, attention: np.ndarray) -> np.ndarray:
  """Returns of each volume the slice with the most attention.

  Args:
    arrays: [N, S H, W, ...], slices one below the other.
    attention: [N, S].

  Returns:
    [N, H, W, ...].
  """
  slices = attention.argmax(1)
  each = arrays.reshape(len(arrays), attention.shape[1], -1, *arrays.shape[2:])
  return each[np.arange(len(each)), slices]


def patients_of(cases: Cases, answers: Mapping[int, Answers]) -> Patients:
  """Returns the patients of each seed in turn, at most `MAX_PATIENTS`.

  Args:
    cases: the data set.
    answers: by seed.
  """
  parts = [_of_seed(cases, seed, own) for seed, own in answers.items()]
  return Patients(*(np.concatenate(arrays)[:MAX_PATIENTS] for arrays in zip(*parts, strict=True)))


def _of_seed(cases: Cases, seed: int, own: Answers) -> Patients:
  """Returns the patients of one seed."""
  count, slices = own.attention.shape
  shape = count, slices, -1, cases.masks.shape[2]
  names = np.array(cases.label_names)
  masks = cases.masks[own.test]
  predicted = np.zeros_like(masks) if own.predictions is None else own.predictions
  absent = masks == padding.IGNORED
  return Patients(
    seeds=np.full(count, seed),
    ids=np.array([cases.ids[i] for i in own.test]),
    labels=names[cases.labels[own.test]],
    predicted=names[own.probabilities.argmax(1)],
    probability=own.probabilities.max(1),
    attention=own.attention,
    images=cases.images[own.test, ..., 0].reshape(shape),
    masks=np.where(absent, 0, masks).reshape(shape),
    predictions=np.where(absent, 0, predicted).reshape(shape),
    saliency=own.saliency.reshape(shape),
  )
