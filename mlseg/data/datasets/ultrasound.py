"""What the data sets of breast ultrasound share: cases by label, their source and their builder."""

import abc
import functools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data.datasets import lesion_pairs
from mlseg.data.datasets.sources import PLAIN, Builder, Example, Reading, Source
from mlseg.data.findings import Findings
from mlseg.data.preprocessing import resize_image, resize_mask
from mlseg.data.splits.grouped import THRESHOLD
from mlseg.io.pictures.files import natural_key
from mlseg.io.pictures.picture import to_colour, to_grey
from mlseg.io.pictures.png import encode

CLASS_NAMES = ("background", "lesion")

# By label and name of the case, the path of the picture and the paths of its masks.
CasePaths = dict[str, dict[str, tuple[pathlib.Path, list[pathlib.Path]]]]


class UltrasoundConfig(tfds.core.BuilderConfig):
  """The config of an `UltrasoundBuilder`.

  Args:
    size: side of the square grey pictures that are written, pixels; None: pictures keep their size
      and have three channels.
    labels: the labels that are written; None: all that the folder has.
    **kwargs: name and description, as tfds takes them.
  """

  def __init__(self, size: int | None = None, labels: tuple[str, ...] | None = None, **kwargs: Any):
    super().__init__(**kwargs)
    self.size = size
    self.labels = labels


class UltrasoundBuilder(Builder, skip_registration=True):  # type: ignore[call-arg]
  """A tfds builder that writes the cases of each label to a split of that name.

  Attributes:
    MASKS: what values of masks may mean, see `mask_values.lesion`.
  """

  MASKS = "binary"
  LABELS: tuple[str, ...]

  @abc.abstractmethod
  def find_cases(self, root: pathlib.Path) -> CasePaths:
    """Returns the cases in a folder."""

  def _info(self) -> tfds.core.DatasetInfo:
    size = self.builder_config.size
    features = {
      # Original pictures are grey or RGB: three channels hold both.
      "image": tfds.features.Image(shape=(size, size, 1 if size else 3), encoding_format="png"),
      "mask": tfds.features.Image(shape=(size, size, 1), encoding_format="png"),
      "label": tfds.features.ClassLabel(names=list(self.LABELS)),
      "id": tfds.features.Text(),
      "height": np.int32,  # of the original
      "width": np.int32,
    }
    return self.info_of(tfds.features.FeaturesDict(features))

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
    cases = self.find_cases(pathlib.Path(dl_manager.manual_dir))
    labels = self.builder_config.labels or tuple(cases)
    return {label: self._generate_examples(cases, label) for label in labels}

  def _generate_examples(self, cases: CasePaths, label: str) -> Iterator[tuple[int, Any]]:
    size = self.builder_config.size
    for number, (case, paths) in enumerate(cases[label].items()):
      pair = lesion_pairs.read(*paths, PLAIN, self.MASKS)
      image, mask = pair.picture.pixels, pair.lesion.astype(np.uint8) * 255
      height, width = mask.shape
      if size:
        image, mask = resize_image(to_grey(image), size), resize_mask(mask, size)
      else:
        image = to_colour(image)
      yield (
        number,
        {
          "image": encode(image, bool(size)),
          "mask": encode(mask, bool(size)),
          "label": label,
          "id": case,
          "height": height,
          "width": width,
        },
      )


def make_source(
  cases: CasePaths, reading: Reading, found: Findings, masks: str = "binary"
) -> Source:
  """Returns cases as a source of grey pictures, label by label, in the order of their names.

  Args:
    cases: to read.
    reading: how pictures and masks are read.
    found: what the search for them found.
    masks: what values of masks may mean, see `mask_values.lesion`.
  """
  chosen = [
    (label, case, *paths)
    for label, of_label in cases.items()
    for case, paths in sorted(of_label.items(), key=lambda item: case_key(item[0]))
  ]

  def read(
    label: str, case: str, image: pathlib.Path, mask_paths: list[pathlib.Path]
  ) -> Iterator[Example]:
    pair = lesion_pairs.read(image, mask_paths, reading, masks)
    yield Example(
      id=case,
      image=to_grey(pair.picture.pixels),
      mask=pair.lesion.astype(np.uint8),
      label=label,
      changes=pair.changes,
      values=pair.values,
    )

  return Source(
    files=tuple(path for _, _, image, masks in chosen for path in (image, *masks)),
    class_names=CLASS_NAMES,
    label_names=tuple(cases),
    channels=1,
    duplicate_bits=THRESHOLD,
    parts=tuple(functools.partial(read, *one) for one in chosen),
    faults=tuple(found.faults),
    notes=found.notes(),
  )


def case_key(case: str) -> list[Any]:
  """Returns the key that sorts cases by the numbers in the last part of their names."""
  return natural_key(pathlib.PurePosixPath(case))
