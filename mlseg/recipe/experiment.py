"""The one door from a config to plain records: nothing above or below it sees a ConfigDict.

`read` checks everything that can be checked without the data, so that a mistake in a recipe shows
before hours, or even seconds, of work.
"""

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from mlseg.data import augmentation
from mlseg.errors import UserError, require, user_errors
from mlseg.metrics.class_means import Absent
from mlseg.recipe import auxiliary_schedule, gram, schema
from mlseg.recipe import data as recipe_data
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import model as recipe_model
from mlseg.recipe import prediction as recipe_prediction
from mlseg.recipe import split as recipe_split
from mlseg.recipe.data import DataRecipe
from mlseg.recipe.losses import LossRecipe
from mlseg.recipe.model import NetworkRecipe
from mlseg.recipe.optimizer import make_optimizer
from mlseg.recipe.prediction import PredictionRecipe
from mlseg.recipe.schema import run_keys
from mlseg.recipe.weighting import make_weighting
from mlseg.weighting import LossWeighting, SplitLoss, losses_and_gradients

# What may differ between recipes that are trained in one program.
_FREE = ("name", "variant", "losses", "weighting", "auxiliary", "mesh")


class Seeds(NamedTuple):
  """The models of a run, and how a program goes through them."""

  first: int
  num: int
  strategy: str  # 'auto', 'vmap', 'map' or 'loop'
  vectorize: int  # with 'vmap', most models at once; 0: what the memory holds

  @property
  def numbers(self) -> list[int]:
    """The seeds of the models."""
    return [self.first + index for index in range(self.num)]


class Metrics(NamedTuple):
  """The metrics of the test part beside those of overlap; see `configs/dmf_busi.py`."""

  surface: bool
  spacing: tuple[float, float]
  tolerance: float
  objects: bool
  object_neck: float
  object_size: int
  num_processes: int
  absent: Absent = "left_out"  # of classes neither true nor predicted, in means over classes


class WeightingRecipe(NamedTuple):
  """The weighting of a recipe.

  Attributes:
    make: `make(steps_per_epoch, num_steps) -> LossWeighting`, of all losses, the auxiliary one
      included.
    gram_at: where gradients are compared by a weighting that does, 'logits' or 'params'.
    auxiliary: the initial weight of the auxiliary loss and its decay.
    key: text that is the same for two recipes whose weightings differ in `auxiliary` at most.
  """

  make: Callable[[int, int], LossWeighting]
  gram_at: Any
  auxiliary: tuple[float, float]
  key: str


class OptimizerRecipe(NamedTuple):
  """The optimiser of a recipe.

  Attributes:
    make: `make(num_steps, rate_is_given)`; see `optimizer.make_optimizer`.
    learning_rate: its rate, before any schedule.
    ema: decay of the average over the variables; 0: there is none.
  """

  make: Callable[..., optax.GradientTransformation]
  learning_rate: float
  ema: float = 0.0


class Experiment(NamedTuple):
  """All that a run needs to know, in plain records; `configs/dmf_busi.py` says what each means.

  Attributes:
    content: the whole recipe, as `config.json` and `results.json` hold it.
    defaults: by the dotted name of a key, what a run from before it existed trains.
    common: text that is the same for two recipes that can be trained in one program.
  """

  name: str
  variant: str
  content: dict[str, Any]
  defaults: dict[str, Any]
  common: str
  seeds: Seeds
  mesh: dict[str, int]
  num_epochs: int
  batch_size: int
  num_microbatches: int
  selection: str
  patience: int
  log_every: int
  validation_every: int
  cosines_every: int
  checkpoint_every: int
  max_nonfinite: int
  trackers: tuple[str, ...]
  data: DataRecipe
  augmentation: dict[str, float]
  network: NetworkRecipe
  losses: LossRecipe
  weighting: WeightingRecipe
  optimizer: OptimizerRecipe
  metrics: Metrics
  prediction: PredictionRecipe


def read(recipe: ConfigDict | Mapping[str, Any]) -> Experiment:
  """Returns a recipe in plain records, everything checked that needs no data.

  Args:
    recipe: a config, or its content as nested dicts.

  Raises:
    UserError: a name or a value is not right.
  """
  content = schema.complete(recipe)
  schema.check(content)
  config = ConfigDict(content)
  data, network = recipe_data.read(config), recipe_model.read(config)
  experiment = Experiment(
    name=config.name,
    variant=config.variant,
    content=content,
    defaults=schema.defaults(content),
    common="",
    seeds=Seeds(config.seed, config.num_seeds, config.seeds.strategy, config.seeds.vectorize),
    mesh=dict(config.mesh),
    num_epochs=config.num_epochs,
    batch_size=config.batch_size,
    num_microbatches=config.num_microbatches,
    selection=config.selection,
    patience=config.patience,
    log_every=config.log_every,
    validation_every=config.validation_every,
    cosines_every=config.cosines_every,
    checkpoint_every=config.checkpoint_every,
    max_nonfinite=config.max_nonfinite,
    trackers=tuple(config.trackers),
    data=data,
    augmentation=dict(config.augmentation),
    network=network,
    losses=recipe_losses.read(config),
    weighting=_weighting(config),
    optimizer=_optimizer(config),
    metrics=Metrics(**{name: config.metrics[name] for name in Metrics._fields}),
    prediction=recipe_prediction.read(config),
  )
  _check(experiment)
  recipe_model.check(config)
  needs_gram = _check_weighting(experiment)
  return experiment._replace(common=_common(experiment, needs_gram))


def read_network(
  content: Mapping[str, Any], source: object = "config.json"
) -> tuple[DataRecipe, NetworkRecipe, PredictionRecipe]:
  """Returns what a trained run needs to predict, also of a run from before some keys existed.

  Args:
    content: of the recipe, as `config.json` holds it.
    source: the file that it comes from, for messages.

  Raises:
    UserError: it is not the content of a recipe, or a value is not right.
  """
  content = schema.complete(content)
  schema.check_network(content, source)
  config = ConfigDict(content)
  return recipe_data.read(config), recipe_model.read(config), recipe_prediction.read(config)


def check_data(experiment: Experiment, num_classes: int, num_labels: int) -> None:
  """Raises a UserError where data with so many classes and labels do not fit a recipe."""
  recipe_prediction.check_classes(experiment.prediction, num_classes)
  single = num_labels != 2 and not experiment.data.finding_names
  if experiment.selection == "auc" and single:
    raise UserError(f"config.selection 'auc' needs cases of two labels, not {num_labels}")


def _weighting(config: ConfigDict) -> WeightingRecipe:
  auxiliary = config.auxiliary.to_dict()
  numbers = auxiliary["initial"], auxiliary["decay"]
  if auxiliary["schedule"] == auxiliary_schedule.EXPONENTIAL:
    auxiliary = {name: auxiliary[name] for name in ("name", "decay_every")}
  key = json.dumps([config.losses, config.weighting.to_dict(), auxiliary], default=str)
  return WeightingRecipe(
    make=functools.partial(make_weighting, config),
    gram_at=gram.place(config.weighting.gram_at, config.losses),
    auxiliary=numbers,
    key=key,
  )


def _optimizer(config: ConfigDict) -> OptimizerRecipe:
  return OptimizerRecipe(
    make=lambda num_steps, rate_is_given=False: make_optimizer(config, num_steps, rate_is_given),
    learning_rate=config.optimizer.learning_rate,
    ema=config.optimizer.ema,
  )


def _common(experiment: Experiment, needs_gram: bool) -> str:
  content = {name: value for name, value in experiment.content.items() if name not in _FREE}
  content["optimizer"] = dict(content["optimizer"], learning_rate=None)
  content["gram_at"] = experiment.weighting.gram_at
  content["needs_gram"] = needs_gram
  return json.dumps(content, sort_keys=True, default=str)


def _check(experiment: Experiment) -> None:
  """Raises a UserError where a number is out of its range, or a name is not known."""
  _check_numbers(experiment)
  _check_metrics(experiment)
  _check_selection(experiment)
  recipe_prediction.check(
    experiment.prediction, experiment.data, experiment.network, experiment.seeds.num
  )
  recipe_data.check(experiment.data)
  recipe_losses.check(experiment.losses)
  recipe_split.check_partial(experiment.data, experiment.losses.names, experiment.num_microbatches)
  experiment.optimizer.make(1)
  data = experiment.data
  image = jax.ShapeDtypeStruct((1, 16 * data.num_slices, 16, 1), jnp.uint8)
  options: dict[str, Any] = dict(
    experiment.augmentation, patch=data.patch_size, slices=data.num_slices
  )
  jax.eval_shape(
    lambda image, mask: augmentation.augment(jax.random.key(0), image, mask, **options),
    image,
    image.update(shape=image.shape[:3]),
  )


def _check_numbers(experiment: Experiment) -> None:
  parts = experiment.num_microbatches
  rule = "config.num_microbatches must divide config.batch_size"
  require(experiment.batch_size % parts == 0, rule, parts)


def _check_metrics(experiment: Experiment) -> None:
  options = experiment.metrics
  if experiment.data.has_volumes and (options.surface or options.objects):
    raise UserError(
      "config.metrics: surface and objects must be False for the slices of a volume, which are"
      " evenly spaced over the lesion, not neighbours"
    )


def _check_selection(experiment: Experiment) -> None:
  """Raises a UserError where the network does not give what its epochs are judged by."""
  selection, network = experiment.selection, experiment.network
  head = run_keys.SELECTIONS[selection]
  known = network.segments if head == "segmentation" else head in network.heads
  if head and not known:
    raise UserError(
      f"config.selection {selection!r} needs the head of {head}, which config.model"
      f" ({network.name}) has not"
    )


def _check_weighting(experiment: Experiment) -> bool:
  """Checks the weighting, and returns whether it needs a Gram matrix."""
  method = experiment.weighting.make(1, 100)
  never_called = SplitLoss(lambda *_: (None, None), lambda *_: None)
  with user_errors("config.weighting"):
    losses_and_gradients(never_called, method, gram_at=experiment.weighting.gram_at)
    method.init(dict.fromkeys(experiment.losses.names, jnp.zeros(())))
  if method.needs_gram:
    gram.check(experiment.content["weighting"]["gram_at"], experiment.content["losses"])
  return method.needs_gram
