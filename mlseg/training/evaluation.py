"""Exact evaluation: every case counts once, whatever the batch size, in one compiled program."""

from collections.abc import Callable, Sequence
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
  levels: jax.Array | None = None  # [N, H, W] uint8; see `make_evaluate`
  log_probabilities: jax.Array | None = None  # [N, P, C] float16; see `make_evaluate`


def make_evaluate(
  predict: Callable[..., Any],
  num_classes: int,
  batch_size: int,
  losses: Callable[..., dict[str, jax.Array]] | None = None,
  found: Callable[[Any], PyTree] | None = None,
  valid: Callable[[jax.Array], jax.Array | None] = lambda masks: None,
  thresholds: Sequence[float] = (),
  stride: Callable[[int, int], int] | None = None,
) -> Callable[..., Evaluation]:
  """Returns `evaluate(variables, images, masks, *truth, covariates=None) -> Evaluation`.

  The last batch is filled up with the first cases, whose second results are dropped, so that all
  batches have one shape and none is left out.

  Args:
    predict: `predict(variables, images [B, H, W, I] uint8)`, with covariates [B, K] as a third
      argument where `evaluate` is given those of all cases, [N, K]; what it returns has `logits`
      [B, H, W, C] and `class_logits` [B, L], of which one may be None.
    num_classes: C.
    batch_size: B.
    losses: `losses(outputs, masks, *truth)`, of what `predict` returns: per loss [B].
    found: `found(outputs)`, the objects that a detector found, [B, ...] each.
    valid: `valid(masks [B, H, W])`, which pixels count, bool of the same shape; None: all do.
    thresholds: of two classes, T < 256; the levels are, for each pixel, how many of them are below
      the probability of the second class. (): there are no levels.
    stride: `stride(H, W)`, of how many pixels, row by row, one has its log-probabilities returned;
      None: none has.
  """

  def one_batch(variables: PyTree, inputs: tuple[jax.Array, ...], truth: PyTree) -> Evaluation:
    outputs, masks = predict(variables, *inputs), truth[0]
    values = losses(outputs, *truth) if losses else {}
    objects = found(outputs) if found else None
    attention = getattr(outputs, "attention", None)
    if outputs.logits is None:
      return Evaluation(None, values, None, outputs.class_logits, objects, attention)
    predictions = outputs.logits.argmax(-1).astype(jnp.uint8)
    counts = confusion_counts(predictions, masks, num_classes, valid=valid(masks))
    levels = _levels(outputs.logits, thresholds) if thresholds else None
    logs = _log_probabilities(outputs.logits, stride) if stride else None
    return Evaluation(
      counts, values, predictions, outputs.class_logits, objects, attention, levels, logs
    )

  def evaluate(
    variables: PyTree, images: jax.Array, *truth: PyTree, covariates: jax.Array | None = None
  ) -> Evaluation:
    inputs = (images,) if covariates is None else (images, covariates)
    num_cases = images.shape[0]
    num_batches = -(-num_cases // batch_size)
    index = jnp.arange(num_batches * batch_size).reshape(num_batches, batch_size) % num_cases

    def at(i: jax.Array) -> Evaluation:
      return one_batch(variables, *jax.tree.map(lambda array: array[i], (inputs, truth)))

    results = jax.lax.map(at, index)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:num_cases], results)

  return evaluate


def _log_probabilities(logits: jax.Array, stride: Callable[[int, int], int]) -> jax.Array:
  """Returns the logarithms of the probabilities of some pixels, [B, P, C] float16."""
  size, height, width, num_classes = logits.shape
  some = logits.reshape(size, height * width, num_classes)[:, :: stride(height, width)]
  return jax.nn.log_softmax(some.astype(jnp.float32), axis=-1).astype(jnp.float16)


def _levels(logits: jax.Array, thresholds: Sequence[float]) -> jax.Array:
  """Returns how many thresholds are below the probability of the second of two classes."""
  probability = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)[..., 1]
  levels = jnp.zeros(probability.shape, jnp.uint8)
  for threshold in thresholds:
    levels += probability > jnp.float32(threshold)
  return levels
