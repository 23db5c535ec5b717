"""The section `config.optimizer`: from a recipe to an optax transformation."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from mlseg.errors import UserError, require, unknown
from mlseg.models.encoders.encoder import stage_labels
from mlseg.recipe.rate_schedule import CONSTANT, rate_schedule, warm_up_steps

# The keys of the optimisers, with what recipes had before they were keys.
ADAM = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
SGD = {"momentum": 0.9, "nesterov": True}
# Its further keys, which leave the training of recipes from before them as it was.
OFF = {"decay_mask": "all", "power": 0.9, "warm_up": 0.0, "end_rate": 0.0, "ema": 0.0}
DECAY_MASKS = ("all", "kernels")
STAGES = (*(f"stage_{number}" for number in range(5)), "head")


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
  options = ConfigDict(OFF | config.optimizer.to_dict())
  optimizers = {"adam": _adam, "adamw": _adamw, "sgd": _sgd}
  if options.name not in optimizers:
    raise unknown("optimizer", options.name, optimizers)
  rule = "config.optimizer.learning_rate must be positive"
  require(options.learning_rate > 0, rule, options.learning_rate)
  if options.weight_decay and options.name != "adamw":
    raise UserError(f"config.optimizer.weight_decay is for 'adamw', not {options.name!r}")
  rate = 1.0 if rate_is_given else options.learning_rate
  # A part of a recipe may be without its length, which only a warm-up reads.
  epochs = config.num_epochs if options.warm_up else 1
  warm_up = warm_up_steps(options.warm_up, epochs, num_steps)
  descent = _rate(options, rate, num_steps, warm_up)
  parts = [optax.chain(*optimizers[options.name](options), descent)]
  if options.clip_norm:
    parts.insert(0, optax.clip_by_global_norm(options.clip_norm))
  if any(factor != 1 for factor in options.stage_rates.values()):
    parts.append(_scale_stages(dict(options.stage_rates)))
  if rate_is_given:
    parts.append(_scale_by_given_rate())
  return optax.chain(*parts) if len(parts) > 1 else parts[0]


def _adam(options: ConfigDict) -> list[optax.GradientTransformation]:
  return [optax.scale_by_adam(options.b1, options.b2, options.eps)]


def _adamw(options: ConfigDict) -> list[optax.GradientTransformation]:
  mask = kernels if options.decay_mask == "kernels" else None
  return [*_adam(options), optax.add_decayed_weights(options.weight_decay, mask)]


def kernels(params: Any) -> Any:
  """Returns which parameters are kernels, in the structure of params: those of two axes or more.

  These are the matrices of dense layers and the kernels of convolutions, depthwise ones included.
  Biases, and the scales and biases of normalisations, have one axis. The rule reads no names; it is
  that of timm's `param_groups_weight_decay`.

  Example:
    >>> kernels({"Conv_0": {"kernel": jnp.ones((3, 3, 1, 8)), "bias": jnp.ones(8)}})
    {'Conv_0': {'bias': False, 'kernel': True}}
  """
  return jax.tree.map(lambda leaf: leaf.ndim >= 2, params)


def _sgd(options: ConfigDict) -> list[optax.GradientTransformation]:
  momentum = options.momentum
  return [optax.trace(momentum, options.nesterov) if momentum else optax.identity()]


def _rate(
  options: ConfigDict, rate: float, num_steps: int, warm_up: int
) -> optax.GradientTransformation:
  """Returns the part of an optimiser that scales updates by the negative learning rate."""
  if options.schedule == CONSTANT and not warm_up:
    return optax.scale(-rate)
  power, end = options.power, options.end_rate
  schedule = rate_schedule(options.schedule, -rate, num_steps, warm_up, power, end)
  return _scale_by_step(schedule)


def _scale_by_step(schedule: optax.Schedule) -> optax.GradientTransformationExtraArgs:
  """Returns a part of an optimiser: updates times the schedule's value at the run's step.

  The step is the extra argument `step` of the update; without it, updates are counted. The two
  differ by the steps that a run has skipped.
  """

  def init(params: Any) -> optax.ScaleByScheduleState:
    del params
    return optax.ScaleByScheduleState(jnp.zeros((), jnp.int32))

  def update(updates, state, params=None, *, step=None, **extra):
    del params, extra
    count = state.count if step is None else step
    scale = schedule(count)
    scaled = jax.tree.map(lambda u: jnp.asarray(scale, u.dtype) * u, updates)
    return scaled, optax.ScaleByScheduleState(count + 1)

  return optax.GradientTransformationExtraArgs(init, update)


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
