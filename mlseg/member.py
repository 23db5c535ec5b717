"""One member of a group of models: what is its own, and what is done with it, in pure functions."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mlseg import batches, gradcam, loss_builders, model_builders, sharding, together, train_step
from mlseg.data import padding, pipeline
from mlseg.data.cases import Cases
from mlseg.data.splits import Split
from mlseg.errors import UserError, unknown, user_errors
from mlseg.evaluate import Evaluation, make_evaluate
from mlseg.metrics import overlap
from mlseg.models import Model, Outputs, predictions_of
from mlseg.models.mask_rcnn import Predictions
from mlseg.train_step import StepLog, TrainState

PyTree = Any
# Scores of the validation set by which an epoch is the best, and the head that each needs.
SELECTIONS = {
  "dice": "segmentation",
  "accuracy": "classification",
  "auc": "classification",
  "mean": "",
}


class Member(NamedTuple):
  """What a model of a group has to itself beside its state."""

  train: Any  # [n] int32, which cases it is trained on
  validation: Any  # [v] int32
  extra: dict[str, Any]  # arguments of its weighting and optimiser, where configs differ
  class_weights: dict[str, Any]  # by loss [C] float32 from its training set, where one asks
  texture_edges: Any  # [T - 1] float32 from its training set, where a loss asks


class Validation(NamedTuple):
  """What an epoch's evaluation of the validation set reports; None: there is no such head."""

  dice: jax.Array | None  # [], foreground, mean over images
  accuracy: jax.Array | None  # [], of the diagnoses
  auc: jax.Array | None  # [], area under the ROC curve, of two diagnoses
  losses: dict[str, jax.Array]  # per loss []


# A model's state, what it has to itself, and its data (`Data` or `Chunk`) where each has its own.
Mapped = tuple[TrainState, Member, Any]
# The data where all models share them, or None, and a number.
Shared = tuple[Any, jax.Array]


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
  model = model_builders.make_model(config, num_classes, num_labels)
  joint = together.join(configs, steps_per_epoch, num_steps)
  max_objects = loss_builders.max_objects(config)
  table = loss_builders.label_table(config, num_classes)
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


class _Parts(NamedTuple):
  """What the functions of a model are made of."""

  config: ConfigDict
  model: Model
  joint: together.Joint
  num_classes: int
  num_labels: int
  max_objects: int
  label_table: np.ndarray | None

  @property
  def ignored(self) -> int | None:
    """Returns what masks have where there is no picture, if there is such a place.

    Beyond the borders of pictures of different sizes, and in slices that are absent.
    """
    some = self.config.data.patch_size or batches.has_volumes(self.config)
    return padding.IGNORED if some else None

  def losses(self, member: Member) -> dict[str, loss_builders.Loss]:
    """Returns the losses of a model by name."""
    return loss_builders.make_losses(
      self.config,
      self.num_classes,
      self.num_labels,
      member.class_weights,
      self.joint.loss_names,
      member.texture_edges,
    )

  def predict(self, variables: PyTree, images: jax.Array) -> Outputs:
    """Returns what the network says of pictures [B, H, W, C] uint8."""
    batch = sharding.split_batch(pipeline.to_float(images))
    return self.model.apply(variables, batch, False)[0]


def _make_member(parts: _Parts, cases: Cases, split: Split, place: int) -> Member:
  joint = parts.joint
  own = {name: values[place] for name, values in joint.extra.items()}
  classes = {
    "segmentation": (cases.masks[split.train], parts.num_classes),
    "classification": (cases.labels[split.train], parts.num_labels),
  }
  weights = loss_builders.open_class_weights(parts.config, classes, joint.loss_names)
  textures = None if cases.textures is None else cases.textures[split.train]
  edges = loss_builders.texture_edges(parts.config, textures)
  train, validation = split.train.astype(np.int32), split.validation.astype(np.int32)
  return Member(train, validation, own, weights, edges)


def _init(
  parts: _Parts, member: tuple[jax.Array, jax.Array], shared: tuple[jax.Array, PyTree]
) -> TrainState:
  (seed, stopped), (image, loaded), joint = member, shared, parts.joint
  init_key, key = jax.random.split(jax.random.key(seed))
  fresh = parts.model.init(init_key, pipeline.to_float(image))
  variables = model_builders.insert_pretrained(fresh, loaded)
  names = tuple(joint.loss_names)
  state = train_step.init_state(key, variables, joint.optimizer, joint.weighting, names)
  return state._replace(stopped=stopped)


def _run(
  parts: _Parts, mapped: Mapped, shared: Shared, skip_stopped: bool
) -> tuple[TrainState, StepLog]:
  (state, member, own), (data, count), config = mapped, shared, parts.config
  losses = parts.losses(member)
  loss_fn = loss_builders.make_loss_fn(
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


def _validate(parts: _Parts, mapped: Mapped, shared: Shared) -> tuple[TrainState, Validation]:
  (state, member, own), (data, epoch), config = mapped, shared, parts.config
  part = data if own is None else own
  index = member.validation if own is None else slice(None)
  functions = parts.losses(member)

  def losses(outputs: Outputs, masks: jax.Array, *truth: Any) -> dict[str, jax.Array]:
    labels, instances, textures = truth
    valid = None if parts.ignored is None else masks != parts.ignored
    # Losses do not read the images.
    batch = batches.Batch(masks, masks, labels, instances=instances, valid=valid, textures=textures)
    return loss_builders.per_example(
      functions, outputs, batch, parts.num_classes, parts.max_objects, parts.label_table
    )

  evaluate = make_evaluate(
    parts.predict, parts.num_classes, config.batch_size, losses, ignored=parts.ignored
  )
  read = jax.tree.map(
    lambda array: array[index],
    (part.images, part.masks, part.labels, part.instances, part.textures),
  )
  labels, result = read[2], evaluate(state.variables, *read)
  dice, accuracy, auc = None, None, None
  if result.counts is not None:
    dice = overlap.foreground_dice(result.counts)
  if result.class_logits is not None:
    accuracy = (result.class_logits.argmax(-1) == labels).mean()
    if parts.num_labels == 2:
      auc = _auc(result.class_logits[:, 1] - result.class_logits[:, 0], labels)
  means = {name: value.mean() for name, value in result.losses.items()}
  score = _score(config.selection, {"dice": dice, "accuracy": accuracy, "auc": auc})
  state = train_step.update_best(state, score, epoch, config.patience)
  return state, Validation(dice, accuracy, auc, means)


def _explain(
  parts: _Parts, classify: Callable[..., jax.Array], variables: PyTree, images: jax.Array
) -> jax.Array:
  outputs = parts.predict(variables, images)
  head, labels = functools.partial(classify, variables), outputs.class_logits.argmax(-1)
  size, slices = images.shape[1:3], batches.num_slices(parts.config)
  maps = [
    gradcam.normalised(gradcam.saliency(head, outputs.features, labels, method), size, slices)
    for method in gradcam.METHODS
  ]
  return jnp.rint(255 * jnp.stack(maps)).astype(jnp.uint8)


def _found(outputs: Outputs) -> Predictions:
  return predictions_of(outputs.detections)


def _auc(scores: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns how often a case of label 1 has a higher score than one of label 0; ties count half.

  Where one of the labels is missing it is 0.5, which says nothing.
  """
  above = jnp.sign(scores[:, None] - scores) / 2 + 0.5
  pairs = (labels[:, None] == 1) & (labels == 0)
  count = pairs.sum()
  return jnp.where(count, jnp.where(pairs, above, 0).sum() / jnp.maximum(count, 1), 0.5)


def _check_selection(config: ConfigDict, num_labels: int) -> None:
  """Raises a UserError where the network does not say what its epochs are to be judged by."""
  if config.selection not in SELECTIONS:
    raise unknown("config.selection", config.selection, SELECTIONS)
  head = SELECTIONS[config.selection]
  known = model_builders.has_head(config, "classification")
  if head == "segmentation":
    known = model_builders.segments(config)
  if head and not known:
    raise UserError(
      f"config.selection {config.selection!r} needs the head of {head}, which config.model"
      f" ({config.model.name}) has not"
    )
  if config.selection == "auc" and num_labels != 2:
    raise UserError(f"config.selection 'auc' needs cases of two labels, not {num_labels}")


def _score(selection: str, scores: dict[str, jax.Array | None]) -> jax.Array:
  """Returns what an epoch is judged by: a score, or the mean of Dice and accuracy, if known."""
  known = {name: score for name, score in scores.items() if score is not None}
  both = [known[name] for name in ("dice", "accuracy") if name in known]
  return jnp.stack(both).mean() if selection == "mean" else known[selection]
