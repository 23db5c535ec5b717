"""Exact evaluation: every case counts once, whatever the batch size, in one compiled program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.metrics import confusion_counts

PyTree = Any


class Evaluation(NamedTuple):
  """The results for N cases; None where the network has no such output."""

  counts: jax.Array | None  # [N, C, 4]: true and false positives, false and true negatives
  losses: dict[str, jax.Array]  # per loss [N]
  predictions: jax.Array | None  # [N, H, W] uint8, the most likely class of each pixel
  class_logits: jax.Array | None  # [N, L], of the diagnoses
  found: PyTree  # of a detector: the objects found, [N, ...] each
  attention: jax.Array | None = None  # [N, S], how much each slice of a volume counts


def make_evaluate(
  predict: Callable[[PyTree, jax.Array], Any],
  num_classes: int,
  batch_size: int,
  losses: Callable[..., dict[str, jax.Array]] | None = None,
  found: Callable[[Any], PyTree] | None = None,
  ignored: int | None = None,
) -> Callable[..., Evaluation]:
  """Returns `evaluate(variables, images, masks, *truth) -> Evaluation`.

  The last batch is filled up with the first cases, whose second results are dropped, so that all
  batches have one shape and none is left out.

  Args:
    predict: `predict(variables, images [B, H, W, I] uint8)`; what it returns has `logits`
      [B, H, W, C] and `class_logits` [B, L], of which one may be None.
    num_classes: C.
    batch_size: B.
    losses: `losses(outputs, masks, *truth)`, of what `predict` returns: per loss [B].
    found: `found(outputs)`, the objects that a detector found, [B, ...] each.
    ignored: what masks have where pixels do not count; None: all count.
  """

  def one_batch(variables: PyTree, images: jax.Array, *truth: PyTree) -> Evaluation:
    outputs, masks = predict(variables, images), truth[0]
    values = losses(outputs, *truth) if losses else {}
    objects = found(outputs) if found else None
    attention = getattr(outputs, "attention", None)
    if outputs.logits is None:
      return Evaluation(None, values, None, outputs.class_logits, objects, attention)
    predictions = outputs.logits.argmax(-1).astype(jnp.uint8)
    valid = None if ignored is None else masks != ignored
    counts = confusion_counts(predictions, masks, num_classes, valid=valid)
    return Evaluation(counts, values, predictions, outputs.class_logits, objects, attention)

  def evaluate(variables: PyTree, *arrays: PyTree) -> Evaluation:
    num_cases = arrays[0].shape[0]
    num_batches = -(-num_cases // batch_size)
    index = jnp.arange(num_batches * batch_size).reshape(num_batches, batch_size) % num_cases

    def at(i: jax.Array) -> Evaluation:
      return one_batch(variables, *jax.tree.map(lambda array: array[i], arrays))

    results = jax.lax.map(at, index)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:num_cases], results)

  return evaluate
