"""The examples of a source as arrays in memory, each resized and filtered as it is read."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mlseg.data import padding, preprocessing
from mlseg.data.datasets.sources import Example, Source
from mlseg.data.splits import grouped
from mlseg.errors import UserError
from mlseg.io.pictures.picture import to_colour, to_grey

HASHED_SIZE = 128  # size at which all pictures are hashed, so that hashes are comparable


def arrays_of(source: Source, size: int, filtering: dict[str, Any]) -> dict[str, np.ndarray]:
  """Returns the arrays of a source by the names of the fields of `cases.Cases`.

  Args:
    source: whose pictures are read one by one, so that no two originals are in memory at once.
    size: side of the pictures, pixels; 0: they keep their size, in arrays of the largest one (see
      `padding.stack`).
    filtering: the arguments of `preprocessing.bilateral_filter`.

  Raises:
    UserError: the source has no examples, or one cannot be read.
  """
  examples, hashes = [], []
  for example in source.read(size) if source.crops else source.read():
    grey = to_grey(example.image)
    hashes.append(grouped.perceptual_hash(preprocessing.resize_image(grey, HASHED_SIZE)))
    image = grey if source.channels == 1 else to_colour(example.image)
    resized = _resized(example._replace(image=image), 0 if source.crops else size)
    filtered = preprocessing.bilateral_filter(resized.image, **filtering)
    examples.append(resized._replace(image=filtered))
  if not examples:
    raise UserError("the data folder has no pictures of the kind that config.data asks for")
  images, masks = padding.stack([e.image for e in examples], [e.mask for e in examples])
  return {
    "images": images.reshape(*masks.shape, source.channels),
    "masks": masks,
    "labels": np.array([source.label_names.index(e.label) for e in examples], np.int32),
    "hashes": np.stack(hashes),
    "ids": np.array([e.id for e in examples]),
    **dict(_known(examples)),
  }


def _resized(example: Example, size: int) -> Example:
  """Returns an example with its picture, mask and objects [size, size]; as it is for size 0."""
  if not size:
    return example
  objects = example.objects
  return example._replace(
    image=preprocessing.resize_image(example.image, size),
    mask=preprocessing.resize_mask(example.mask, size),
    objects=None if objects is None else preprocessing.resize_mask(objects, size),
  )


def _known(examples: Sequence[Example]) -> Iterator[tuple[str, np.ndarray]]:
  """Yields the names and arrays of what is known only in some data sets."""
  if any(example.patient for example in examples):
    # A case without a patient is treated as a patient of its own.
    patients = [example.patient or f"\0{example.id}" for example in examples]
    yield "patients", np.unique(patients, return_inverse=True)[1].astype(np.int32)
  if any(example.part for example in examples):
    yield "is_test", np.array([example.part == "test" for example in examples])
  objects = [example.objects for example in examples if example.objects is not None]
  if objects:
    yield "objects", padding.stack_objects(objects)
  if examples[0].covariates:
    yield "covariates", np.array([example.covariates for example in examples], np.float32)


def present(labels: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
  """Returns labels [N] int32 as indices among the names that occur, and those names.

  Example:
    >>> indices, names = present(np.array([2, 0, 2]), ("benign", "normal", "malignant"))
    >>> indices.tolist(), names
    ([1, 0, 1], ('benign', 'malignant'))
  """
  values, indices = np.unique(labels, return_inverse=True)
  return indices.astype(np.int32), tuple(names[value] for value in values)
