"""The losses of a batch: from a network's outputs to one value per loss."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlseg import losses, models
from mlseg.data import partial
from mlseg.devices import sharding
from mlseg.losses import reduction
from mlseg.recipe.loss_table import LOSSES, LossFunction
from mlseg.training.batches import Batch
from mlseg.training.step import Scalars
from mlseg.weighting import SplitLoss

PyTree = Any
_Arguments = tuple[tuple[Any, ...], dict[str, Any]]  # positional and named


def per_example(
  functions: Mapping[str, LossFunction],
  outputs: models.Outputs,
  batch: Batch,
  num_classes: int,
  max_objects: int = 0,
  labels: np.ndarray | None = None,
) -> dict[str, jax.Array]:
  """Returns the losses [B] of a network's outputs, by name.

  Where a network has scores of coarser levels, a loss of pixels is the weighted sum over all levels
  (see `losses.deep_supervision`).

  Args:
    functions: from `recipe.losses.make_losses`.
    outputs: with the logits that these read.
    batch: of which the images are not read.
    num_classes: C.
    max_objects: of `NetworkRecipe`.
    labels: [C, R], of `NetworkRecipe.label_table`.
  """
  inputs = _inputs(outputs, batch, num_classes, max_objects, labels)
  values = {}
  for name, function in functions.items():
    (first, *others), options = inputs[LOSSES[name].reads]()
    if outputs.deep_logits and LOSSES[name].head == "segmentation":
      function, first = losses.deep_supervision(function), (first, *outputs.deep_logits)
    values[name] = function(first, *others, **options)
  return values


def _inputs(
  outputs: models.Outputs,
  batch: Batch,
  num_classes: int,
  max_objects: int,
  labels: np.ndarray | None,
) -> dict[str, Callable[[], _Arguments]]:
  """Returns the arguments of a loss by the key of `loss_table.HEAD_OF` that it reads."""
  logits, regions = outputs.logits, outputs.regions
  if labels is not None:
    logits = models.class_scores(regions, labels)
  targets = jax.nn.one_hot(batch.masks, num_classes)
  objects = _objects(batch, max_objects)
  valid = {} if batch.valid is None else {"valid": batch.valid}
  distances = {} if batch.distances is None else {"distances": batch.distances}

  def of_labels() -> _Arguments:
    if labels is None:
      return (logits, targets), valid
    return (regions, targets @ labels), valid

  def of_diagnosis() -> _Arguments:
    scores = outputs.class_logits[:, None, None]
    return (scores, jax.nn.one_hot(batch.labels, scores.shape[-1])[:, None, None]), {}

  def of_findings() -> _Arguments:
    known = jnp.maximum(batch.labels, 0)  # those that are not known do not count
    return (outputs.class_logits[:, None, None], known[:, None, None]), {}

  return {
    "pixels": lambda: ((logits, targets), valid),
    "pixels_and_distances": lambda: ((logits, targets), valid | distances),
    "labels": of_labels,
    "diagnosis": of_diagnosis,
    "findings": of_findings,
    "detections": lambda: ((outputs.detections, *objects, batch.instances), {}),
    "embeddings": lambda: ((outputs.embeddings, batch.labels), {}),
    "texture": lambda: ((outputs.texture_logits, batch.textures), {}),
  }


def make_loss_fn(
  model: models.Model,
  functions: Mapping[str, LossFunction],
  num_classes: int,
  max_objects: int = 0,
  labels: np.ndarray | None = None,
  is_partial: bool = False,
) -> SplitLoss:
  """Returns the losses of (params, model_state, batch) for `make_step`, split at the logits.

  Where pixels have several labels it is split at the scores of these, from which those of the
  classes follow. The arguments are those of `per_example`, and whether cases may lack a mask or a
  diagnosis: a loss is then the mean over those that have what it reads.
  """

  def forward(params: PyTree, model_state: PyTree, batch: Batch) -> tuple[PyTree, PyTree]:
    params = sharding.gather(params)  # from wherever their parts lie
    variables, objects = {**model_state, "params": params}, _objects(batch, max_objects)
    # The gradients of all losses see one draw: the same key gives the same numbers.
    options = {} if batch.keys is None else {"key": batch.keys[0]}
    if batch.covariates is not None:
      options["covariates"] = batch.covariates
    outputs, model_state = model.apply(variables, batch.images, True, *objects, **options)
    logits = outputs.logits if labels is None else None
    # Gradients are compared at these outputs: those that no loss reads are left out.
    return outputs._replace(features=None, attention=None, logits=logits), model_state

  def values(outputs: PyTree, model_state: PyTree, batch: Batch) -> Scalars:
    del model_state
    found = per_example(functions, outputs, batch, num_classes, max_objects, labels)
    return {
      name: reduction.reduce(value, _counted(name, batch, is_partial))
      for name, value in found.items()
    }

  return SplitLoss(forward, values)


def present(names: Sequence[str], batch: Batch) -> dict[str, jax.Array]:
  """Returns which losses a batch has, bool scalars by name: those that a case of it counts in.

  Args:
    names: of the losses.
    batch: whose cases may lack a mask or a diagnosis.
  """
  counted = {name: _counted(name, batch, True) for name in names}
  return {name: jnp.bool(True) if own is None else own.any() for name, own in counted.items()}


def _counted(name: str, batch: Batch, is_partial: bool) -> jax.Array | None:
  """Returns which examples [B] count in a loss; None: all.

  Of embeddings these are those that have a partner, and where cases may lack a mask or a diagnosis
  those that have what the loss reads.
  """
  reads = LOSSES[name].reads
  if reads == "embeddings":
    return losses.has_partner(jnp.asarray(batch.labels))
  if not is_partial:
    return None
  if reads in ("diagnosis", "findings"):
    return partial.has_label(jnp.asarray(batch.labels))
  return partial.has_mask(jnp.asarray(batch.masks))


def _objects(batch: Batch, max_objects: int) -> tuple[Any, ...]:
  """Returns (the objects of a batch,), which a detector reads in training, or ()."""
  if not max_objects or batch.instances is None:
    return ()
  return (models.objects_of(batch.instances, batch.masks, max_objects),)
