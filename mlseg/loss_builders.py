"""From a config to losses; sees the config, as `builders`."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mlseg import losses, models, sharding
from mlseg.batches import Batch, has_volumes
from mlseg.data import texture
from mlseg.errors import UserError, require, unknown, user_errors
from mlseg.loss_catalogue import (
  EMBEDDING,
  LOSSES,
  MULTI_LABEL,
  OF_NEIGHBOURS,
  TEXTURE,
  Loss,
  kind_of,
)
from mlseg.losses import reduction
from mlseg.model_builders import has_head
from mlseg.train_step import Scalars
from mlseg.weighting import SplitLoss

PyTree = Any

# Losses whose class weights may be left to the training set: of pixels, and of cases.
_WEIGHTED = ("weighted_cross_entropy", "classification_weighted_cross_entropy")


def loss_names(config: ConfigDict) -> list[str]:
  """Returns the names of the losses in the config's order, the auxiliary one last."""
  extra = config.auxiliary.name
  return [*config.losses, *([] if extra == "none" else [extra])]


def uses_distances(config: ConfigDict) -> bool:
  """Returns whether distance maps are made before training.

  They are flipped with the masks, but a warped map is not the map of a warped mask: under rotation,
  shear, scaling and elastic maps, and on patches, the boundary loss computes its own in every step.
  """
  options = config.augmentation
  warped = options.rotation or options.shear or options.scale or options.elastic
  warped = warped or config.data.patch_size
  return "boundary" in loss_names(config) and not warped


def uses_textures(config: ConfigDict) -> bool:
  """Returns whether a loss reads how rough a lesion is."""
  return TEXTURE in loss_names(config)


def texture_edges(config: ConfigDict, textures: np.ndarray | None) -> np.ndarray | None:
  """Returns the values that part a training set into `config.model.num_textures` equal classes.

  Args:
    config: the recipe.
    textures: [n], of the training set; None: no loss reads them.
  """
  return None if textures is None else texture.edges(textures, config.model.num_textures)


def open_class_weights(
  config: ConfigDict, classes: dict[str, tuple[np.ndarray, int]], names: Sequence[str]
) -> dict[str, np.ndarray]:
  """Returns by loss the class weights [C] float32 that a config leaves to the training set.

  Args:
    config: the recipe.
    classes: of the training set, by what `kind_of` gives: the integers, and how many classes.
    names: of the losses.

  Raises:
    UserError: a class has no pixel, or no case.
  """
  weights = {}
  for name in names:
    if name not in _WEIGHTED or config.loss_options.get(name, {}).get("class_weights") != ():
      continue
    values, count = classes[kind_of(name)]
    with user_errors(f"config.loss_options.{name}"):
      found = np.bincount(values.ravel(), minlength=count)[:count].tolist()
      weights[name] = np.array(losses.balanced_class_weights(found), np.float32)
  return weights


def make_losses(
  config: ConfigDict,
  num_classes: int,
  num_labels: int = 1,
  class_weights: dict[str, jax.Array] | None = None,
  names: Sequence[str] | None = None,
  edges: jax.Array | None = None,
) -> dict[str, Loss]:
  """Returns the losses by name, the auxiliary one last: functions of (logits, one-hot masks).

  Those of a detector are functions of (detections, objects, instances), those of embeddings of
  (embeddings, diagnoses), and that of the texture is one of (logits, statistic).

  Args:
    config: the recipe.
    num_classes: C.
    num_labels: of the cases; a loss of the diagnosis takes [B, 1, 1, labels].
    class_weights: from `open_class_weights`; a model's own, so they may be traced.
    names: of the losses, where other configs of the same program have more than this one.
    edges: from `texture_edges`; a model's own, so they may be traced.

  Raises:
    UserError: a loss or an option is not known, or the network has no head for it.
  """
  names = list(names or loss_names(config))
  require(len(set(names)) == len(names) > 0, "the losses must be different and at least one", names)
  for name in names:
    if name not in LOSSES:
      raise unknown("loss", name, LOSSES)
    if not has_head(config, kind_of(name)):
      raise UserError(
        f"config.losses: {name!r} needs the head of {kind_of(name)}, which config.model"
        f" ({config.model.name}) has not"
      )
    if name in OF_NEIGHBOURS and has_volumes(config):
      raise UserError(f"config.losses: {name!r} is not for the slices of a volume")
  for name in config.loss_options:
    if name not in LOSSES:
      raise unknown("loss in config.loss_options", name, LOSSES)
  functions: dict[str, Loss] = {}
  for name in names:
    options = dict(config.loss_options.get(name, {}))
    with user_errors(f"config.loss_options.{name}"):
      if name in (class_weights or {}) and options.get("class_weights") == ():
        options["class_weights"] = (class_weights or {})[name]
      if name == TEXTURE:  # its option says which statistic `builders.make_cases` computes
        options = {"edges": edges}
      functions[name] = functools.partial(LOSSES[name], **options)
      _check_options(functions[name], kind_of(name), num_classes, num_labels)
  return functions


def _check_options(loss: Loss, kind: str, num_classes: int, num_labels: int) -> None:
  """Calls a loss on shapes alone, which checks its options' names and values."""
  pixels = jax.ShapeDtypeStruct((1, 8, 8, num_classes), jnp.float32)
  labels = jax.ShapeDtypeStruct((1, 1, 1, num_labels), jnp.float32)
  examples = {
    "segmentation": (pixels, pixels),
    "classification": (labels, labels),
    "embedding": (pixels.update(shape=(2, 8)), labels.update(shape=(2,), dtype=jnp.int32)),
  }
  if kind in examples:
    jax.eval_shape(loss, *examples[kind])


def max_objects(config: ConfigDict) -> int:
  """Returns how many objects of an image a detector is trained on; 0: the network is none."""
  return config.model.max_objects if has_head(config, "detection") else 0


def label_table(config: ConfigDict, num_classes: int) -> np.ndarray | None:
  """Returns [C, R], which labels a pixel of each class has; None: each class has its own.

  Args:
    config: the recipe, of which `model_builders.make_model` has made the network.
    num_classes: C.
  """
  containment = config.model.get("containment", ())
  if not containment or not has_head(config, "segmentation"):
    return None
  return models.class_labels(num_classes, containment)


def _truth(batch: Batch, max_objects: int) -> tuple[Any, ...]:
  """Returns (the objects of a batch,), which a detector reads in training, or ()."""
  if not max_objects or batch.instances is None:
    return ()
  return (models.objects_of(batch.instances, batch.masks, max_objects),)


def per_example(
  functions: dict[str, Loss],
  outputs: models.Outputs,
  batch: Batch,
  num_classes: int,
  max_objects: int = 0,
  labels: np.ndarray | None = None,
) -> dict[str, jax.Array]:
  """Returns the losses [B] of a network's outputs, by name.

  Args:
    functions: from `make_losses`.
    outputs: with the logits that these read.
    batch: of which the images are not read.
    num_classes: C.
    max_objects: from the function of this name.
    labels: from `label_table`.
  """
  logits, regions = outputs.logits, outputs.regions
  if labels is not None:
    logits = models.class_scores(regions, labels)
  given = {} if batch.distances is None else {"boundary": {"distances": batch.distances}}
  counting = {} if batch.valid is None else {"valid": batch.valid}
  targets = jax.nn.one_hot(batch.masks, num_classes)
  truth = _truth(batch, max_objects)
  values = {}
  for name, loss in functions.items():
    if kind_of(name) == "detection":
      values[name] = loss(outputs.detections, *truth, batch.instances)
    elif name in MULTI_LABEL and labels is not None:
      values[name] = loss(regions, targets @ labels, **counting)
    elif kind_of(name) == "embedding":
      values[name] = loss(outputs.embeddings, batch.labels)
    elif kind_of(name) == "texture":
      values[name] = loss(outputs.texture_logits, batch.textures)
    elif kind_of(name) == "segmentation":
      values[name] = loss(logits, targets, **counting, **given.get(name, {}))
    else:
      diagnosis = outputs.class_logits[:, None, None]
      values[name] = loss(
        diagnosis, jax.nn.one_hot(batch.labels, diagnosis.shape[-1])[:, None, None]
      )
  return values


def make_loss_fn(
  model: models.Model,
  loss_functions: dict[str, Loss],
  num_classes: int,
  max_objects: int = 0,
  labels: np.ndarray | None = None,
) -> SplitLoss:
  """Returns the losses of (params, model_state, batch) for `make_step`, split at the logits.

  Where pixels have several labels it is split at the scores of these, for the classes' follow.
  """

  def forward(params: PyTree, model_state: PyTree, batch: Batch) -> tuple[PyTree, PyTree]:
    params = sharding.gather(params)  # from wherever their parts lie
    variables, truth = {**model_state, "params": params}, _truth(batch, max_objects)
    outputs, model_state = model.apply(variables, batch.images, True, *truth)
    logits = outputs.logits if labels is None else None
    # What no loss reads is no place to compare gradients at.
    return outputs._replace(features=None, attention=None, logits=logits), model_state

  def values(outputs: PyTree, model_state: PyTree, batch: Batch) -> Scalars:
    del model_state
    found = per_example(loss_functions, outputs, batch, num_classes, max_objects, labels)
    # Of embeddings, an anchor without a partner has no loss, and does not count.
    return {
      name: reduction.reduce(
        value, losses.has_partner(jnp.asarray(batch.labels)) if name in EMBEDDING else None
      )
      for name, value in found.items()
    }

  return SplitLoss(forward, values)
