"""Soft counts per image and class, and ratios of them, on which every overlap loss is built."""

import math
from typing import NamedTuple

import jax

from mlseg.losses.probabilities import Activation, check_shapes, foreground, probabilities
from mlseg.losses.reduction import class_sum


class SoftCounts(NamedTuple):
  """Sums over the pixels of each image, which give true and false positives and negatives."""

  overlap: jax.Array  # [B, C], sum of p g: true positives
  predicted: jax.Array  # [B, C], sum of p: true and false positives
  true: jax.Array  # [B, C], sum of g: true positives and false negatives


def soft_counts(
  logits: jax.Array,
  masks: jax.Array,
  valid: jax.Array | None,
  activation: Activation = "softmax",
  include_background: bool = True,
) -> SoftCounts:
  """Returns the counts of the classes that a loss averages over.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C].
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.
    activation: 'softmax' or 'sigmoid', from logits to probabilities.
    include_background: whether class 0 is counted.

  Returns:
    Counts, [B, C] or [B, C - 1] each.

  Raises:
    ValueError: where the shapes do not fit together, or an option is unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.ones([1, 2, 2, 1]) * jnp.array([0.0, 1.0])
    >>> soft_counts(jnp.zeros([1, 2, 2, 2]), masks, None).overlap.tolist()
    [[0.0, 2.0]]
  """
  check_shapes(logits, masks, valid, activation)
  p = foreground(probabilities(logits, activation), include_background)
  g = foreground(masks, include_background).astype(p.dtype)
  return SoftCounts(class_sum(p * g, valid), class_sum(p, valid), class_sum(g, valid))


def dice_ratio(counts: SoftCounts, smooth: float) -> jax.Array:
  """Returns the soft Dice per class: (2 TP + s) / (2 TP + FP + FN + s).

  Args:
    counts: [B, C] each.
    smooth: s, pixels.

  Raises:
    ValueError: where smooth is not positive.

  Example:
    >>> import jax.numpy as jnp
    >>> dice_ratio(SoftCounts(*jnp.array([[[1.0]], [[2.0]], [[2.0]]])), 1e-5).tolist()
    [[0.5000012516975403]]
  """
  return ratio(2 * counts.overlap, counts.predicted + counts.true, smooth)


def ratio(numerator: jax.Array, denominator: jax.Array, smooth: float) -> jax.Array:
  """Returns (numerator + s) / (denominator + s): 1 where both are 0, with a finite gradient.

  Args:
    numerator: any shape, not negative.
    denominator: the same shape, not negative.
    smooth: s, in the unit of both.

  Raises:
    ValueError: where smooth is not positive and finite.

  Example:
    >>> import jax.numpy as jnp
    >>> ratio(jnp.zeros(1), jnp.array([3.0]), 1.0).tolist()
    [0.25]
  """
  if not 0 < smooth < math.inf:
    raise ValueError(f"smooth: must be finite and > 0, got {smooth}")
  return (numerator + smooth) / (denominator + smooth)
