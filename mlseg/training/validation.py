"""TODO mlseg.training.validation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mlseg.errors import UserError, unknown
from mlseg.metrics import overlap
from mlseg.models import Outputs
from mlseg.recipe import properties
from mlseg.training import batches, objective
from mlseg.training import step as train_step
from mlseg.training.evaluation import make_evaluate
from mlseg.training.model_parts import Mapped, Shared, _Parts
from mlseg.training.step import TrainState

# Scores of the validation set by which an epoch is the best, and the head that each needs.
SELECTIONS = {
  "dice": "segmentation",
  "accuracy": "classification",
  "auc": "classification",
  "mean": "",
}


class Validation(NamedTuple):
  """What an epoch's evaluation of the validation set reports; None: there is no such head."""

  dice: jax.Array | None  # [], foreground, mean over images
  accuracy: jax.Array | None  # [], of the diagnoses
  auc: jax.Array | None  # [], area under the ROC curve, of two diagnoses
  losses: dict[str, jax.Array]  # per loss []


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
    return objective.per_example(
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
  known = properties.has_head(config, "classification")
  if head == "segmentation":
    known = properties.segments(config)
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
