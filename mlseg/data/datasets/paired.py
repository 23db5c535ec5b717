"""Breast ultrasound with pictures in a folder `images` and masks of the same names in `masks`.

What the builders of BUSC and of the synthetic set have in common.
"""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data.datasets import patterns
from mlseg.errors import UserError
from mlseg.io.pictures.files import natural_key, read_8_bits
from mlseg.io.pictures.picture import check_mask_size, to_colour, to_grey
from mlseg.io.pictures.png import encode

IMAGE_FOLDERS = ("images", "image", "originals", "original")
MASK_FOLDERS = ("masks", "mask", "gt", "ground_truth", "groundtruth", "labels", "label")
SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
MASK_ENDING = re.compile(r"[ _-](mask|gt|segmentation)$", re.IGNORECASE)
THRESHOLD = 128  # of 255: a probability of one half

Cases = dict[str, dict[str, tuple[pathlib.Path, list[pathlib.Path]]]]


class PairedConfig(tfds.core.BuilderConfig):
  """What of the originals a build expects.

  Args:
    expected: sets of numbers of cases by label, one of which a folder must have; empty: any.
    **kwargs: name and description, as tfds takes them.
  """

  def __init__(self, expected: tuple[dict[str, int], ...] = (), **kwargs: Any):
    super().__init__(**kwargs)
    self.expected = expected


def features(labels: tuple[str, ...]) -> tfds.features.FeaturesDict:
  """Returns what a builder keeps of a case, the picture in its own size."""
  return tfds.features.FeaturesDict(
    {
      "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
      "mask": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
      "label": tfds.features.ClassLabel(names=list(labels)),
      "id": tfds.features.Text(),
      "height": np.int32,
      "width": np.int32,
    }
  )


def examples(cases: Cases, label: str) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields the cases of a label, as a builder takes them."""
  for number, (case, (image_path, (mask_path,))) in enumerate(cases[label].items()):
    image = read_8_bits(image_path)
    mask = read_8_bits(mask_path)
    check_mask_size(mask, mask_path, image, image_path.name)
    yield (
      number,
      {
        "image": encode(to_colour(image), False),
        "mask": encode(lesion(mask), False),
        "label": label,
        "id": case,
        "height": image.shape[0],
        "width": image.shape[1],
      },
    )


def lesion(mask: np.ndarray) -> np.ndarray:
  """Returns a mask [H, W], 0 or 255, from one of bits, of 0 and 255, or of probabilities.

  A pixel belongs to the lesion from a probability of one half on, which is 128 of 255. A mask
  with no value above 1 has the classes 0 and 1 themselves.

  Args:
    mask: [H, W] or RGB [H, W, 3], uint8.

  Example:
    >>> lesion(np.array([[0, 127, 128, 255]], np.uint8)).tolist()
    [[0, 0, 255, 255]]
    >>> lesion(np.array([[0, 1]], np.uint8)).tolist()
    [[0, 255]]
  """
  grey = to_grey(mask)
  threshold = THRESHOLD if grey.max() > 1 else 1
  return np.where(grey >= threshold, 255, 0).astype(np.uint8)


def find_cases(folder: pathlib.Path, title: str, labels: tuple[str, ...], other: str) -> Cases:
  """Returns per label and case the picture and its mask, in the order of the numbers in the names.

  Folders called `images` (or image, originals) and `masks` (or mask, GT, labels) may lie at any
  depth, and hold or lie in folders of labels; a picture and its mask have the same path but for
  that folder, the suffix, and an ending `_mask`. A label is read from the path. Folders of
  pictures without any mask beside them are passed over.

  Args:
    folder: the download.
    title: what the data set is called, for messages.
    labels: that a path may name.
    other: label of the cases whose path names none.

  Raises:
    UserError: it is another folder; a picture has no mask, or a mask no picture; some paths name a
      label and others do not.
  """
  images, masks = _pictures(folder)
  for key in set(images) - set(masks):
    if not any(mask.parent == key.parent for mask in masks):
      del images[key]
  if not images:
    raise UserError(
      f"data folder {folder} is not {title}: it has no folder 'images' with pictures and 'masks'"
      " with their masks"
    )
  for key, path in images.items():
    if key not in masks:
      raise UserError(f"{path}: has no mask, expected a file {key.name} in the folder of masks")
  for key, path in masks.items():
    if key not in images:
      raise UserError(f"{path}: is a mask without a picture, expected {key.name} in 'images'")
  found: Cases = {label: {} for label in (*labels, other)}
  for key in sorted(images, key=lambda key: ([*map(str, key.parent.parts)], natural_key(key))):
    label = _label_of(key, labels, other)
    case = key.name if label == other or label in key.name.lower() else f"{label}/{key.name}"
    if case in found[label]:
      raise UserError(f"{images[key]}: has the name of {found[label][case][0]}; keep one of them")
    found[label][case] = images[key], [masks[key]]
  if found[other] and any(found[label] for label in labels):
    path = next(iter(found[other].values()))[0]
    raise UserError(f"{path}: its path names none of {', '.join(labels)}, where others do")
  return {label: cases for label, cases in found.items() if cases}


def check_counts(
  cases: Cases, expected: tuple[dict[str, int], ...], title: str, folder: pathlib.Path
) -> None:
  """Raises a UserError where a folder has not as many cases of each label as the download has."""
  counts = {label: len(of_label) for label, of_label in cases.items()}
  if expected and counts not in expected:
    wanted, found = (_in_words(numbers) for numbers in (expected[0], counts))
    raise UserError(
      f"data folder {folder}: {title} has {wanted} pictures with masks, but {found} are here; for a"
      " part of it use configs/folder.py"
    )


def _in_words(counts: dict[str, int]) -> str:
  return " and ".join(f"{count} {label}" for label, count in counts.items())


def _pictures(
  folder: pathlib.Path,
) -> tuple[dict[pathlib.PurePath, pathlib.Path], dict[pathlib.PurePath, pathlib.Path]]:
  """Returns pictures and masks by their path without the folder that says which they are."""
  images: dict[pathlib.PurePath, pathlib.Path] = {}
  masks: dict[pathlib.PurePath, pathlib.Path] = {}
  for name in patterns.list_files(folder):
    relative = pathlib.PurePath(name)
    path = folder / relative
    if path.suffix.lower() not in SUFFIXES:
      continue
    for names, chosen in ((MASK_FOLDERS, masks), (IMAGE_FOLDERS, images)):
      parents = relative.parts[:-1]
      places = [n for n, part in enumerate(parents) if part.lower() in names]
      if places:
        rest = parents[: places[-1]] + parents[places[-1] + 1 :]
        stem = path.stem if chosen is images else MASK_ENDING.sub("", path.stem)
        key = pathlib.PurePath(*rest, stem)
        if key in chosen:
          raise UserError(f"{path}: is there a second time, as {chosen[key].name}")
        chosen[key] = path
        break
  return images, masks


def _label_of(key: pathlib.PurePath, labels: tuple[str, ...], other: str) -> str:
  """Returns the label that the last part of a path names that names one."""
  for part in reversed(key.parts):
    named = [label for label in labels if label in part.lower()]
    if named:
      return named[0]
  return other
