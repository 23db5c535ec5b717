"""The section `config.prediction`: how a trained run turns its models' outputs into predictions."""

from typing import NamedTuple

from ml_collections import ConfigDict

from mlseg.errors import UserError, require
from mlseg.models.averaging import ALL_FLIPS, HORIZONTAL, ONE
from mlseg.recipe.data import DataRecipe
from mlseg.recipe.model import NetworkRecipe
from mlseg.recipe.networks import DETECTION

VALIDATION = "validation"
ARGMAX, ALL_COMPONENTS, UNCALIBRATED = "argmax", "all", "none"


class PredictionRecipe(NamedTuple):
  """How predictions are made from what the models give.

  Attributes:
    views: whose probabilities are averaged, one of `models.averaging.VIEWS`.
    ensemble: whether the mean of all models of the run is tested too.
    threshold: 'argmax', or 'validation' for one that is chosen on the validation cases.
    components: 'all', or 'validation' for the smallest sizes of components and holes that are
      chosen on the validation cases.
    calibration: 'none', or 'validation' for temperatures that are fitted on the validation cases.
  """

  views: str = ONE
  ensemble: bool = False
  threshold: str = ARGMAX
  components: str = ALL_COMPONENTS
  calibration: str = UNCALIBRATED

  @property
  def chooses(self) -> bool:
    """Whether something is chosen on the validation cases."""
    return VALIDATION in (self.threshold, self.components)

  @property
  def calibrates(self) -> bool:
    """Whether temperatures are fitted on the validation cases."""
    return self.calibration == VALIDATION


def read(config: ConfigDict) -> PredictionRecipe:
  """Returns how the models of a recipe predict."""
  return PredictionRecipe(**{name: config.prediction[name] for name in PredictionRecipe._fields})


def check(
  recipe: PredictionRecipe, data: DataRecipe, network: NetworkRecipe, num_seeds: int
) -> None:
  """Raises a UserError where a choice does not fit the data, the network or the seeds."""
  check_views(recipe.views, data, network, "config.prediction.views")
  for name in ("threshold", "components"):
    if getattr(recipe, name) == VALIDATION and not network.segments:
      raise UserError(
        f"config.prediction.{name} {VALIDATION!r} needs a network with masks, which config.model"
        f" ({network.name}) has not"
      )
  if recipe.calibrates:
    rule = (
      f"config.prediction.calibration must be {UNCALIBRATED!r} for {network.name}, whose objects"
      " have scores and no probabilities"
    )
    require(DETECTION not in network.heads, rule, recipe.calibration)
  if recipe.ensemble:
    rule = "config.num_seeds must be at least 2 with config.prediction.ensemble"
    require(num_seeds >= 2, rule, num_seeds)
    rule = (
      "config.data.resplit must be False with config.prediction.ensemble: one split of all seeds"
    )
    require(not data.resplit, rule, data.resplit)
    rule = "config.data.fold must be a fold with config.prediction.ensemble: one split of all seeds"
    require(not data.num_folds or data.fold >= 0, rule, data.fold)


def check_views(views: str, data: DataRecipe, network: NetworkRecipe, argument: str) -> None:
  """Raises a UserError where a network cannot predict such views.

  Args:
    views: one of `models.averaging.VIEWS`.
    data: of the recipe.
    network: of the recipe.
    argument: that gives the views, for the message.
  """
  if DETECTION in network.heads:
    rule = f"{argument} must be {ONE!r} for {network.name}, whose objects are found in one view"
    require(views == ONE, rule, views)
  if data.has_volumes:
    rule = (
      f"{argument} must be {ONE!r} or {HORIZONTAL!r} for volumes, whose slices lie one below the"
      " other"
    )
    require(views != ALL_FLIPS, rule, views)


def check_classes(recipe: PredictionRecipe, num_classes: int) -> None:
  """Raises a UserError where a threshold is to be chosen between more than two classes."""
  if recipe.threshold == VALIDATION:
    rule = f"config.prediction.threshold {VALIDATION!r} needs masks of two classes"
    require(num_classes == 2, rule, num_classes)
