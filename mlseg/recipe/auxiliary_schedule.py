"""The schedule of the auxiliary loss: from `config.auxiliary` to a schedule of optax."""

import inspect
from typing import Any

import optax
from ml_collections import ConfigDict

from mlseg.errors import UserError, require, unknown

EXPONENTIAL = "exponential"  # the paper's: γ₀ exp(-λ t), t counted in units of `decay_every` steps
_SCHEDULES = (
  optax.constant_schedule,
  optax.linear_schedule,
  optax.polynomial_schedule,
  optax.cosine_decay_schedule,
  optax.exponential_decay,
  optax.piecewise_constant_schedule,
  optax.warmup_constant_schedule,
  optax.warmup_cosine_decay_schedule,
  optax.warmup_exponential_decay_schedule,
  optax.cosine_onecycle_schedule,
  optax.linear_onecycle_schedule,
)
SCHEDULES = {function.__name__: function for function in _SCHEDULES}
# Arguments that are weights: where a recipe does not give the first of them, it is the initial one.
_WEIGHTS = ("value", "init_value", "peak_value")
_LENGTHS = ("decay_steps", "transition_steps")  # the whole run where a recipe does not give them


def make(config: ConfigDict, num_steps: int) -> optax.Schedule | None:
  """Returns the schedule of the auxiliary loss's weight; None: the exponential one of the paper.

  `config.auxiliary.schedule` is the name of a schedule of optax, and
  `config.auxiliary.schedule_options.NAME` has its arguments. An argument that is a number of steps
  (its name ends in `_steps` or `_begin`) may be a share of the run, as a float in [0, 1]; so may
  the steps of `boundaries_and_scales`, which are pairs (step, factor) here. The first weight is
  `config.auxiliary.initial`, and the length is that of the run, unless the arguments say otherwise.

  Args:
    config: the recipe.
    num_steps: of the run.

  Raises:
    UserError: a name or a value is not right.
  """
  section = config.auxiliary
  name = section.get("schedule", EXPONENTIAL)
  if name == EXPONENTIAL:
    return None
  if name not in SCHEDULES:
    raise unknown("config.auxiliary.schedule", name, [EXPONENTIAL, *SCHEDULES])
  where, factory = f"config.auxiliary.schedule_options.{name}", SCHEDULES[name]
  known = inspect.signature(factory).parameters
  given = dict(section.get("schedule_options", {}).get(name, {}))
  for key in given:
    if key not in known:
      raise unknown(f"argument of {where}", key, known)
  arguments = {key: _argument(f"{where}.{key}", key, given[key], num_steps) for key in given}
  first = next((key for key in _WEIGHTS if key in known), None)
  if first is not None:
    arguments.setdefault(first, section.initial)
  for key in _LENGTHS:
    if key in known and known[key].default is inspect.Parameter.empty:
      arguments.setdefault(key, num_steps)
  missing = [
    key
    for key, parameter in known.items()
    if parameter.default is inspect.Parameter.empty and key not in arguments
  ]
  require(not missing, f"{where} must have the arguments {', '.join(missing)}", sorted(given))
  try:
    return factory(**arguments)
  except (TypeError, ValueError) as error:
    raise UserError(f"{where}: {error}") from error


def _argument(where: str, key: str, value: Any, num_steps: int) -> Any:
  """Returns an argument with its steps counted."""
  if key == "boundaries_and_scales":
    return {_steps(where, step, num_steps): scale for step, scale in value}
  if key.endswith("_steps"):
    return max(_steps(where, value, num_steps), 1)  # a short run rounds a small share to 0
  if key.endswith("_begin"):
    return _steps(where, value, num_steps)
  return value


def _steps(where: str, value: Any, num_steps: int) -> int:
  """Returns a number of steps, given as an integer or as a share of the run."""
  if isinstance(value, float):
    require(0 <= value <= 1, f"{where} must be a share of the run in [0, 1], or an integer", value)
    return round(value * num_steps)
  is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
  require(is_count, f"{where} must be a number of steps, or a share of the run in [0, 1]", value)
  return value
