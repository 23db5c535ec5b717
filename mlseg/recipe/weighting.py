"""The section `config.weighting`: from a recipe to the weighting of its losses."""

import inspect
from collections.abc import Callable, Sequence

import optax
from ml_collections import ConfigDict

from mlseg import weighting
from mlseg.errors import require, unknown, user_errors
from mlseg.recipe import auxiliary_schedule
from mlseg.weighting import LossWeighting
from mlseg.weighting.registry import METHODS

# The optimisers of the weightings that are learned.
LEARNERS: dict[str, Callable[..., optax.GradientTransformation]] = {
  "adam": optax.adam, "sgd": optax.sgd
}  # fmt: skip

# Names that configs of older runs have, and the names of the same methods today.
FORMER_NAMES = {"config": "conflict_free"}


def make_weighting(
  config: ConfigDict, steps_per_epoch: int, num_steps: int | None = None
) -> LossWeighting:
  """Returns the weighting of all losses: a method, its cadence, combinators, the auxiliary loss.

  Args:
    config: the recipe.
    steps_per_epoch: of the run.
    num_steps: of the run, for the schedule of the auxiliary loss; None: one epoch.
  """
  options = config.weighting
  with user_errors("config.weighting"):
    method = _method(config)
    if options.per_epoch:
      method = weighting.per_epoch(method, steps_per_epoch)
    if options.every != 1:
      method = weighting.every(method, options.every)
    if options.warm_up:
      method = weighting.warm_up(method, options.warm_up)
    parts = [method]
    if options.prior:
      parts.append(weighting.with_prior(_by_loss(options.prior, config, "prior")))
    if options.ema:
      parts.append(weighting.ema(options.ema))
    if (options.lower, options.upper) != (0.0, 1.0):
      parts.append(weighting.bounded(options.lower, options.upper))
    if options.rescale != "none":
      parts.append(weighting.rescale(options.rescale))
    whole = weighting.chain(*parts) if len(parts) > 1 else method
  extra = config.auxiliary
  if extra.name == "none":
    return whole
  with user_errors("config.auxiliary"):
    return weighting.with_auxiliary(
      whole,
      extra.name,
      initial=extra.initial,
      decay=extra.decay,
      decay_every=extra.decay_every,
      schedule=auxiliary_schedule.make(config, num_steps or steps_per_epoch),
    )


def _method(config: ConfigDict) -> LossWeighting:
  """Returns the method that `config.weighting.name` says, with its options."""
  section = config.weighting
  method = FORMER_NAMES.get(section.name, section.name)
  if method not in METHODS:
    raise unknown("weighting", method, METHODS)
  if method == "fixed":
    return weighting.fixed(_by_loss(section.fixed, config, "fixed"))
  options, factory = dict(section.options.get(section.name, {})), METHODS[method]
  if "prior" in options:  # of the Bayesian statistic
    prior = options.pop("prior")
    options["prior"] = _by_loss(prior, config, f"options.{section.name}.prior") if prior else None
  is_learned = "optimizer" in inspect.signature(factory).parameters
  if is_learned and options.keys() & {"optimizer", "learning_rate"}:
    name, rate = options.pop("optimizer", "adam"), options.pop("learning_rate", 0.025)
    where = f"config.weighting.options.{section.name}"
    if name not in LEARNERS:
      raise unknown(f"{where}.optimizer", name, LEARNERS)
    require(rate > 0, f"{where}.learning_rate must be positive", rate)
    options["optimizer"] = LEARNERS[name](rate)
  return factory(**options)


def _by_loss(values: Sequence[float], config: ConfigDict, key: str) -> dict[str, float]:
  """Returns the numbers of a key of config.weighting that has one per loss, by loss."""
  rule = f"config.weighting.{key} must have one weight per entry of config.losses"
  require(len(values) == len(config.losses), rule, tuple(values))
  return dict(zip(config.losses, values, strict=True))
