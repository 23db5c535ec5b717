"""One member of a group of models: what is its own, and what is done with it, in pure functions."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from mlseg import builders, loss_builders, sharding, together, train_step
from mlseg.data import pipeline
from mlseg.data.splits import Split
from mlseg.errors import user_errors
from mlseg.evaluate import Evaluation, make_evaluate
from mlseg.metrics import overlap
from mlseg.train_step import StepLog, TrainState

PyTree = Any


class Member(NamedTuple):
  """What a model of a group has to itself beside its state."""

  train: Any  # [n] int32, which cases it is trained on
  validation: Any  # [v] int32
  extra: dict[str, Any]  # arguments of its weighting and optimiser, where configs differ
  class_weights: Any  # [C] float32 from its training set, or None where no loss asks for them


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
    make_member: `make_member(masks, split, place) -> Member` on the host, from the masks of all
      cases, the model's split and the place of its config.
    init: `init((seed, stopped), image) -> TrainState`.
    run: `run(mapped, (data, count), skip_stopped) -> (state, StepLog)`, so many steps; for the last
      argument see `train_step.make_run`.
    validate: `validate(mapped, (data, epoch)) -> (state, Validation)`, which also keeps the best
      variables, and stops a model whose patience is at its end.
    test: `test(variables, images, masks) -> Evaluation`, without losses.
    steps_per_epoch: full batches in the training set.
    num_steps: steps of the whole run.
  """

  make_member: Callable[[np.ndarray, Split, int], Member]
  init: Callable[[tuple[jax.Array, jax.Array], jax.Array], TrainState]
  run: Callable[..., tuple[TrainState, StepLog]]
  validate: Callable[[Mapped, Shared], tuple[TrainState, Validation]]
  test: Callable[[PyTree, jax.Array, jax.Array], Evaluation]
  steps_per_epoch: int
  num_steps: int


def make_functions(configs: Sequence[ConfigDict], num_cases: int, num_classes: int) -> Functions:
  """Returns the functions of one model of any of the configs.

  Args:
    configs: the recipes, which `together.common_part` says to be of one program.
    num_cases: in the training set, the same for all seeds.
    num_classes: C.

  Raises:
    UserError: the config is not right.
  """
  config = configs[0]
  model = builders.make_model(config, num_classes)
  steps_per_epoch = num_cases // config.batch_size
  num_steps = steps_per_epoch * config.num_epochs
  joint = together.join(configs, steps_per_epoch, num_steps)

  def losses_of(member: Member) -> dict[str, loss_builders.Loss]:
    return loss_builders.make_losses(config, num_classes, member.class_weights, joint.loss_names)

  def init(member: tuple[jax.Array, jax.Array], image: jax.Array) -> TrainState:
    seed, stopped = member
    init_key, key = jax.random.split(jax.random.key(seed))
    variables = model.init(init_key, pipeline.to_float(image))
    names = tuple(joint.loss_names)
    state = train_step.init_state(key, variables, joint.optimizer, joint.weighting, names)
    return state._replace(stopped=stopped)

  def run(mapped: Mapped, shared: Shared, skip_stopped: bool) -> tuple[TrainState, StepLog]:
    (state, member, own), (data, count) = mapped, shared
    loss_fn = loss_builders.make_loss_fn(model, losses_of(member), num_classes)
    with user_errors("config.weighting"):
      step = train_step.make_step(
        loss_fn,
        joint.optimizer,
        joint.weighting,
        config.weighting.gram_at,
        config.num_microbatches,
        config.max_nonfinite,
      )
    steps = train_step.make_run(step, loss_builders.make_batch_at(config), skip_stopped)
    source = data._replace(train=member.train) if own is None else own
    return steps(state, source, count, **member.extra)

  def logits(variables: PyTree, images: jax.Array) -> jax.Array:
    batch = sharding.split_batch(pipeline.to_float(images))
    return model.apply(variables, batch, False)[0].logits

  def validate(mapped: Mapped, shared: Shared) -> tuple[TrainState, Validation]:
    (state, member, own), (data, epoch) = mapped, shared
    part = data if own is None else own
    index = member.validation if own is None else slice(None)
    evaluate = make_evaluate(logits, losses_of(member), num_classes, config.batch_size)
    result = evaluate(state.variables, part.images[index], part.masks[index])
    dice = overlap.foreground_dice(result.counts)
    means = {name: value.mean() for name, value in result.losses.items()}
    state = train_step.update_best(state, dice, epoch, config.patience)
    return state, Validation(dice, means)

  def make_member(masks: np.ndarray, split: Split, place: int) -> Member:
    own = {name: values[place] for name, values in joint.extra.items()}
    weights = loss_builders.open_class_weights(
      config, masks[split.train], num_classes, joint.loss_names
    )
    return Member(split.train.astype(np.int32), split.validation.astype(np.int32), own, weights)

  return Functions(
    make_member=make_member,
    init=init,
    run=run,
    validate=validate,
    test=make_evaluate(logits, {}, num_classes, config.batch_size),
    steps_per_epoch=steps_per_epoch,
    num_steps=num_steps,
  )
