"""TODO mlseg.training.model_parts."""

from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from mlseg.data import padding, pipeline
from mlseg.devices import sharding
from mlseg.models import Model, Outputs
from mlseg.recipe import joint as recipe_joint
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import properties
from mlseg.training.step import TrainState

PyTree = Any


class Member(NamedTuple):
  """What a model of a group has to itself beside its state."""

  train: Any  # [n] int32, which cases it is trained on
  validation: Any  # [v] int32
  extra: dict[str, Any]  # arguments of its weighting and optimiser, where configs differ
  class_weights: dict[str, Any]  # by loss [C] float32 from its training set, where one asks
  texture_edges: Any  # [T - 1] float32 from its training set, where a loss asks


# A model's state, what it has to itself, and its data (`Data` or `Chunk`) where each has its own.
Mapped = tuple[TrainState, Member, Any]


# The data where all models share them, or None, and a number.
Shared = tuple[Any, jax.Array]


class _Parts(NamedTuple):
  """What the functions of a model are made of."""

  config: ConfigDict
  model: Model
  joint: recipe_joint.Joint
  num_classes: int
  num_labels: int
  max_objects: int
  label_table: np.ndarray | None

  @property
  def ignored(self) -> int | None:
    """Returns what masks have where there is no picture, if there is such a place.

    Beyond the borders of pictures of different sizes, and in slices that are absent.
    """
    some = self.config.data.patch_size or properties.has_volumes(self.config)
    return padding.IGNORED if some else None

  def losses(self, member: Member) -> dict[str, recipe_losses.Loss]:
    """Returns the losses of a model by name."""
    return recipe_losses.make_losses(
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
