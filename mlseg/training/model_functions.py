"""One member of a group of models: what is its own, and what is done with it, in pure functions."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mlseg.data import pipeline
from mlseg.data.cases import Cases
from mlseg.data.splits.grouped import Split
from mlseg.errors import user_errors
from mlseg.models import Outputs, gradcam, predictions_of
from mlseg.models.mask_rcnn import Predictions
from mlseg.recipe import joint as recipe_joint
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import model as recipe_model
from mlseg.recipe import properties
from mlseg.training import batches, objective
from mlseg.training import step as train_step
from mlseg.training.evaluation import Evaluation, make_evaluate
from mlseg.training.model_parts import Mapped, Member, PyTree, Shared, _Parts
from mlseg.training.step import StepLog, TrainState
from mlseg.training.validation import Validation, _check_selection, _validate


class Functions(NamedTuple):
  """The functions of one model.

  Attributes:
    make_member: `make_member(cases, split, place) -> Member` on the host, from the data set, the
      model's split and the place of its config.
    init: `init((seed, stopped), (image, pretrained)) -> TrainState`.
    run: `run(mapped, (data, count), skip_stopped) -> (state, StepLog)`, so many steps; for the last
      argument see `train_step.make_run`.
    validate: `validate(mapped, (data, epoch)) -> (state, Validation)`, which also keeps the best
      variables, and stops a model whose patience is at its end.
    test: `test(variables, images, masks) -> Evaluation`, without losses.
    explain: `explain(variables, images) -> [methods, N, H, W]` uint8, where the head of classes
      looks for its answer by each of `gradcam.METHODS`; None without that head.
    steps_per_epoch: full batches in the training set.
    num_steps: steps of the whole run.
  """

  make_member: Callable[[Cases, Split, int], Member]
  init: Callable[[tuple[jax.Array, jax.Array], tuple[jax.Array, PyTree]], TrainState]
  run: Callable[..., tuple[TrainState, StepLog]]
  validate: Callable[[Mapped, Shared], tuple[TrainState, Validation]]
  test: Callable[[PyTree, jax.Array, jax.Array], Evaluation]
  explain: Callable[[PyTree, jax.Array], jax.Array] | None
  steps_per_epoch: int
  num_steps: int


def make_functions(configs: Sequence[ConfigDict], num_cases: int, cases: Cases) -> Functions:
  """Returns the functions of one model of any of the configs.

  Args:
    configs: the recipes, which `together.common_part` says to be of one program.
    num_cases: in the training set, the same for all seeds.
    cases: the data set, for its classes and diagnoses.

  Raises:
    UserError: the config is not right.
  """
  config = configs[0]
  _check_selection(config, len(cases.label_names))
  steps_per_epoch = num_cases // config.batch_size
  num_steps = steps_per_epoch * config.num_epochs
  num_classes, num_labels = len(cases.class_names), len(cases.label_names)
  model = recipe_model.make_model(config, num_classes, num_labels)
  joint = recipe_joint.join(configs, steps_per_epoch, num_steps)
  max_objects = properties.max_objects(config)
  table = recipe_losses.label_table(config, num_classes)
  parts = _Parts(config, model, joint, num_classes, num_labels, max_objects, table)
  found = _found if parts.max_objects else None
  # Over several tiles there are no features to look at.
  classify = None if config.data.patch_size else model.classify
  return Functions(
    make_member=functools.partial(_make_member, parts),
    init=functools.partial(_init, parts),
    run=functools.partial(_run, parts),
    validate=functools.partial(_validate, parts),
    test=make_evaluate(
      parts.predict, num_classes, config.batch_size, found=found, ignored=parts.ignored
    ),
    explain=None if classify is None else functools.partial(_explain, parts, classify),
    steps_per_epoch=steps_per_epoch,
    num_steps=num_steps,
  )


def _make_member(parts: _Parts, cases: Cases, split: Split, place: int) -> Member:
  joint = parts.joint
  own = {name: values[place] for name, values in joint.extra.items()}
  classes = {
    "segmentation": (cases.masks[split.train], parts.num_classes),
    "classification": (cases.labels[split.train], parts.num_labels),
  }
  weights = recipe_losses.open_class_weights(parts.config, classes, joint.loss_names)
  textures = None if cases.textures is None else cases.textures[split.train]
  edges = recipe_losses.texture_edges(parts.config, textures)
  train, validation = split.train.astype(np.int32), split.validation.astype(np.int32)
  return Member(train, validation, own, weights, edges)


def _init(
  parts: _Parts, member: tuple[jax.Array, jax.Array], shared: tuple[jax.Array, PyTree]
) -> TrainState:
  (seed, stopped), (image, loaded), joint = member, shared, parts.joint
  init_key, key = jax.random.split(jax.random.key(seed))
  fresh = parts.model.init(init_key, pipeline.to_float(image))
  variables = recipe_model.insert_pretrained(fresh, loaded)
  names = tuple(joint.loss_names)
  state = train_step.init_state(key, variables, joint.optimizer, joint.weighting, names)
  return state._replace(stopped=stopped)


def _run(
  parts: _Parts, mapped: Mapped, shared: Shared, skip_stopped: bool
) -> tuple[TrainState, StepLog]:
  (state, member, own), (data, count), config = mapped, shared, parts.config
  losses = parts.losses(member)
  loss_fn = objective.make_loss_fn(
    parts.model, losses, parts.num_classes, parts.max_objects, parts.label_table
  )
  with user_errors("config.weighting"):
    step = train_step.make_step(
      loss_fn,
      parts.joint.optimizer,
      parts.joint.weighting,
      config.weighting.gram_at,
      config.num_microbatches,
      config.max_nonfinite,
    )
  steps = train_step.make_run(step, batches.make_batch_at(config), skip_stopped)
  source = data._replace(train=member.train) if own is None else own
  return steps(state, source, count, **member.extra)


def _explain(
  parts: _Parts, classify: Callable[..., jax.Array], variables: PyTree, images: jax.Array
) -> jax.Array:
  outputs = parts.predict(variables, images)
  head, labels = functools.partial(classify, variables), outputs.class_logits.argmax(-1)
  size, slices = images.shape[1:3], properties.num_slices(parts.config)
  maps = [
    gradcam.normalised(gradcam.saliency(head, outputs.features, labels, method), size, slices)
    for method in gradcam.METHODS
  ]
  return jnp.rint(255 * jnp.stack(maps)).astype(jnp.uint8)


def _found(outputs: Outputs) -> Predictions:
  return predictions_of(outputs.detections)
