"""What every data set is read as: a source of examples, one by one; and what the sources share."""

import abc
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data import findings
from mlseg.errors import UserError, require, unknown
from mlseg.io.pictures.png import encode

NO_DUPLICATES = -1  # for `Source.duplicate_bits`: only cases of one patient are kept together
NUM_HASH_BITS = 255  # of `grouped.perceptual_hash`


class Example(NamedTuple):
  """A picture, its mask and what is known about it."""

  id: str
  image: np.ndarray  # [H, W] or RGB [H, W, 3], uint8
  mask: np.ndarray  # [H, W] uint8, the index of a class
  label: str  # one of the source's
  patient: str = ""  # '' where it is not known
  part: str = ""  # 'train' or 'test', where the data set is published with a division
  objects: np.ndarray | None = None  # [H, W] uint8, as in `cases.Cases`; None: not known
  covariates: tuple[float, ...] = ()  # one for each of the source's names; NaN: not known
  changes: tuple[str, ...] = ()  # what a reader changed or ignored, as `picture.Picture.changes`
  values: tuple[str, ...] = ()  # that mean the lesion in its masks, where they decide it
  findings: tuple[int, ...] = ()  # 0 or 1, one for each of the source's names; see `multilabel`


class Reading(NamedTuple):
  """How pictures and masks are read, the same for all data sets: keys of config.data."""

  sixteen_bit: str = "minmax"  # how more than 8 bits become 8, see `picture.to_eight_bits`
  mask_resize: str = "refuse"  # masks of another size than their picture, see `mask_values.fit`


PLAIN = Reading()


class Source(NamedTuple):
  """An opened data set: its names, and functions that read its examples.

  `read()` yields the examples in their own size, in the same order each time. Where `crops` is
  true, `read(size)` yields them in their final size instead, and they are not resized.
  """

  files: tuple[pathlib.Path, ...]  # all files that are read
  class_names: tuple[str, ...]  # of the masks, the background first
  label_names: tuple[str, ...]  # that examples may have
  channels: int  # of the pictures: 1 or 3
  duplicate_bits: int  # largest difference of the hashes of near-duplicates, in bits; -1: none are
  # Each yields the examples of one case: none or more. They may be called side by side.
  parts: tuple[Callable[..., Iterable[Example]], ...]
  crops: bool = False
  covariate_names: tuple[str, ...] = ()
  has_masks: bool = True  # whether masks that are all empty are a fault
  has_outcomes: bool = False  # whether labels that are all the same are a fault
  faults: tuple[findings.Fault, ...] = ()  # cases that were found, but cannot be read
  notes: tuple[str, ...] = ()  # what a user should know of the folder
  finding_names: tuple[str, ...] = ()

  def read(self, *size: int) -> Iterator[Example]:
    """Yields the examples one by one.

    Raises:
      UserError: the source has faults, or an example cannot be read.
    """
    findings.refuse(self.faults)
    for part in self.parts:
      yield from part(*size)


class NoOptions(NamedTuple):
  """The options of a data set that has none: its recipe has no section with its name."""


class SourceConfig(tfds.core.BuilderConfig):
  """The config of a `SourceBuilder`.

  Args:
    options: those of the data set, as its section of a recipe has them; `options.complete` states
      whether a folder must have the published numbers of pictures.
    **kwargs: name and description, as tfds takes them.
  """

  def __init__(self, options: Any, **kwargs: Any):
    super().__init__(**kwargs)
    self.options = options


class Builder(  # type: ignore[call-arg] # of a metaclass that is not typed
  tfds.core.GeneratorBasedBuilder, skip_registration=True
):
  """A tfds builder with what is told of every data set."""

  HOMEPAGE: str
  CITATION: str
  LICENSE: str

  def info_of(self, own: tfds.features.FeaturesDict) -> tfds.core.DatasetInfo:
    """Returns the information on a data set with these features."""
    info = self.dataset_info_from_configs(
      features=own, homepage=self.HOMEPAGE, citation=self.CITATION, license=self.LICENSE
    )
    # tfds would ask the network for its own copy, of which there is none, and leave an empty folder
    # among the temporary files.
    info.initialize_from_bucket = lambda: None
    return info


class SourceBuilder(Builder, skip_registration=True):  # type: ignore[call-arg]
  """A tfds builder that writes the examples of a source to one split."""

  @abc.abstractmethod
  def names(self) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Returns the classes of masks, the labels of pictures, and the channels of pictures."""

  @abc.abstractmethod
  def open_source(self, root: pathlib.Path) -> Source:
    """Returns the data set in a folder, under the options of the builder's config."""

  def _info(self) -> tfds.core.DatasetInfo:
    return self.info_of(features(*self.names()))

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
    return {"train": self._generate_examples(self.open_source(pathlib.Path(dl_manager.manual_dir)))}

  def _generate_examples(self, source: Source) -> Iterator[tuple[int, Any]]:
    for number, example in enumerate(source.read()):
      height, width = example.mask.shape
      yield (
        number,
        {
          "image": encode(example.image, False),
          "mask": encode(example.mask, False),
          "label": example.label,
          "id": example.id,
          "patient": example.patient,
          "part": example.part,
          "height": height,
          "width": width,
        },
      )


def features(
  class_names: tuple[str, ...], label_names: tuple[str, ...], channels: int
) -> tfds.features.FeaturesDict:
  """Returns the features that a `SourceBuilder` writes; masks have the index of a class."""
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
  """Returns the folder that holds a file: the root, or a folder in it.

  Args:
    root: of the data.
    within: name of the folder in the root.
    has: name of the file.
    title: of the data set, for messages.

  Raises:
    UserError: neither folder holds it.
  """
  for folder in (root, root / within):
    if (folder / has).exists():
      return folder
  raise UserError(f"data folder {root} is not {title}: it has no {has}, nor has {within} in it")


def check_counts(
  found: Mapping[str, int], expected: Mapping[str, int], title: str, root: pathlib.Path, name: str
) -> None:
  """Raises a UserError where a folder does not have the published numbers.

  Args:
    found: what was counted. Counts that are not expected are not compared.
    expected: the published numbers.
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
  """Raises a UserError where an option of a data set is not one of the choices."""
  if value not in choices:
    raise unknown(f"config.data.{name}.{option}", value, choices)


def check_channels(name: str, channels: int) -> None:
  """Raises a UserError where a data set's option `channels` is not 1 or 3."""
  require(channels in (1, 3), f"config.data.{name}.channels must be 1 or 3", channels)


def check_duplicate_bits(name: str, bits: int) -> None:
  """Raises a UserError where a data set's option `duplicate_bits` is out of its range."""
  rule = f"config.data.{name}.duplicate_bits must be -1 to {NUM_HASH_BITS}"
  require(-1 <= bits <= NUM_HASH_BITS, rule, bits)
