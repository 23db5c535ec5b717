"""TODO mlseg.training.objective."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlseg import losses, models
from mlseg.devices import sharding
from mlseg.losses import reduction
from mlseg.recipe.loss_table import EMBEDDING, MULTI_LABEL, Loss, kind_of
from mlseg.recipe.losses import PyTree
from mlseg.training.batches import Batch
from mlseg.training.step import Scalars
from mlseg.weighting import SplitLoss


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
