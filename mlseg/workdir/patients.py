"""The volumes of a run, from its `patients.npz`."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Patients(NamedTuple):
  """Test patients of all seeds: slices, where the network looked, and its answers."""

  seeds: np.ndarray  # [N]
  ids: np.ndarray  # [N] text
  labels: np.ndarray  # [N] text
  predicted: np.ndarray  # [N] text
  probability: np.ndarray  # [N], of what is predicted
  attention: np.ndarray  # [N, S], 0 for slices that are absent
  images: np.ndarray  # [N, S, H, W] uint8
  masks: np.ndarray  # [N, S, H, W] uint8, classes
  predictions: np.ndarray  # [N, S, H, W] uint8, classes
  saliency: np.ndarray  # [N, S, H, W] uint8, the most important place of a patient 255


def part(found: Patients, places: Sequence[int]) -> Patients:
  """Returns some of the patients."""
  return Patients(*(array[list(places)] for array in found))


def read(path: pathlib.Path) -> Patients:
  """Returns the patients of a file.

  Raises:
    KeyError, ValueError, OSError: it is damaged.
  """
  with np.load(path, allow_pickle=False) as file:
    found = Patients(**{name: file[name] for name in Patients._fields})
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
