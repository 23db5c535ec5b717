"""The section `config.model`: from a recipe to a network and its pretrained weights."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from mlseg import models
from mlseg.errors import UserError, require, unknown
from mlseg.models import pretrained
from mlseg.recipe import data as recipe_data
from mlseg.recipe.networks import (
  ALL_HEADS,
  DETECTION,
  DTYPES,
  NETWORKS,
  PRECISIONS,
  SLICE_ATTENTION,
  has_head,
  make_encoder,
)

ENCODER = "encoder"  # the name of that part in the variables of every network that has one
NONE = "none"
IMAGENET = "imagenet"

Variables = dict[str, Any]


class NetworkRecipe(NamedTuple):
  """The network of a recipe.

  Attributes:
    name: of the network, as `config.model.name`.
    heads: that it has; those that losses read are in `loss_table.HEAD_OF`.
    max_objects: objects of an image that a detector is trained on; 0: the network is none.
    make: `make(num_classes, num_labels) -> Model`; raises a UserError where these do not fit.
    label_table: `label_table(num_classes)`: [C, R], the labels of a pixel of each class; None
      where each class is one label.
    check_pretrained: `check_pretrained()` raises a UserError where it is plain without reading them
      that there are no such weights.
    load_pretrained: `load_pretrained()`: the variables of the encoder from its file, or {} where
      it starts anew; raises a UserError where there is no such file, or its weights do not fit.
    is_random: whether the network draws random numbers in training, and needs a key there.
    covariates: the columns of a cohort's manifest that the network reads, in this order.
  """

  name: str
  heads: frozenset[str]
  max_objects: int
  make: Callable[[int, int], models.Model]
  label_table: Callable[[int], np.ndarray | None]
  check_pretrained: Callable[[], None]
  load_pretrained: Callable[[], Variables]
  is_random: bool = False
  covariates: tuple[str, ...] = ()

  @property
  def segments(self) -> bool:
    """Whether the network gives masks."""
    return bool(self.heads & {"segmentation", DETECTION})


def read(config: ConfigDict) -> NetworkRecipe:
  """Returns the network of a recipe, checked as far as that is possible without the data.

  Raises:
    UserError: a value is not right.
  """
  heads = frozenset(head for head in ALL_HEADS if has_head(config.model, head))
  return NetworkRecipe(
    name=config.model.name,
    heads=heads,
    max_objects=config.model.max_objects if DETECTION in heads else 0,
    make=lambda num_classes, num_labels: make_model(config, num_classes, num_labels),
    label_table=lambda num_classes: label_table(config, num_classes),
    check_pretrained=lambda: check_pretrained(config),
    load_pretrained=lambda: load_pretrained(config),
    is_random=config.model.get("dropout", 0.0) > 0,
    covariates=tuple(config.model.get("covariates", ())),
  )


def check(config: ConfigDict) -> None:
  """Raises a UserError where a value of the network is not right, whatever the data are."""
  pairs = config.model.get("containment", ())
  num_classes = max([2, *(1 + label for pair in pairs for label in pair)])
  make_model(config, num_classes, num_labels=2)


def make_model(config: ConfigDict, num_classes: int, num_labels: int = 1) -> models.Model:
  """Returns the network.

  Args:
    config: the recipe.
    num_classes: of the pixels, background included.
    num_labels: diagnoses of the cases, or findings.

  Raises:
    UserError: the config is not right.
  """
  options, data = config.model, recipe_data.read(config)
  if options.name not in NETWORKS:
    raise unknown("model", options.name, NETWORKS)
  if options.dtype not in DTYPES:
    raise unknown("config.model.dtype", options.dtype, DTYPES)
  if data.has_volumes != (options.name == SLICE_ATTENTION):
    raise UserError(
      f"config.model.name must be {SLICE_ATTENTION!r} for the patients of config.data.cohort,"
      f" and only for them, not {options.name!r} for config.data.name {data.name!r}"
    )
  model = NETWORKS[options.name](options, data, num_classes, num_labels)
  if (precision := options.get("matmul_precision", PRECISIONS[0])) != PRECISIONS[0]:
    model = models.with_matmul_precision(model, precision)
  model = model._replace(has_findings=bool(data.finding_names))
  if not data.patch_size:
    return model
  rule = "config.data.patch_overlap must be in [0, 1)"
  require(0 <= data.patch_overlap < 1, rule, data.patch_overlap)
  if has_head(options, DETECTION):
    raise UserError(f"config.data.patch_size must be 0 for config.model ({options.name})")
  return models.tiled(model, data.patch_size, data.patch_overlap)


def label_table(config: ConfigDict, num_classes: int) -> np.ndarray | None:
  """Returns [C, R], the labels of a pixel of each class; None where each class is one label.

  Args:
    config: the recipe, whose network `make_model` accepts.
    num_classes: C.
  """
  containment = config.model.get("containment", ())
  if not containment or not has_head(config.model, "segmentation"):
    return None
  return models.class_labels(num_classes, containment)


def check_pretrained(config: ConfigDict) -> None:
  """Raises a UserError where it is plain without reading them that an encoder has no weights.

  A trained run needs no such weights to predict, so that this is no part of `check`.
  """
  source = config.model.get("pretrained", NONE)
  if source == IMAGENET:
    pretrained.check_imagenet(make_encoder(config.model))
  elif source != NONE and not pathlib.Path(source).exists():
    raise UserError(f"config.model.pretrained: there is no file {source}")


def load_pretrained(config: ConfigDict) -> Variables:
  """Returns the variables of the recipe's encoder from its file, or {} where it starts anew.

  Raises:
    UserError: there is no such file, or its weights do not fit.
  """
  source = config.model.get("pretrained", NONE)
  if source == NONE:
    return {}
  encoder = make_encoder(config.model)
  if source == IMAGENET:
    return pretrained.imagenet(encoder)
  return pretrained.load(pathlib.Path(source), encoder)


def insert_pretrained(variables: Variables, loaded: Variables) -> Variables:
  """Returns the variables of a whole network with those of its encoder, from `load_pretrained`."""
  return pretrained.insert(variables, loaded, (ENCODER,)) if loaded else variables
