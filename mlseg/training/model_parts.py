"""What the functions of one model are made of, and what each model has to itself."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mlseg.data import covariates, padding, pipeline, sampling
from mlseg.data.cases import Cases
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.models import Model, Outputs
from mlseg.recipe import joint as recipe_joint
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import split as recipe_split
from mlseg.recipe.experiment import Experiment
from mlseg.recipe.loss_table import LossFunction
from mlseg.training.step import TrainState

PyTree = Any


class ModelInputs(NamedTuple):
  """The arrays that a model of a group has to itself beside its state."""

  train: Any  # [n] int32, the cases that it is trained on
  validation: Any  # [v] int32
  extra: dict[str, Any]  # arguments of its weighting and optimiser, where recipes differ
  class_weights: dict[str, Any]  # by loss [C] float32 from its training set, where one asks
  texture_edges: Any  # [T - 1] float32 from its training set, where a loss asks
  groups: Any = None  # [n] int32, of its training cases, where all groups are equally frequent
  hidden: Any = None  # `partial.Hidden`, the masks and diagnoses that it is not shown; None: none
  covariate_statistics: Any = None  # `covariates.Statistics` of its training cases, or None


# A model's state, its inputs, and its data (`Data` or `Chunk`) where each model has its own.
Mapped = tuple[TrainState, ModelInputs, Any]

# The data where all models share them, or None, and a number.
Shared = tuple[Any, jax.Array]


class Parts(NamedTuple):
  """What the functions of a model are made of."""

  experiment: Experiment  # the first recipe; the others differ in `joint` alone
  model: Model
  joint: recipe_joint.Joint
  num_classes: int
  num_labels: int
  label_table: np.ndarray | None
  has_unlabelled: bool = False  # whether masks have pixels whose class is not known
  is_partial: bool = False  # whether training cases lack masks or diagnoses

  @property
  def max_objects(self) -> int:
    """The number of objects of an image that a detector is trained on, or 0."""
    return self.experiment.network.max_objects

  def valid(self, masks: jax.Array) -> jax.Array | None:
    """Returns which pixels of masks [B, H, W] count, bool of the same shape; None: all do.

    Some do not in images of different sizes, in slices that a volume lacks, and where the class of
    a pixel is not known.
    """
    data = self.experiment.data
    some = data.patch_size or data.has_volumes or self.has_unlabelled
    return padding.counted(masks) if some else None

  def losses(self, inputs: ModelInputs) -> dict[str, LossFunction]:
    """Returns the losses of a model by name."""
    return recipe_losses.make_losses(
      self.experiment.losses,
      self.num_classes,
      self.num_labels,
      inputs.class_weights,
      self.joint.loss_names,
      inputs.texture_edges,
    )

  def predict(self, variables: PyTree, images: jax.Array, *covariates: jax.Array) -> Outputs:
    """Returns the network's outputs for images [B, H, W, C] uint8, and covariates if it has any."""
    inputs = sharding.split_batch((pipeline.to_float(images), *covariates))
    return self.model.predict(variables, *inputs)

  def inputs(self, cases: Cases, split: Split, run: int) -> ModelInputs:
    """Returns the inputs of a model, on the host.

    Args:
      cases: the data set.
      split: of the model.
      run: the index of its recipe.
    """
    train, validation = split.train.astype(np.int32), split.validation.astype(np.int32)
    recipe, names = self.experiment.losses, self.joint.loss_names
    hidden = recipe_split.hidden_of(self.experiment.data, cases, train)
    masked = train if hidden is None else train[~hidden.masks[train]]
    labels = cases.diagnoses[train if hidden is None else train[~hidden.labels[train]]]
    counts = {
      "segmentation": lambda: padding.class_pixels(cases.masks, self.num_classes)[masked].sum(0),
      "classification": lambda: np.bincount(labels[labels >= 0], minlength=self.num_labels),
    }
    textures = None if cases.textures is None else cases.textures[train]
    known = cases.covariates_of(train)
    return ModelInputs(
      train=train,
      validation=validation,
      extra={name: values[run] for name, values in self.joint.extra.items()},
      class_weights=recipe_losses.open_class_weights(recipe, counts, names),
      texture_edges=recipe_losses.texture_edges(recipe, textures),
      groups=sampling.groups(self.experiment.data.sampling, cases, train),
      hidden=hidden,
      covariate_statistics=None if known is None else covariates.statistics(known),
    )


def make_parts(experiments: Sequence[Experiment], num_train: int, cases: Cases) -> Parts:
  """Returns the parts of the models of recipes whose `common` is the same.

  Args:
    experiments: the recipes.
    num_train: cases in the training set, the same for all seeds.
    cases: the data set, for its classes and diagnoses.

  Raises:
    UserError: a recipe does not fit the data.
  """
  first = experiments[0]
  steps_per_epoch = num_train // first.batch_size
  num_classes, num_labels = len(cases.class_names), len(cases.diagnosis_names)
  return Parts(
    experiment=first,
    model=first.network.make(num_classes, num_labels),
    joint=recipe_joint.join(experiments, steps_per_epoch, steps_per_epoch * first.num_epochs),
    num_classes=num_classes,
    num_labels=num_labels,
    label_table=first.network.label_table(num_classes),
    has_unlabelled=cases.has_unlabelled or first.data.hide_masks > 0,
    is_partial=first.data.hides or cases.is_partial,
  )
