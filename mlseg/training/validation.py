"""The evaluation of the validation part after an epoch, by which the best epoch is chosen."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.data.cases import evenly_spaced
from mlseg.metrics import SEGMENTATION_SCORES
from mlseg.models import Outputs
from mlseg.training import batches, objective
from mlseg.training import step as train_step
from mlseg.training.evaluation import make_evaluate
from mlseg.training.model_parts import Mapped, Parts, Shared
from mlseg.training.step import TrainState

NUM_SHOWN = 4  # images whose predictions are shown by trackers


class Validation(NamedTuple):
  """The scores of the validation part.

  Attributes:
    scores: by name [], as far as the network has the head: 'dice' of the foreground, mean over
      images; the score of `metrics.SEGMENTATION_SCORES` that chooses the epoch; 'accuracy' of the
      diagnoses; 'auc', the area under the ROC curve of two diagnoses. Of findings, 'accuracy' is
      the mean of their balanced accuracies, and 'auc' that of their areas.
    losses: by name [].
    predictions: [n, H, W] uint8, classes, of `NUM_SHOWN` images, evenly spaced; None where no
      tracker shows them.
  """

  scores: dict[str, jax.Array]
  losses: dict[str, jax.Array]
  predictions: jax.Array | None = None


def validate(parts: Parts, mapped: Mapped, shared: Shared) -> tuple[TrainState, Validation]:
  """Returns the state, with the best variables so far and whether to stop, and the scores.

  Args:
    parts: of the model.
    mapped: state, inputs and data of the model.
    shared: the data of all models, and the number of complete epochs.
  """
  (state, inputs, own), (data, epoch), experiment = mapped, shared, parts.experiment
  source = data if own is None else own
  index = inputs.validation if own is None else slice(None)
  functions = parts.losses(inputs)

  def losses(outputs: Outputs, masks: jax.Array, *truth: Any) -> dict[str, jax.Array]:
    labels, instances, textures = truth
    # Losses do not read the images.
    batch = batches.Batch(
      masks, masks, labels, instances=instances, valid=parts.valid(masks), textures=textures
    )
    return objective.per_example(
      functions, outputs, batch, parts.num_classes, parts.max_objects, parts.label_table
    )

  evaluate = make_evaluate(
    parts.predict, parts.num_classes, experiment.batch_size, losses, valid=parts.valid
  )
  cases: batches.Batch = jax.tree.map(lambda array: array[index], _read(source.cases))
  truth = cases.masks, cases.labels, cases.instances, cases.textures
  result = evaluate(state.evaluated, cases.images, *truth, covariates=cases.covariates)
  scores, selection = {}, experiment.selection
  if result.counts is not None:
    for name in dict.fromkeys(("dice", selection)):
      if name in SEGMENTATION_SCORES:
        scores[name] = SEGMENTATION_SCORES[name](result.counts)
  if result.class_logits is not None:
    if parts.model.has_findings:
      scores |= _of_findings(result.class_logits, cases.labels)
    else:
      scores["accuracy"] = (result.class_logits.argmax(-1) == cases.labels).mean()
    if parts.num_labels == 2 and not parts.model.has_findings:
      difference = result.class_logits[:, 1] - result.class_logits[:, 0]
      scores["auc"] = area_under_curve(difference, cases.labels)
  means = {name: value.mean() for name, value in result.losses.items()}
  state = train_step.update_best(state, _score(selection, scores), epoch, experiment.patience)
  shown = None
  if experiment.trackers and result.predictions is not None:
    shown = result.predictions[evenly_spaced(len(result.predictions), NUM_SHOWN)]
  return state, Validation(scores, means, shown)


def _read(cases: batches.Batch) -> batches.Batch:
  """Returns the arrays that a validation reads: the losses compute their own distances."""
  return cases._replace(distances=None)


def _of_findings(class_logits: jax.Array, findings: jax.Array) -> dict[str, jax.Array]:
  """Returns the mean balanced accuracy of findings, each predicted above 0.5, and their mean area.

  The balanced accuracy is the mean of sensitivity and specificity, so that predicting a rare
  finding nowhere is not rewarded; of a finding that all cases have, or none, it is the one of the
  two that is defined, and the area is 0.5.

  Args:
    class_logits: [N, L].
    findings: [N, L], 0 or 1.
  """
  true = jnp.stack([findings == 0, findings == 1])  # [2, N, L]
  right = (class_logits > 0) == (findings == 1)
  count = true.sum(1)
  rates = (true & right).sum(1) / jnp.maximum(count, 1)  # [2, L], specificity and sensitivity
  # One after the other, since an area takes the memory of all pairs of cases.
  areas = jax.lax.map(lambda one: area_under_curve(*one), (class_logits.T, findings.T))
  return {"accuracy": (rates.sum(0) / (count > 0).sum(0)).mean(), "auc": areas.mean()}


def area_under_curve(scores: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns how often a case of label 1 has a higher score than one of label 0; ties count half.

  Where one of the labels is missing it is 0.5.

  Example:
    >>> area_under_curve(jnp.array([0.1, 0.4, 0.4, 0.9]), jnp.array([0, 0, 1, 1]))
    Array(0.875, dtype=float32)
  """
  above = jnp.sign(scores[:, None] - scores) / 2 + 0.5
  pairs = (labels[:, None] == 1) & (labels == 0)
  count = pairs.sum()
  return jnp.where(count, jnp.where(pairs, above, 0).sum() / jnp.maximum(count, 1), 0.5)


def _score(selection: str, scores: dict[str, jax.Array]) -> jax.Array:
  """Returns the score of an epoch: one of these, or the mean of Dice and accuracy, if known."""
  both = [scores[name] for name in ("dice", "accuracy") if name in scores]
  return jnp.stack(both).mean() if selection == "mean" else scores[selection]
