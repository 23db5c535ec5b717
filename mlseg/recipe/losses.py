"""From a config to losses; sees the config, as `builders`."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mlseg import losses, models
from mlseg.data import targets
from mlseg.errors import UserError, require, unknown, user_errors
from mlseg.recipe.loss_table import LOSSES, OF_NEIGHBOURS, Loss, kind_of
from mlseg.recipe.properties import TEXTURE, has_head, has_volumes, loss_names

PyTree = Any

# Losses whose class weights may be left to the training set: of pixels, and of cases.
_WEIGHTED = ("weighted_cross_entropy", "classification_weighted_cross_entropy")


def texture_edges(config: ConfigDict, textures: np.ndarray | None) -> np.ndarray | None:
  """Returns the values that part a training set into `config.model.num_textures` equal classes.

  Args:
    config: the recipe.
    textures: [n], of the training set; None: no loss reads them.
  """
  return None if textures is None else targets.edges(textures, config.model.num_textures)


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
