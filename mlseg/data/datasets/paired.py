"""Breast ultrasound with pictures in a folder `images` and masks of the same names in `masks`.

BUSC and the synthetic set are read by this module.
"""

import pathlib
import re

import numpy as np

from mlseg.data.datasets import patterns
from mlseg.data.datasets.ultrasound import CasePaths
from mlseg.errors import UserError
from mlseg.io.pictures.files import natural_key, read_8_bits
from mlseg.io.pictures.picture import check_mask_size, to_grey

IMAGE_FOLDERS = ("images", "image", "originals", "original")
MASK_FOLDERS = ("masks", "mask", "gt", "ground_truth", "groundtruth", "labels", "label")
SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
MASK_ENDING = re.compile(r"[ _-](mask|gt|segmentation)$", re.IGNORECASE)
THRESHOLD = 128  # of 255: a probability of one half

# Numbers of cases by label, one of which a folder must have; empty: any numbers.
Expected = tuple[dict[str, int], ...]


def read_case(
  image_path: pathlib.Path, mask_paths: list[pathlib.Path]
) -> tuple[np.ndarray, np.ndarray]:
  """Returns a picture, and its mask [H, W], 0 or 255.

  Raises:
    UserError: a file cannot be read, or the mask has another size than the picture.
  """
  (mask_path,) = mask_paths
  image = read_8_bits(image_path)
  mask = read_8_bits(mask_path)
  check_mask_size(mask, mask_path, image, image_path.name)
  return image, lesion(mask)


def lesion(mask: np.ndarray) -> np.ndarray:
  """Returns a mask [H, W], 0 or 255, from one of classes, of 0 and 255, or of probabilities.

  A mask without values above 1 has the classes 0 and 1. In any other, a pixel belongs to the lesion
  where its probability is at least one half, which is 128 of 255.

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


def find_cases(folder: pathlib.Path, title: str, labels: tuple[str, ...], other: str) -> CasePaths:
  """Returns the cases by label, in the order of the numbers in their names.

  Pictures lie in folders called `images` (or image, originals), masks in folders called `masks` (or
  mask, GT, labels), at any depth, inside or outside of folders that name labels. The paths of a
  picture and its mask differ only in that folder, the suffix, and an ending `_mask`. A label is
  read from the path. Folders of pictures without any mask are passed over.

  Args:
    folder: the download.
    title: name of the data set, for messages.
    labels: those that a path may name.
    other: label of the cases whose path names none.

  Raises:
    UserError: it is another folder; a picture has no mask, or a mask no picture; or some paths name
      a label and others do not.
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
  found: CasePaths = {label: {} for label in (*labels, other)}
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


def check_counts(cases: CasePaths, expected: Expected, title: str, folder: pathlib.Path) -> None:
  """Raises a UserError where a folder does not have the expected numbers of cases."""
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
  """Returns pictures and masks by their path without the folder `images` or `masks`."""
  images: dict[pathlib.PurePath, pathlib.Path] = {}
  masks: dict[pathlib.PurePath, pathlib.Path] = {}
  for name in patterns.list_files(folder):
    relative = pathlib.PurePath(name)
    path = folder / relative
    if path.suffix.lower() not in SUFFIXES:
      continue
    for names, chosen in ((MASK_FOLDERS, masks), (IMAGE_FOLDERS, images)):
      parents = relative.parts[:-1]
      found = [n for n, part in enumerate(parents) if part.lower() in names]
      if found:
        rest = parents[: found[-1]] + parents[found[-1] + 1 :]
        stem = path.stem if chosen is images else MASK_ENDING.sub("", path.stem)
        key = pathlib.PurePath(*rest, stem)
        if key in chosen:
          raise UserError(f"{path}: is there a second time, as {chosen[key].name}")
        chosen[key] = path
        break
  return images, masks


def _label_of(key: pathlib.PurePath, labels: tuple[str, ...], other: str) -> str:
  """Returns the label in the last part of a path that has one, or else `other`."""
  for part in reversed(key.parts):
    named = [label for label in labels if label in part.lower()]
    if named:
      return named[0]
  return other
