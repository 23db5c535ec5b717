"""`patients.npz`: the volumes that a run is tested on, with attention and saliency of each slice.

The arrays are the fields of `Patients`, under their names.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mlseg.files import read_npz, reading, to_npz, write_file

NAME = "patients.npz"


class Patients(NamedTuple):
  """Test patients of all seeds, with what the network predicts and where it looks."""

  seeds: np.ndarray  # [N]
  ids: np.ndarray  # [N] text
  labels: np.ndarray  # [N] text
  predicted: np.ndarray  # [N] text
  probability: np.ndarray  # [N], of the predicted label
  attention: np.ndarray  # [N, S], 0 for slices that are absent
  images: np.ndarray  # [N, S, H, W] uint8
  masks: np.ndarray  # [N, S, H, W] uint8, classes
  predictions: np.ndarray  # [N, S, H, W] uint8, classes
  saliency: np.ndarray  # [N, S, H, W] uint8, 255 at the greatest of a patient


def write(workdir: pathlib.Path, patients: Patients) -> None:
  """Writes the patients into a run's folder."""
  write_file(workdir / NAME, to_npz(patients._asdict(), compressed=True))


def read(workdir: pathlib.Path) -> Patients:
  """Returns the patients of a run's folder.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  content = read_npz(path)
  with reading(path):
    found = Patients(**{name: content[name] for name in Patients._fields})
    count, slices = found.attention.shape
    shape = found.images.shape
    pixels = (found.images, found.masks, found.predictions, found.saliency)
    if (
      any(len(array) != count for array in found)
      or len(shape) != 4
      or shape[1] != slices
      or any(array.shape != shape or array.dtype != np.uint8 for array in pixels)
    ):
      raise ValueError(
        "attention, images, masks, predictions and saliency are not of the same slices"
      )
  return found


def select(patients: Patients, indices: Sequence[int]) -> Patients:
  """Returns some of the patients."""
  return Patients(*(array[list(indices)] for array in patients))
