"""Breast ultrasound with pictures in a folder `images` and masks of the same names in `masks`.

BUSC and the synthetic set are read by this module.
"""

import pathlib
import re
import unicodedata

from mlseg.data import findings
from mlseg.data.datasets import patterns
from mlseg.data.datasets.ultrasound import CasePaths
from mlseg.data.findings import Findings
from mlseg.errors import UserError
from mlseg.io.pictures.files import natural_key

IMAGE_FOLDERS = ("images", "image", "originals", "original")
MASK_FOLDERS = ("masks", "mask", "gt", "ground_truth", "groundtruth", "labels", "label")
SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff")
MASK_ENDING = re.compile(r"[ _-](mask|gt|segmentation)$", re.IGNORECASE)
MASKS = "probabilities"  # what values of masks may mean, see `mask_values.lesion`

# Numbers of cases by label, one of which a folder must have; empty: any numbers.
Expected = tuple[dict[str, int], ...]


def find_cases(
  folder: pathlib.Path,
  title: str,
  labels: tuple[str, ...],
  other: str,
  found: Findings | None = None,
) -> CasePaths:
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
    found: gets the pictures without a mask, and the masks without a picture; None: they are
      refused.

  Raises:
    UserError: it is another folder; some paths name a label and others do not; or as `found` says.
  """
  own = Findings() if found is None else found
  images, masks = _pictures(folder, own)
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
      own.add(path, f"has no mask, expected a file {key.name} in the folder of masks")
  for key, path in masks.items():
    if key not in images:
      own.add(path, f"is a mask without a picture, expected {key.name} in 'images'")
  pairs = {key: path for key, path in images.items() if key in masks}
  cases = _by_label(pairs, masks, labels, other, own)
  if found is None:
    findings.refuse(own.faults)
  return cases


def _by_label(
  images: dict[pathlib.PurePath, pathlib.Path],
  masks: dict[pathlib.PurePath, pathlib.Path],
  labels: tuple[str, ...],
  other: str,
  found: Findings,
) -> CasePaths:
  """Returns pictures and masks by the label that their path names."""
  cases: CasePaths = {label: {} for label in (*labels, other)}
  for key in sorted(images, key=lambda key: ([*map(str, key.parent.parts)], natural_key(key))):
    label = _label_of(key, labels, other)
    case = key.name if label == other or label in key.name.lower() else f"{label}/{key.name}"
    if case in cases[label]:
      found.add(images[key], f"has the name of {cases[label][case][0]}; keep one of them")
    else:
      cases[label][case] = images[key], [masks[key]]
  if cases[other] and any(cases[label] for label in labels):
    path = next(iter(cases[other].values()))[0]
    raise UserError(f"{path}: its path names none of {', '.join(labels)}, where others do")
  return {label: of_label for label, of_label in cases.items() if of_label}


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
  folder: pathlib.Path, found: Findings
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
      places = [n for n, part in enumerate(parents) if part.lower() in names]
      if places:
        rest = parents[: places[-1]] + parents[places[-1] + 1 :]
        stem = unicodedata.normalize("NFC", path.stem)
        stem = stem if chosen is images else MASK_ENDING.sub("", stem)
        key = pathlib.PurePath(*rest, stem)
        if key in chosen:
          found.add(path, f"is there a second time, as {chosen[key].name}")
        else:
          chosen[key] = path
        break
    else:
      found.pass_over(name)
  return images, masks


def _label_of(key: pathlib.PurePath, labels: tuple[str, ...], other: str) -> str:
  """Returns the label in the last part of a path that has one, or else `other`."""
  for part in reversed(key.parts):
    named = [label for label in labels if label in part.lower()]
    if named:
      return named[0]
  return other
