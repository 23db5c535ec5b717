"""The section `config.data`: the data set of a recipe, and its parts."""

import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from mlseg.console import Reporter
from mlseg.data import cases, covariates, mask_values, sampling, targets
from mlseg.data.datasets import cohort, folder
from mlseg.data.datasets.sources import Reading
from mlseg.data.splits import grouped
from mlseg.errors import UserError, require, unknown, user_errors
from mlseg.io.pictures.picture import SCALINGS

PLACEMENTS = ("device", "host")
PUBLISHED = "published"  # a split whose test part came with the data
FILE = "file"  # a split that a table says
SPLITS = (*grouped.METHODS, PUBLISHED, FILE)
TRAIN, LEAVE_OUT = "train", "leave_out"  # what is done with cases without a mask or a diagnosis


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
  partly_labelled: str = TRAIN
  hide_masks: float = 0.0
  hide_diagnoses: float = 0.0
  num_processes: int = 0
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
  def hides(self) -> bool:
    """Whether masks or diagnoses of the training cases are hidden."""
    return bool(self.hide_masks or self.hide_diagnoses)

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
  covariates: tuple[str, ...] = ()  # the columns of a cohort's manifest that the network reads


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
  rule = "config.data.hide_masks and config.data.hide_diagnoses must have a sum of at most 1"
  shares = recipe.hide_masks, recipe.hide_diagnoses
  require(min(shares) >= 0 and sum(shares) <= 1, rule, shares)
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
  """Returns the preprocessed data set, with what losses and network read beside images and masks.

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
    num_processes=recipe.num_processes or None,
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
  if names := next((one.covariates for one in wanted if one.covariates), ()):
    with user_errors("config.model.covariates"):
      chosen = covariates.columns(loaded.covariates, loaded.covariate_names, names)
    loaded = loaded._replace(network_covariates=chosen)
  if any(one.distances for one in wanted):
    maps = targets.signed_distances(loaded.masks, len(loaded.class_names))
    loaded = loaded._replace(distances=maps)
  return loaded


def find_near_duplicates(data: cases.Cases) -> list[tuple[int, int, int]]:
  """Returns the pairs of images that a split keeps together, and in how many bits they differ."""
  return grouped.near_duplicates(data.hashes, data.duplicate_bits)
