"""The compiled programs of a run: a few, each compiled once and shared by all seeds."""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mlseg import builders, loss_builders, train_step
from mlseg.data import pipeline
from mlseg.data.cases import Cases
from mlseg.data.splits import Split
from mlseg.errors import user_errors
from mlseg.evaluate import Evaluation, make_evaluate
from mlseg.loss_builders import Data
from mlseg.metrics import overlap
from mlseg.train_step import StepLog, TrainState

PyTree = Any


class Validation(NamedTuple):
  """What an epoch's evaluation on the validation set reports."""

  dice: jax.Array  # [], foreground, mean over images
  losses: dict[str, jax.Array]  # per loss []


class Training(NamedTuple):
  """What runs on the device while a seed trains; both take over the memory of the state.

  Attributes:
    run: `run(state, data, num_steps) -> (state, StepLog)`.
    validate: `validate(state, images, masks, epoch) -> (state, Validation)`, which also keeps the
      best variables.
    seconds: that compiling them took.
  """

  run: Callable[[TrainState, Data, np.int32], tuple[TrainState, StepLog]]
  validate: Callable[..., tuple[TrainState, Validation]]
  seconds: float


class Programs(NamedTuple):
  """What runs on the device.

  Attributes:
    init: `init(key) -> TrainState`.
    training: `training() -> Training`, compiled at the first call.
    test: `test(variables, images, masks) -> Evaluation`.
    predict: `predict(variables, images) -> classes [B, H, W]`.
    steps_per_epoch: full batches in the training set.
    num_steps: steps of the whole run.
    num_params: parameters of the network.
  """

  init: Callable[[jax.Array], TrainState]
  training: Callable[[], Training]
  test: Callable[..., Evaluation]
  predict: Callable[[PyTree, jax.Array], jax.Array]
  steps_per_epoch: int
  num_steps: int
  num_params: int


def build_programs(config: ConfigDict, cases: Cases, split: Split) -> Programs:
  """Returns the programs of a config.

  Args:
    config: the recipe.
    cases: the data set.
    split: of the first seed, for the sizes of its parts, which are the same for all seeds, and for
      class weights that the config leaves open.

  Raises:
    UserError: the config is not right.
  """
  num_classes = len(cases.class_names)
  model = builders.make_model(config, num_classes)
  pixels = np.bincount(cases.masks[split.train].ravel(), minlength=num_classes)
  losses = loss_builders.make_losses(config, num_classes, pixels.tolist())
  steps_per_epoch = len(split.train) // config.batch_size
  weighting = builders.make_weighting(config, steps_per_epoch)
  num_steps = steps_per_epoch * config.num_epochs
  optimizer = builders.make_optimizer(config, num_steps)

  def init(key: jax.Array) -> TrainState:
    init_key, key = jax.random.split(key)
    variables = model.init(init_key, pipeline.to_float(cases.images[:1]))
    return train_step.init_state(key, variables, optimizer, weighting, tuple(losses))

  def logits(variables: PyTree, images: jax.Array) -> jax.Array:
    return model.apply(variables, pipeline.to_float(images), False)[0].logits

  evaluate = make_evaluate(logits, losses, num_classes, config.batch_size)

  def validate(
    state: TrainState, images: jax.Array, masks: jax.Array, epoch: jax.Array
  ) -> tuple[TrainState, Validation]:
    result = evaluate(state.variables, images, masks)
    dice = overlap.foreground_dice(result.counts)
    means = {name: value.mean() for name, value in result.losses.items()}
    return train_step.update_best(state, dice, epoch), Validation(dice, means)

  loss_fn = loss_builders.make_loss_fn(model, losses, num_classes)
  with user_errors("config.weighting"):
    step = train_step.make_step(
      loss_fn, optimizer, weighting, config.weighting.gram_at, config.num_microbatches
    )
  run = train_step.make_run(step, loss_builders.make_batch_at(config))

  options = builders.compiler_options()

  # Shapes alone: a mistake in the config shows before anything is allocated or written.
  state = jax.eval_shape(init, jax.random.key(0))
  count = jax.ShapeDtypeStruct((), jnp.int32)
  data = jax.eval_shape(lambda: device_data(cases, split))
  part = jax.eval_shape(lambda: validation_data(device_data(cases, split), split))
  traced_run = jax.jit(run, donate_argnums=0).trace(state, data, count)

  @functools.cache
  def training() -> Training:
    started = time.perf_counter()
    compiled_run = traced_run.lower().compile(options)
    traced_validate = jax.jit(validate, donate_argnums=0).trace(state, *part, count)
    compiled_validate = traced_validate.lower().compile(options)
    return Training(compiled_run, compiled_validate, time.perf_counter() - started)

  return Programs(
    init=jax.jit(init),
    training=training,
    test=jax.jit(evaluate, compiler_options=options),
    predict=jax.jit(
      lambda variables, images: logits(variables, images).argmax(-1), compiler_options=options
    ),
    steps_per_epoch=steps_per_epoch,
    num_steps=num_steps,
    num_params=sum(leaf.size for leaf in jax.tree.leaves(state.variables["params"])),
  )


def device_data(cases: Cases, split: Split) -> Data:
  """Returns the data set on the device, with the indices of the training part."""
  return Data(
    jnp.asarray(cases.images),
    jnp.asarray(cases.masks),
    jnp.asarray(split.train, jnp.int32),
    None if cases.distances is None else jnp.asarray(cases.distances),
  )


def validation_data(data: Data, split: Split) -> tuple[jax.Array, jax.Array]:
  """Returns the images and masks of the validation part, on the device."""
  return data.images[split.validation], data.masks[split.validation]
