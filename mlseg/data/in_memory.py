"""Pictures of any origin as the arrays of a data set, resized one by one as they come."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from mlseg.data import padding, preprocessing
from mlseg.data.datasets import folder, sources
from mlseg.data.splits import grouped
from mlseg.errors import UserError
from mlseg.io.pictures.picture import to_colour, to_grey

HASHED_SIZE = 128  # all sources are hashed at it, so that they agree on what is a duplicate


def of_rows(
  rows: list[dict[str, Any]], size: int, filtering: dict[str, Any]
) -> dict[str, np.ndarray]:
  """Returns the arrays of the cases that a builder gave."""
  pictures = (
    {
      "image": row["image"][..., 0] if row["image"].shape[-1] == 1 else row["image"],
      "mask": (row["mask"][..., 0] > 0).astype(np.uint8),
    }
    for row in rows
  )
  labels = np.array([row["label"] for row in rows], np.int32)
  return arrays_of(preprocess(pictures, size, filtering, 1), labels, [row["id"] for row in rows])


def preprocess(
  pictures: Iterable[dict[str, Any]], size: int, filtering: dict[str, Any], channels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns images [N, size, size, channels], masks [N, size, size] and hashes [N, bits].

  Without a size (0) pictures keep their own, in arrays of the largest; see `padding.stack`.
  """
  images, masks, hashes = [], [], []
  for picture in pictures:
    grey = to_grey(picture["image"])
    hashes.append(grouped.perceptual_hash(preprocessing.resize_image(grey, HASHED_SIZE)))
    image = grey if channels == 1 else to_colour(picture["image"])
    mask = picture["mask"]
    if size:
      image, mask = preprocessing.resize_image(image, size), preprocessing.resize_mask(mask, size)
    images.append(preprocessing.bilateral_filter(image, **filtering))
    masks.append(mask)
  if not images:
    raise UserError("the data folder has no pictures of the kind that config.data asks for")
  stacked, stacked_masks = padding.stack(images, masks)
  return stacked.reshape(*stacked_masks.shape, channels), stacked_masks, np.stack(hashes)


def arrays_of(
  preprocessed: tuple[np.ndarray, np.ndarray, np.ndarray], labels: np.ndarray, ids: list[str]
) -> dict[str, np.ndarray]:
  """Returns the arrays of a data set by the names of the fields of `cases.Cases`."""
  images, masks, hashes = preprocessed
  return {
    "images": images, "masks": masks, "labels": labels, "hashes": hashes, "ids": np.array(ids)
  }  # fmt: skip


def of_source(
  source: sources.Source, size: int, filtering: dict[str, Any]
) -> dict[str, np.ndarray]:
  """Returns the arrays of a source, each picture forgotten when it is resized."""
  ids: list[str] = []
  labels: list[int] = []
  patients: list[str] = []
  parts: list[str] = []
  objects: list[np.ndarray] = []

  def pictures() -> Iterator[dict[str, Any]]:
    for picture in source.read():
      ids.append(picture.id)
      labels.append(source.label_names.index(picture.label))
      # A case without a patient is one of its own.
      patients.append(picture.patient or f"\0{picture.id}")
      parts.append(picture.part)
      if picture.objects is not None:
        own = picture.objects
        objects.append(preprocessing.resize_mask(own, size) if size else own)
      yield {"image": picture.image, "mask": picture.mask}

  preprocessed = preprocess(pictures(), size, filtering, source.channels)
  arrays = arrays_of(preprocessed, np.array(labels, np.int32), ids)
  if any(not patient.startswith("\0") for patient in patients):
    arrays["patients"] = folder.numbers(patients)[0]
  if any(parts):
    arrays["is_test"] = np.array([part == "test" for part in parts])
  if objects:
    arrays["objects"] = padding.stack_objects(objects)
  return arrays


def present(labels: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
  """Returns labels [N] int32 as places among the names that occur, and those names."""
  values, places = np.unique(labels, return_inverse=True)
  return places.astype(np.int32), tuple(names[value] for value in values)
