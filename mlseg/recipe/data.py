"""The section `config.data`: the data set of a recipe, and its parts."""

import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from mlseg.console import Reporter
from mlseg.data import cases, mask_values, multilabel, sampling, targets
from mlseg.data.datasets import cohort, folder
from mlseg.data.datasets.sources import Reading
from mlseg.data.splits import cross_validation, grouped, split_table
from mlseg.errors import UserError, require, unknown, user_errors
from mlseg.io.pictures.picture import SCALINGS

PLACEMENTS = ("device", "host")
PUBLISHED = "published"  # a split whose test part came with the data
FILE = "file"  # a split that a table says
SPLITS = (*grouped.METHODS, PUBLISHED, FILE)


class DataRecipe(NamedTuple):
  """The data of a recipe; `configs/dmf_busi.py` says what each number means.

  The defaults are those of runs that were trained before a key existed.
  """

  name: str
  root: str | None
  image_size: int
  diameter: int
  sigma_space: float
  sigma_intensity: float
  placement: str = "device"
  patch_size: int = 0
  patch_overlap: float = 0.5
  split: str = "grouped"
  split_seed: int = 0
  resplit: bool = True
  fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
  num_folds: int = 0
  fold: int = -1
  sixteen_bit: str = "minmax"
  mask_resize: str = "refuse"
  skip_bad: bool = False
  sampling: str = sampling.SHUFFLE
  split_file: str = ""
  options: Any = None  # the data set's own section, of the class in `cases.OPTIONS`

  @property
  def has_volumes(self) -> bool:
    """Whether an image is a volume, whose slices lie one below the other."""
    return self.name == cohort.NAME

  @property
  def finding_names(self) -> tuple[str, ...]:
    """The findings of the cases, of which one may have several; (): cases have diagnoses."""
    return tuple(getattr(self.options, "label_columns", ()))

  @property
  def num_slices(self) -> int:
    """The number of slices of a volume; 1 for plain images."""
    return self.options.slices if self.has_volumes else 1

  @property
  def input_size(self) -> int:
    """The side of the images, slices or patches that the network is trained on, in pixels."""
    return self.patch_size or self.image_size

  @property
  def input_shape(self) -> tuple[int, int]:
    """Height and width of the images that the network is trained on, in pixels."""
    return self.input_size * self.num_slices, self.input_size

  @property
  def reading(self) -> Reading:
    """How pictures and masks are read."""
    return Reading(self.sixteen_bit, self.mask_resize)

  @property
  def filtering(self) -> dict[str, Any]:
    """The arguments of `preprocessing.bilateral_filter`."""
    names = ("diameter", "sigma_space", "sigma_intensity")
    return {name: getattr(self, name) for name in names}


class Targets(NamedTuple):
  """What the losses and the network of a recipe read beside images, masks and diagnoses."""

  distances: bool = False  # signed distances to the boundary of each class
  max_objects: int = 0  # objects of an image that a detector is trained on
  texture: str | None = None  # the statistic of a lesion's texture; see `targets.statistics`


def read(config: ConfigDict) -> DataRecipe:
  """Returns the data of a recipe, checked as far as that is possible without the data.

  Raises:
    UserError: a value is not right.
  """
  section = config.data
  own = None
  if section.name == cases.FOLDER and cases.FOLDER not in section:
    raise UserError(
      "config.data.name 'folder' needs the section config.data.folder: use configs/folder.py"
    )
  if section.name in cases.OPTIONS:
    with user_errors(f"config.data.{section.name}"):
      own = cases.OPTIONS[section.name](**dict(section.get(section.name, {})))
  given = {name: section[name] for name in DataRecipe._fields if name in section}
  return DataRecipe(**given, options=own)


def check(recipe: DataRecipe) -> None:
  """Raises a UserError where a value is out of its range."""
  if recipe.name not in cases.NAMES:
    raise unknown("dataset", recipe.name, cases.NAMES)
  if recipe.name == cases.FOLDER:
    folder.check_label_columns(recipe.options)
  if recipe.has_volumes and recipe.diameter:
    raise UserError("config.data.diameter must be 0 for volumes: they are not filtered")
  if recipe.placement not in PLACEMENTS:
    raise unknown("config.data.placement", recipe.placement, PLACEMENTS)
  if recipe.split not in SPLITS:
    raise unknown("split", recipe.split, SPLITS)
  for name, value, choices in (
    ("sixteen_bit", recipe.sixteen_bit, SCALINGS),
    ("mask_resize", recipe.mask_resize, mask_values.RESIZES),
    ("sampling", recipe.sampling, sampling.METHODS),
  ):
    if value not in choices:
      raise unknown(f"config.data.{name}", value, choices)
  if recipe.has_volumes and recipe.sampling == sampling.LESION_SIZE:
    raise UserError(
      "config.data.sampling must be 'shuffle' or 'labels' for volumes, whose slices are cut around"
      " the lesion"
    )
  if not recipe.patch_size:  # otherwise pictures keep their size
    rule = "config.data.image_size must be at least 8"
    require(recipe.image_size >= 8, rule, recipe.image_size)
  rule = "config.data.patch_size must be 0, or at least 8"
  require(recipe.patch_size == 0 or recipe.patch_size >= 8, rule, recipe.patch_size)
  if (recipe.split == FILE) != bool(recipe.split_file):
    raise UserError(
      f"config.data.split {FILE!r} and config.data.split_file go together: the table of the folds,"
      " or parts, of cases or patients"
    )
  if recipe.split_file and not pathlib.Path(recipe.split_file).is_file():
    raise UserError(f"config.data.split_file {recipe.split_file} does not exist")
  if recipe.split in (PUBLISHED, FILE):
    rule = f"config.data.num_folds must be 0 with split={recipe.split!r}"
    require(not recipe.num_folds, rule, recipe.num_folds)
  elif recipe.num_folds:
    rule = "config.data.num_folds must be 0 or at least 2"
    require(recipe.num_folds >= 2, rule, recipe.num_folds)
    rule = f"config.data.fold must be -1 to {recipe.num_folds - 1}"
    require(-1 <= recipe.fold < recipe.num_folds, rule, recipe.fold)


def load_cases(
  recipe: DataRecipe, wanted: Iterable[Targets] = (), reporter: Reporter | None = None
) -> cases.Cases:
  """Returns the preprocessed data set, with the targets that losses read.

  Args:
    recipe: the data.
    wanted: of each recipe that is trained in the same program.
    reporter: shows the progress, and what a user should know of the data; None: nothing is shown.

  Raises:
    UserError: the data are not there, or not as the recipe says.
  """
  wanted = tuple(wanted)
  loaded = cases.load(
    recipe.name,
    root=recipe.root,
    image_size=0 if recipe.patch_size else recipe.image_size,
    options=recipe.options,
    reading=recipe.reading,
    skip_bad=recipe.skip_bad,
    reporter=reporter,
    **recipe.filtering,
  )
  if reporter:
    for line in cases.notes(loaded):
      reporter.print(f"data    {line}")
  if count := max((one.max_objects for one in wanted), default=0):
    if loaded.has_unlabelled:
      raise UserError(
        "the masks have pixels whose class is not known, which a detector (mask_rcnn) cannot be"
        " trained on"
      )
    numbers = targets.number_objects(loaded.masks, count, loaded.objects)
    loaded = loaded._replace(instances=numbers)
  if statistic := next((one.texture for one in wanted if one.texture is not None), None):
    with user_errors("config.loss_options.texture_cross_entropy"):
      values = targets.statistics(loaded.images, loaded.masks, statistic, recipe.num_slices)
    loaded = loaded._replace(textures=values)
  if any(one.distances for one in wanted):
    maps = targets.signed_distances(loaded.masks, len(loaded.class_names))
    loaded = loaded._replace(distances=maps)
  return loaded


def find_near_duplicates(data: cases.Cases) -> list[tuple[int, int, int]]:
  """Returns the pairs of images that a split keeps together, and in how many bits they differ."""
  return grouped.near_duplicates(data.hashes, data.duplicate_bits)


def make_split(
  recipe: DataRecipe, batch_size: int, data: cases.Cases, groups: np.ndarray | None, seed: int
) -> grouped.Split:
  """Returns the cases that a seed trains on, validates on and is tested on.

  Args:
    recipe: the data.
    batch_size: of the training.
    data: from `load_cases`.
    groups: [N], the same number for cases that must stay together; None: every case is its own.
    seed: of the model.

  Raises:
    UserError: the training part is smaller than a batch.
  """
  if data.findings is not None:
    least = multilabel.least_cases(recipe.fractions, recipe.num_folds)
    data = data._replace(labels=multilabel.strata(data.findings, least))
  split_seed = recipe.split_seed + (seed if recipe.resplit else 0)
  if recipe.split == PUBLISHED:
    split = _published(recipe, data, split_seed)
  elif recipe.split == FILE:
    split = _of_file(recipe, data, groups, seed, split_seed)
  elif recipe.num_folds:
    split = _fold(recipe, data, groups, seed, split_seed)
  else:
    split = grouped.split(
      data.labels,
      groups,
      fractions=recipe.fractions,
      seed=split_seed,
      method=recipe.split,
    )
  if len(split.train) < batch_size:
    raise UserError(
      f"config.batch_size {batch_size} is larger than the training set of {len(split.train)} cases"
    )
  return split


def _published(recipe: DataRecipe, data: cases.Cases, split_seed: int) -> grouped.Split:
  """Returns the parts of a data set that was published with a test part."""
  if data.is_test is None:
    raise UserError(
      f"config.data.split {PUBLISHED!r}: the data set {recipe.name!r} has no published test part"
    )
  part = _validation_share(recipe)
  return cross_validation.published(
    data.labels, None, data.is_test, seed=split_seed, validation=part
  )


def _of_file(
  recipe: DataRecipe, data: cases.Cases, groups: np.ndarray | None, seed: int, split_seed: int
) -> grouped.Split:
  """Returns the parts of a table; of folds, `config.data.fold` or the seed's is tested."""
  division = split_table.read(pathlib.Path(recipe.split_file), data.ids, data.patient_names)
  fold = recipe.fold
  if division.column == "fold" and fold == -1:  # validation parts must be of one drawing
    fold, split_seed = seed % len(division.folds), recipe.split_seed
  return split_table.split(
    division,
    data.labels,
    groups,
    fold=fold,
    seed=split_seed,
    validation=_validation_share(recipe),
  )


def _validation_share(recipe: DataRecipe) -> float:
  """Returns the share of the cases outside the test part that validates."""
  train, validation, _ = recipe.fractions
  return validation / (train + validation)


def _fold(
  recipe: DataRecipe, data: cases.Cases, groups: np.ndarray | None, seed: int, split_seed: int
) -> grouped.Split:
  """Returns the parts of one fold of a cross-validation: `config.data.fold`, or the seed's."""
  fold = recipe.fold
  if fold == -1:  # all folds must be of one division
    fold, split_seed = seed % recipe.num_folds, recipe.split_seed
  kept = groups if recipe.split == "grouped" else None
  part = _validation_share(recipe)
  folds = cross_validation.folds(
    data.labels, kept, recipe.num_folds, seed=split_seed, validation=part
  )
  return folds[fold]
