"""Data sets that are read picture by picture, so that none is ever in memory whole."""

import abc
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg.errors import UserError, require, unknown
from mlseg.io.pictures.png import encode

NO_DUPLICATES = -1  # for `Source.duplicate_bits`: patients alone are kept together


class Picture(NamedTuple):
  """A picture, its mask and what is known of it."""

  id: str
  image: np.ndarray  # [H, W] or RGB [H, W, 3], uint8
  mask: np.ndarray  # [H, W] uint8, the index of a class
  label: str  # one of the source's
  patient: str = ""  # '' where none is known
  part: str = ""  # 'train' or 'test', where the data set is published with a division
  objects: np.ndarray | None = None  # [H, W] uint8, as in `cases.Cases`; None: not known


class Source(NamedTuple):
  """A data set in a folder."""

  files: tuple[pathlib.Path, ...]  # all that it is made of
  class_names: tuple[str, ...]  # of the masks, the background first
  label_names: tuple[str, ...]  # that pictures may have
  channels: int  # of the pictures: 1 or 3
  duplicate_bits: int  # of the hashes, up to which pictures are near-duplicates
  read: Callable[[], Iterator[Picture]]  # one after the other, always in the same order


class SourceConfig(tfds.core.BuilderConfig):
  """What a build makes of a folder.

  Args:
    options: of the data set, as its section of a recipe has them; `options.complete` says whether
      a folder must have the published numbers of pictures.
    **kwargs: name and description, as tfds takes them.
  """

  def __init__(self, options: Any, **kwargs: Any):
    super().__init__(**kwargs)
    self.options = options


class SourceBuilder(  # type: ignore[call-arg] # of a metaclass that is not typed
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """A builder whose examples are the pictures of a source.

  A data set says what its pictures may have, and by `open_source` what is in a folder.
  """

  HOMEPAGE: str
  CITATION: str
  LICENSE: str

  @abc.abstractmethod
  def names(self) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Returns the classes of masks, the labels of pictures, and the channels of pictures."""

  @abc.abstractmethod
  def open_source(self, root: pathlib.Path) -> Source:
    """Returns the data set in a folder, as the builder's config wants it."""

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=features(*self.names()),
      homepage=self.HOMEPAGE,
      citation=self.CITATION,
      license=self.LICENSE,
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
    return {"train": self._generate_examples(self.open_source(pathlib.Path(dl_manager.manual_dir)))}

  def _generate_examples(self, source: Source) -> Iterator[tuple[int, Any]]:
    for number, picture in enumerate(source.read()):
      height, width = picture.mask.shape
      yield (
        number,
        {
          "image": encode(picture.image, False),
          "mask": encode(picture.mask, False),
          "label": picture.label,
          "id": picture.id,
          "patient": picture.patient,
          "part": picture.part,
          "height": height,
          "width": width,
        },
      )


def features(
  class_names: tuple[str, ...], label_names: tuple[str, ...], channels: int
) -> tfds.features.FeaturesDict:
  """Returns what a builder keeps of a picture; masks have the index of a class."""
  return tfds.features.FeaturesDict(
    {
      "image": tfds.features.Image(shape=(None, None, channels), encoding_format="png"),
      "mask": tfds.features.Image(
        shape=(None, None, 1), encoding_format="png", doc="0 to " + str(len(class_names) - 1)
      ),
      "label": tfds.features.ClassLabel(names=list(label_names)),
      "id": tfds.features.Text(),
      "patient": tfds.features.Text(doc="'' where none is known"),
      "part": tfds.features.Text(doc="of a published division"),
      "height": np.int32,
      "width": np.int32,
    }
  )


def find_root(root: pathlib.Path, within: str, has: str, title: str) -> pathlib.Path:
  """Returns the folder that holds `has`: the root, or the folder `within` it.

  Raises:
    UserError: neither does.
  """
  for folder in (root, root / within):
    if (folder / has).exists():
      return folder
  raise UserError(f"data folder {root} is not {title}: it has no {has}, nor has {within} in it")


def check_counts(
  found: Mapping[str, int], expected: Mapping[str, int], title: str, root: pathlib.Path, name: str
) -> None:
  """Raises a UserError where a folder has other numbers of something than were published.

  Args:
    found: what was counted; what is not expected is not compared.
    expected: as published.
    title: of the data set, for messages.
    root: its folder.
    name: of its section in a recipe.
  """
  for what, wanted in expected.items():
    if found.get(what, wanted) != wanted:
      raise UserError(
        f"data folder {root}: {title} has {wanted} {what}, but {found[what]} are here;"
        f" --config.data.{name}.complete=False takes a part of it"
      )


def check_choice(name: str, option: str, value: str, choices: tuple[str, ...]) -> None:
  """Raises a UserError where an option of a data set's section is none of the choices."""
  if value not in choices:
    raise unknown(f"config.data.{name}.{option}", value, choices)


def check_channels(name: str, channels: int) -> None:
  """Raises a UserError where pictures are asked for that are neither grey nor coloured."""
  require(channels in (1, 3), f"config.data.{name}.channels must be 1 or 3", channels)
