"""From a config to objects: the last place that sees a config."""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import optax
from ml_collections import ConfigDict

from mlseg import batches, weighting
from mlseg.data import cases, distances, instances, texture
from mlseg.errors import UserError, require, unknown, user_errors
from mlseg.loss_builders import max_objects, uses_distances, uses_textures
from mlseg.loss_catalogue import TEXTURE
from mlseg.models.encoder import stage_labels
from mlseg.weighting import LossWeighting, catalogue

# What learns the parameters of a weighting.
_LEARNERS: dict[str, Callable[..., optax.GradientTransformation]] = {
  "adam": optax.adam, "sgd": optax.sgd
}  # fmt: skip
METHODS: dict[str, Callable[..., LossWeighting]] = {
  name: getattr(weighting, name) for name in catalogue.METHODS
}
PLACEMENTS = ("device", "host")
STAGES = (*(f"stage_{number}" for number in range(5)), "head")


def check_config(config: ConfigDict) -> None:
  """Checks the numbers that no factory checks.

  Raises:
    UserError: a value is out of its range.
  """
  positive = ("num_seeds", "num_epochs", "batch_size", "log_every", "checkpoint_every")
  for name in (*positive, "num_microbatches"):
    require(config[name] >= 1, f"config.{name} must be at least 1", config[name])
  rule = "config.num_microbatches must divide config.batch_size"
  require(config.batch_size % config.num_microbatches == 0, rule, config.num_microbatches)
  for name in ("seed", "patience"):
    require(config[name] >= 0, f"config.{name} must not be negative", config[name])
  if config.data.placement not in PLACEMENTS:
    raise unknown("config.data.placement", config.data.placement, PLACEMENTS)
  if config.data.name == cases.FOLDER and "folder" not in config.data:
    raise UserError(
      "config.data.name 'folder' needs the section config.data.folder: use configs/folder.py"
    )
  rule = "config.seeds.vectorize must not be negative"
  require(config.seeds.vectorize >= 0, rule, config.seeds.vectorize)
  options = config.metrics
  rule = "config.metrics.spacing must be two positive numbers"
  sound = len(options.spacing) == 2 and all(0 < size < math.inf for size in options.spacing)
  require(sound, rule, tuple(options.spacing))
  if batches.has_volumes(config) and (options.surface or options.objects):
    raise UserError(
      "config.metrics: surface and objects must be False for the slices of a volume, which are"
      " evenly spaced over the lesion, not neighbours"
    )
  for name in ("tolerance", "num_processes", "object_neck", "object_size"):
    require(options[name] >= 0, f"config.metrics.{name} must not be negative", options[name])
  require(
    config.max_nonfinite >= 1, "config.max_nonfinite must be at least 1", config.max_nonfinite
  )


def make_cases(configs: Sequence[ConfigDict]) -> cases.Cases:
  """Returns the preprocessed data set, with distances or objects where a loss reads them.

  Args:
    configs: the recipes, of one data set.
  """
  options = configs[0].data
  rule = "config.data.patch_size must be 0, or at least 8"
  require(options.patch_size == 0 or options.patch_size >= 8, rule, options.patch_size)
  own = None
  if options.name in cases.OPTIONS:
    with user_errors(f"config.data.{options.name}"):
      own = cases.OPTIONS[options.name](**dict(options.get(options.name, {})))
  loaded = cases.load(
    options.name,
    root=options.root,
    image_size=0 if options.patch_size else options.image_size,
    diameter=options.diameter,
    sigma_space=options.sigma_space,
    sigma_intensity=options.sigma_intensity,
    options=own,
  )
  if count := max(map(max_objects, configs)):
    numbers = instances.number_objects(loaded.masks, count, loaded.objects)
    loaded = loaded._replace(instances=numbers)
  if any(map(uses_textures, configs)):
    statistic = configs[0].loss_options[TEXTURE].statistic
    with user_errors(f"config.loss_options.{TEXTURE}"):
      slices = batches.num_slices(configs[0])
      values = texture.statistics(loaded.images, loaded.masks, statistic, slices)
    loaded = loaded._replace(textures=values)
  if not any(map(uses_distances, configs)):
    return loaded
  maps = distances.signed_distances(loaded.masks, len(loaded.class_names))
  return loaded._replace(distances=maps)


def make_weighting(config: ConfigDict, steps_per_epoch: int) -> LossWeighting:
  """Returns the weighting of all losses: a method, its cadence, combinators, the auxiliary loss."""
  options = config.weighting
  with user_errors("config.weighting"):
    method = _method(config)
    if options.per_epoch:
      method = weighting.per_epoch(method, steps_per_epoch)
    if options.every != 1:
      method = weighting.every(method, options.every)
    if options.warm_up:
      method = weighting.warm_up(method, options.warm_up)
    members = [method]
    if options.prior:
      members.append(weighting.with_prior(_by_loss(config, "prior")))
    if options.ema:
      members.append(weighting.ema(options.ema))
    if (options.lower, options.upper) != (0.0, 1.0):
      members.append(weighting.bounded(options.lower, options.upper))
    if options.rescale != "none":
      members.append(weighting.rescale(options.rescale))
    whole = weighting.chain(*members) if len(members) > 1 else method
  extra = config.auxiliary
  if extra.name == "none":
    return whole
  with user_errors("config.auxiliary"):
    return weighting.with_auxiliary(
      whole, extra.name, initial=extra.initial, decay=extra.decay, decay_every=extra.decay_every
    )


def _method(config: ConfigDict) -> LossWeighting:
  """Returns the method that `config.weighting.name` says, with its options."""
  section = config.weighting
  if section.name not in METHODS:
    raise unknown("weighting", section.name, METHODS)
  if section.name == "fixed":
    return weighting.fixed(_by_loss(config, "fixed"))
  options, factory = dict(section.options.get(section.name, {})), METHODS[section.name]
  is_learned = "optimizer" in inspect.signature(factory).parameters
  if is_learned and "learning_rate" in options:
    name, rate = options.pop("optimizer", "adam"), options.pop("learning_rate")
    place = f"config.weighting.options.{section.name}"
    if name not in _LEARNERS:
      raise unknown(f"{place}.optimizer", name, _LEARNERS)
    require(rate > 0, f"{place}.learning_rate must be positive", rate)
    options["optimizer"] = _LEARNERS[name](rate)
  return factory(**options)


def _by_loss(config: ConfigDict, name: str) -> dict[str, float]:
  """Returns the values of an entry of config.weighting that has one per loss, by loss."""
  values = config.weighting[name]
  rule = f"config.weighting.{name} must have one weight per entry of config.losses"
  require(len(values) == len(config.losses), rule, tuple(values))
  return dict(zip(config.losses, values, strict=True))


def make_optimizer(
  config: ConfigDict, num_steps: int, rate_is_given: bool = False
) -> optax.GradientTransformation:
  """Returns the optimiser of a run of `num_steps` steps.

  Args:
    config: the recipe.
    num_steps: of the schedule.
    rate_is_given: the learning rate is the extra argument `learning_rate` of the update, for
      models trained side by side, rather than the config's.
  """
  options = config.optimizer
  rate = 1.0 if rate_is_given else options.learning_rate
  schedules: dict[str, Callable[[], Any]] = {
    "constant": lambda: rate,
    "cosine": lambda: optax.cosine_decay_schedule(rate, num_steps),
  }
  optimizers: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": optax.adam,
    "adamw": functools.partial(optax.adamw, weight_decay=options.weight_decay),
    "sgd": functools.partial(optax.sgd, momentum=0.9, nesterov=True),
  }
  if options.schedule not in schedules:
    raise unknown("config.optimizer.schedule", options.schedule, schedules)
  if options.name not in optimizers:
    raise unknown("optimizer", options.name, optimizers)
  rule = "config.optimizer.learning_rate must be positive"
  require(options.learning_rate > 0, rule, options.learning_rate)
  if options.weight_decay and options.name != "adamw":
    raise UserError(f"config.optimizer.weight_decay is for 'adamw', not {options.name!r}")
  members = [optimizers[options.name](schedules[options.schedule]())]
  if options.clip_norm:
    members.insert(0, optax.clip_by_global_norm(options.clip_norm))
  if any(factor != 1 for factor in options.stage_rates.values()):
    members.append(_scale_stages(dict(options.stage_rates)))
  if rate_is_given:
    members.append(_scale_by_given_rate())
  return optax.chain(*members) if len(members) > 1 else members[0]


def _scale_stages(factors: dict[str, float]) -> optax.GradientTransformation:
  """Returns a part of an optimiser: updates times the factor of their stage; 0 freezes it."""
  for stage, factor in factors.items():
    if stage not in STAGES:
      raise unknown("config.optimizer.stage_rates", stage, STAGES)
    rule = f"config.optimizer.stage_rates.{stage} must not be negative"
    require(0 <= factor < math.inf, rule, factor)
  scales = {
    stage: optax.scale(factors[stage]) if factors.get(stage, 1) else optax.set_to_zero()
    for stage in factors
  }
  others = {stage: optax.identity() for stage in STAGES if stage not in factors}
  return optax.multi_transform(scales | others, stage_labels)


def _scale_by_given_rate() -> optax.GradientTransformationExtraArgs:
  """Returns the last part of an optimiser: updates times the extra argument `learning_rate`."""

  def update(updates, state, params=None, *, learning_rate, **extra):
    del params, extra
    return jax.tree.map(lambda u: u * learning_rate.astype(u.dtype), updates), state

  return optax.GradientTransformationExtraArgs(lambda _: optax.EmptyState(), update)


@functools.cache
def compiler_options() -> dict[str, Any]:
  """Returns XLA options that make training faster on this platform, where the version knows them.

  On the CPU, jaxlib 0.10 hands convolutions to a library whose weight gradient is slow; the first
  option keeps that library for reductions, where it is the faster one. The second keeps XLA from
  removing the barriers of `jax.checkpoint` before it merges equal computations, by which it would
  merge every recomputation with the first computation, and save no memory.
  """
  if jax.default_backend() != "cpu":
    return {}
  options = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE",
    "xla_disable_hlo_passes": "cse_barrier_expander",
  }
  return {name: value for name, value in options.items() if _compiles_with({name: value})}


def init_options() -> dict[str, Any]:
  """Returns XLA options for a program that runs once: on the CPU a fifth of the time to compile."""
  return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}


def _compiles_with(options: dict[str, Any]) -> bool:
  """Returns whether this version of XLA knows the options."""
  function = jax.jit(lambda x: jax.lax.optimization_barrier(2 * x) + 1, compiler_options=options)
  try:
    function.lower(1.0).compile()
  except Exception:  # the options are experimental: a version may name or reject them differently
    return False
  return True
