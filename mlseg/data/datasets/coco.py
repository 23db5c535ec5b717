"""COCO's instance annotations: images, and a JSON file of polygons or run lengths."""

import collections
import functools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from skimage import draw

from mlseg.data import padding
from mlseg.data.datasets import lesion_pairs, sources
from mlseg.data.findings import Findings
from mlseg.errors import UserError, printable
from mlseg.files import read_json, reading
from mlseg.io.pictures import files
from mlseg.io.pictures.picture import to_colour, to_grey

NAME = "coco"
LABEL = "unknown"  # the diagnosis of all images
_MOST_CLASSES = padding.MOST_CLASSES - 1  # beside the background


class CocoOptions(NamedTuple):
  """The section config.data.coco."""

  annotations: str = "annotations.json"  # below data.root
  images: str = "images"  # folder of the images, below data.root
  channels: int = 3  # or 1: grey
  duplicate_bits: int = 24  # of near-duplicates; -1: there are none


class CocoImage(NamedTuple):
  """An image and its annotations."""

  path: pathlib.Path
  size: tuple[int, int]  # height and width, as the file of annotations says
  annotations: tuple[Mapping[str, Any], ...]


def open_source(
  root: pathlib.Path, options: CocoOptions, reading_of: sources.Reading = sources.PLAIN
) -> sources.Source:
  """Returns the images that a file of annotations names; those without annotations are empty.

  Classes are the categories in the order of their ids, behind the background. Where two instances
  overlap, the later one in the file is on top. Crowds (iscrowd) are regions as all others.

  Raises:
    UserError: an option is wrong, or the file is missing or of another form.

  Source: Lin et al., Microsoft COCO, ECCV 2014; the format is described at cocodataset.org.
  """
  sources.check_channels(NAME, options.channels)
  path, found = root / options.annotations, Findings()
  if not path.exists():
    raise UserError(f"data folder {root}: config.data.{NAME}.annotations {path} does not exist")
  content = read_json(path)
  with reading(path):
    categories = {int(own["id"]): str(own["name"]) for own in content["categories"]}
    by_image: dict[int, list[Mapping[str, Any]]] = collections.defaultdict(list)
    for own in content["annotations"]:
      if int(own["category_id"]) not in categories:
        raise ValueError(
          f"annotation {own.get('id')} has the unknown category {own['category_id']}"
        )
      by_image[int(own["image_id"])].append(own)
    images = [
      (int(own["id"]), str(own["file_name"]), (int(own["height"]), int(own["width"])))
      for own in content["images"]
    ]
    if not 1 <= len(categories) <= _MOST_CLASSES:
      raise ValueError(f"there must be 1 to {_MOST_CLASSES} categories, not {len(categories)}")
    if strangers := sorted(set(by_image) - {number for number, _, _ in images}):
      raise ValueError(f"annotations name the image {strangers[0]}, which is not in 'images'")
  folder = (root / options.images).resolve()
  chosen = []
  for number, name, size in images:
    own_path = folder / name
    if not own_path.resolve().is_relative_to(folder):
      raise UserError(f"{path}: {printable(name)} is not below {folder}")
    if not own_path.exists():
      found.add(own_path, f"does not exist, which {path.name} names")
      continue
    chosen.append(CocoImage(own_path, size, tuple(by_image.get(number, ()))))
  if not chosen and not found.faults:
    raise UserError(f"{path} names no image")
  order = {number: index for index, number in enumerate(sorted(categories), start=1)}
  return sources.Source(
    files=(path, *(own.path for own in chosen)),
    class_names=("background", *(categories[number] for number in sorted(categories))),
    label_names=(LABEL,),
    channels=options.channels,
    duplicate_bits=options.duplicate_bits,
    parts=tuple(functools.partial(_read, own, order, options, reading_of) for own in chosen),
    faults=tuple(found.faults),
    notes=found.notes(),
  )


def _read(
  own: CocoImage, order: Mapping[int, int], options: CocoOptions, reading_of: sources.Reading
) -> Iterator[sources.Example]:
  """Yields an image."""
  picture = files.read(own.path, reading_of.sixteen_bit)
  if picture.pixels.shape[:2] != own.size:
    height, width = picture.pixels.shape[:2]
    raise UserError(
      f"{own.path}: is {height}×{width}, and its annotations say {own.size[0]}×{own.size[1]}"
    )
  mask = np.zeros(own.size, np.uint8)
  for annotation in own.annotations:
    try:
      region = region_of(annotation["segmentation"], own.size)
    except (ValueError, KeyError, TypeError, IndexError) as error:
      text = str(error) or type(error).__name__
      raise UserError(f"{own.path}: annotation {annotation.get('id')}: {text}") from None
    mask[region] = order[int(annotation["category_id"])]
  shown = to_colour(picture.pixels) if options.channels == 3 else to_grey(picture.pixels)
  changes = lesion_pairs.picture_changes(picture)
  yield sources.Example(own.path.stem, shown, mask, LABEL, changes=changes)


def region_of(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
  """Returns the region of an annotation as [H, W] bool.

  Args:
    segmentation: polygons [[x, y, x, y, ...], ...] in pixels, or run lengths {'size', 'counts'},
      down the columns, as numbers or in COCO's compressed text.
    size: height and width of the image.

  Raises:
    ValueError: it is something else.

  Example:
    >>> region_of({"size": [2, 3], "counts": [1, 2, 3]}, (2, 3)).astype(int).tolist()
    [[0, 1, 0], [1, 0, 0]]
  """
  height, width = size
  if isinstance(segmentation, Mapping):
    counts = segmentation["counts"]
    runs = _uncompressed(counts) if isinstance(counts, str) else [int(count) for count in counts]
    if tuple(segmentation["size"]) != size or sum(runs) != height * width or min(runs) < 0:
      raise ValueError(f"its run lengths are not of an image of {height}×{width}")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(width, height).T
  if not isinstance(segmentation, Sequence) or isinstance(segmentation, str):
    raise ValueError("its segmentation must be polygons or run lengths")
  region = np.zeros(size, bool)
  for polygon in segmentation:
    points = np.asarray(polygon, np.float64)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2 or not np.isfinite(points).all():
      raise ValueError("a polygon must be three or more pairs of numbers")
    # A pixel is inside where its centre is: COCO's (0, 0) is the corner of the first pixel.
    region |= draw.polygon2mask(size, points.reshape(-1, 2)[:, ::-1] - 0.5)
  return region


def _uncompressed(text: str) -> list[int]:
  """Returns run lengths from COCO's text: six bits a sign, differences to the run before the last.

  Source: the format of `maskApi.c` of the COCO API, described there.
  """
  runs: list[int] = []
  position = 0
  while position < len(text):
    value = shift = 0
    while True:
      sign = ord(text[position]) - 48
      position += 1
      value |= (sign & 0x1F) << (5 * shift)
      shift += 1
      if not sign & 0x20:
        break
    if sign & 0x10:
      value -= 1 << (5 * shift)
    runs.append(value + (runs[-2] if len(runs) > 2 else 0))
  return runs
