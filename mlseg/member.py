"""One member of a group of models: what is its own, and what is done with it, in pure functions."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from mlseg import builders, loss_builders, sharding, together, train_step
from mlseg.data import pipeline
from mlseg.data.cases import Cases
from mlseg.data.splits import Split
from mlseg.errors import user_errors
from mlseg.evaluate import Evaluation, make_evaluate
from mlseg.metrics import overlap
from mlseg.models import Model
from mlseg.train_step import StepLog, TrainState

PyTree = Any


class Member(NamedTuple):
  """What a model of a group has to itself beside its state."""

  train: Any  # [n] int32, which cases it is trained on
  validation: Any  # [v] int32
  extra: dict[str, Any]  # arguments of its weighting and optimiser, where configs differ


class Validation(NamedTuple):
  """What an epoch's evaluation on the validation set reports."""

  dice: jax.Array  # [], foreground, mean over images
  losses: dict[str, jax.Array]  # per loss []


# A model's state, what it has to itself, and its data (`Data` or `Chunk`) where each has its own.
Mapped = tuple[TrainState, Member, Any]
# The data where all models share them, or None, and a number.
Shared = tuple[Any, jax.Array]


class Functions(NamedTuple):
  """The functions of one model.

  Attributes:
    init: `init((seed, stopped), image) -> TrainState`.
    run: trains so many steps.
    validate: evaluates, keeps the best variables, and stops a model whose patience is at its end;
      the number is that of complete epochs.
    test: `test(variables, images, masks) -> Evaluation`.
    predict: `predict(variables, images) -> classes [B, H, W]`.
    extra: per config the extra arguments of a `Member`.
    steps_per_epoch: full batches in the training set.
    num_steps: steps of the whole run.
  """

  init: Callable[[tuple[jax.Array, jax.Array], jax.Array], TrainState]
  run: Callable[[Mapped, Shared], tuple[TrainState, StepLog]]
  validate: Callable[[Mapped, Shared], tuple[TrainState, Validation]]
  test: Callable[[PyTree, jax.Array, jax.Array], Evaluation]
  predict: Callable[[PyTree, jax.Array], jax.Array]
  extra: dict[str, np.ndarray]
  steps_per_epoch: int
  num_steps: int


def make_functions(
  configs: Sequence[ConfigDict], cases: Cases, split: Split, strategy: str
) -> Functions:
  """Returns the functions of one model of any of the configs.

  Args:
    configs: the recipes, which `together.common_part` says to be of one program.
    cases: the data set.
    split: of the first seed, for the sizes of its parts, which are the same for all seeds, and for
      class weights that the config leaves open.
    strategy: how the models are gone through: 'vmap', 'map' or 'loop'.

  Raises:
    UserError: the config is not right.
  """
  config, num_classes = configs[0], len(cases.class_names)
  model = builders.make_model(config, num_classes)
  steps_per_epoch = len(split.train) // config.batch_size
  num_steps = steps_per_epoch * config.num_epochs
  joint = together.join(configs, steps_per_epoch, num_steps)
  pixels = np.bincount(cases.masks[split.train].ravel(), minlength=num_classes)
  losses = loss_builders.make_losses(config, num_classes, pixels.tolist(), joint.loss_names)

  def init(member: tuple[jax.Array, jax.Array], image: jax.Array) -> TrainState:
    seed, stopped = member
    init_key, key = jax.random.split(jax.random.key(seed))
    variables = model.init(init_key, pipeline.to_float(image))
    names = tuple(losses)
    state = train_step.init_state(key, variables, joint.optimizer, joint.weighting, names)
    return state._replace(stopped=stopped)

  def logits(variables: PyTree, images: jax.Array) -> jax.Array:
    batch = sharding.split_batch(pipeline.to_float(images))
    return model.apply(variables, batch, False)[0].logits

  evaluate = make_evaluate(logits, losses, num_classes, config.batch_size)
  return Functions(
    init=init,
    run=_make_run(config, model, losses, joint, num_classes, skip_stopped=strategy != "vmap"),
    validate=_make_validate(evaluate, config.patience),
    test=evaluate,
    predict=lambda variables, images: logits(variables, images).argmax(-1),
    extra=joint.extra,
    steps_per_epoch=steps_per_epoch,
    num_steps=num_steps,
  )


def _make_run(
  config: ConfigDict,
  model: Model,
  losses: dict[str, Callable],
  joint: together.Joint,
  num_classes: int,
  skip_stopped: bool,
) -> Callable[[Mapped, Shared], tuple[TrainState, StepLog]]:
  with user_errors("config.weighting"):
    step = train_step.make_step(
      loss_builders.make_loss_fn(model, losses, num_classes),
      joint.optimizer,
      joint.weighting,
      config.weighting.gram_at,
      config.num_microbatches,
      config.max_nonfinite,
    )
  steps = train_step.make_run(step, loss_builders.make_batch_at(config), skip_stopped)

  def run(mapped: Mapped, shared: Shared) -> tuple[TrainState, StepLog]:
    (state, member, own), (data, count) = mapped, shared
    source = data._replace(train=member.train) if own is None else own
    return steps(state, source, count, **member.extra)

  return run


def _make_validate(
  evaluate: Callable[..., Evaluation], patience: int
) -> Callable[[Mapped, Shared], tuple[TrainState, Validation]]:
  def validate(mapped: Mapped, shared: Shared) -> tuple[TrainState, Validation]:
    (state, member, own), (data, epoch) = mapped, shared
    part = data if own is None else own
    index = member.validation if own is None else slice(None)
    result = evaluate(state.variables, part.images[index], part.masks[index])
    dice = overlap.foreground_dice(result.counts)
    means = {name: value.mean() for name, value in result.losses.items()}
    state = train_step.update_best(state, dice, epoch, patience)
    return state, Validation(dice, means)

  return validate
