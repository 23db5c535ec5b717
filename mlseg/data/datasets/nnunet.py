"""nnU-Net's raw data and the Medical Segmentation Decathlon: 2-D images, or slices of volumes."""

import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mlseg.data import mask_values, padding
from mlseg.data.datasets import dataset_json, lesion_pairs, sources
from mlseg.data.datasets.dataset_json import Case, Described
from mlseg.data.findings import Findings
from mlseg.errors import UserError, printable, require, unknown
from mlseg.io import volumes
from mlseg.io.pictures import files
from mlseg.io.pictures.picture import to_colour, to_grey

NAME = "nnunet"
SLICES = ("labelled", "all")
LABEL = "unknown"  # the diagnosis of all cases
_PERCENTILES = (0.5, 99.5)  # of a volume, that become black and white


class NnunetOptions(NamedTuple):
  """The section config.data.nnunet."""

  channels: int = 1  # of the images: 1 or 3
  channel: int = 0  # of several in the data, the one that is read where images are grey
  slices: str = "labelled"  # of volumes: those with a class beside the background; or 'all'
  every: int = 1  # of volumes: every n-th of these slices is taken
  window: tuple[float, float] = (0.0, 0.0)  # values that become black and white; two 0: percentiles


def open_source(
  root: pathlib.Path, options: NnunetOptions, reading: sources.Reading = sources.PLAIN
) -> sources.Source:
  """Returns the labelled images in a folder, or the axial slices of its volumes.

  Slices have the case as their patient. The values of a volume between its percentiles 0.5 and
  99.5, or of the window, become 0 to 255.

  Raises:
    UserError: an option is wrong, or the folder is another one.

  Source: Isensee et al., nnU-Net, Nature Methods 18 (2021); Antonelli et al., The Medical
  Segmentation Decathlon, Nature Communications 13 (2022).
  """
  _check(options)
  found = Findings()
  described = dataset_json.read(root, found)
  count = len(described.channel_names)
  rule = f"config.data.{NAME}.channel must be below {count}, the channels of the data"
  require(options.channel < count, rule, options.channel)
  return sources.Source(
    files=(
      root / dataset_json.NAME,
      *(path for case in described.cases for path in (*case.images, case.labels)),
    ),
    class_names=described.class_names,
    label_names=(LABEL,),
    channels=options.channels,
    # Neighbouring slices resemble each other; those of one volume are of one patient.
    duplicate_bits=sources.NO_DUPLICATES,
    parts=tuple(
      functools.partial(_read, case, described, options, reading) for case in described.cases
    ),
    faults=tuple(found.faults),
    notes=found.notes(),
  )


def _check(options: NnunetOptions) -> None:
  sources.check_channels(NAME, options.channels)
  if options.slices not in SLICES:
    raise unknown(f"config.data.{NAME}.slices", options.slices, SLICES)
  low, high = options.window
  rule = f"config.data.{NAME}.window must be (low, high) with low < high, or (0, 0)"
  require(low < high or low == high == 0, rule, tuple(options.window))


def _read(
  case: Case, described: Described, options: NnunetOptions, reading: sources.Reading
) -> Iterator[sources.Example]:
  """Yields a 2-D image, or the slices of a volume."""
  if ".nii" in case.labels.name:
    yield from _slices(case, described, options)
    return
  path = case.images[min(options.channel, len(case.images) - 1)]
  picture, stored = files.read(path, reading.sixteen_bit), files.read_mask(case.labels)
  values = stored.values if stored.indices is None else stored.indices
  if values.ndim != 2:
    raise UserError(f"{case.labels}: a mask must have one value a pixel, not a colour")
  mask = _classes(values, described, case.labels)
  mask = mask_values.fit(mask, case.labels, picture.pixels.shape, path.name, reading.mask_resize)
  shown = to_colour(picture.pixels) if options.channels == 3 else to_grey(picture.pixels)
  changes = lesion_pairs.picture_changes(picture)
  yield sources.Example(case.name, shown, mask, LABEL, changes=changes)


def _slices(case: Case, described: Described, options: NnunetOptions) -> Iterator[sources.Example]:
  """Yields the axial slices of a volume."""
  mask = volumes.read(case.labels)
  labels = _classes(mask.values, described, case.labels)
  wanted = (
    range(3) if options.channels == 3 and len(described.channel_names) == 3 else (options.channel,)
  )
  shown: list[np.ndarray] = []
  for channel in wanted:
    path = case.images[channel if len(case.images) > 1 else 0]
    volume = volumes.read(path, channel if len(case.images) == 1 else None)
    volumes.check_same_grid(volume, mask, (str(path), str(case.labels)))
    shown.append(_grey(volume.values, options.window))
  chosen = np.arange(len(labels))
  if options.slices == "labelled":
    chosen = np.flatnonzero(((labels > 0) & padding.counted(labels)).any((1, 2)))
  for number in chosen[:: options.every]:
    planes = [grey[number] for grey in shown]
    image = planes[0] if len(planes) == 1 else np.stack(planes, -1)
    yield sources.Example(
      id=f"{case.name}_{number:03d}",
      image=to_colour(image) if options.channels == 3 else image,
      mask=np.ascontiguousarray(labels[number]),
      label=LABEL,
      patient=case.name,
    )


def _grey(values: np.ndarray, window: Sequence[float]) -> np.ndarray:
  """Returns the values of a volume as 0 to 255."""
  low, high = window if tuple(window) != (0.0, 0.0) else np.percentile(values, _PERCENTILES)
  if not high > low:
    return np.zeros(values.shape, np.uint8)
  return volumes.window(values, float(low), float(high))


def _classes(values: np.ndarray, described: Described, path: pathlib.Path) -> np.ndarray:
  """Returns a mask as uint8, whose values are those of the classes, or `padding.UNLABELLED`.

  Raises:
    UserError: it has another value.
  """
  classes = len(described.class_names)
  count = classes + described.has_ignored
  if values.dtype.kind == "f" and not (values == np.rint(values)).all():
    raise UserError(f"{printable(str(path))}: has values that are no whole numbers")
  low, high = int(values.min()), int(values.max())
  if low < 0 or high >= count:
    wrong = low if low < 0 else high
    raise UserError(
      f"{printable(str(path))}: has the value {wrong}, and {dataset_json.NAME} names 0 to"
      f" {count - 1}"
    )
  known = values.astype(np.uint8)
  return np.where(known < classes, known, np.uint8(padding.UNLABELLED))
