"""Exact evaluation: every case counts once, whatever the batch size, in one compiled program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.metrics import confusion_counts

PyTree = Any


class Evaluation(NamedTuple):
  """What evaluating N cases gives."""

  counts: jax.Array  # [N, C, 4]: true and false positives, false and true negatives
  losses: dict[str, jax.Array]  # per loss [N]
  predictions: jax.Array  # [N, H, W] uint8, the most likely class of each pixel


def make_evaluate(
  predict: Callable[[PyTree, jax.Array], jax.Array],
  losses: dict[str, Callable[..., jax.Array]],
  num_classes: int,
  batch_size: int,
) -> Callable[..., Evaluation]:
  """Returns `evaluate(variables, images, masks) -> Evaluation`.

  The last batch is filled up with the first cases, whose second results are dropped, so that all
  batches have one shape and none is left out.

  Args:
    predict: `predict(variables, images [B, H, W, I] uint8) -> logits [B, H, W, C]`.
    losses: per name a loss function of (logits, one-hot masks) that returns [B].
    num_classes: C.
    batch_size: B.
  """

  def one_batch(variables: PyTree, images: jax.Array, masks: jax.Array) -> Evaluation:
    logits = predict(variables, images)
    targets = jax.nn.one_hot(masks, num_classes)
    values = {name: loss(logits, targets) for name, loss in losses.items()}
    predictions = logits.argmax(-1).astype(jnp.uint8)
    counts = confusion_counts(predictions, masks, num_classes)
    return Evaluation(counts, values, predictions)

  def evaluate(variables: PyTree, images: jax.Array, masks: jax.Array) -> Evaluation:
    num_cases = images.shape[0]
    num_batches = -(-num_cases // batch_size)
    index = jnp.arange(num_batches * batch_size).reshape(num_batches, batch_size) % num_cases
    results = jax.lax.map(lambda i: one_batch(variables, images[i], masks[i]), index)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:num_cases], results)

  return evaluate
