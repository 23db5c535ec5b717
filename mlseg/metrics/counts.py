"""Exact counts of pixels under jit, from which the ratios of `overlap` are computed."""

import jax
import jax.numpy as jnp


def confusion_counts(
  predictions: jax.Array,
  masks: jax.Array,
  num_classes: int,
  *,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Counts each class's true and false positives and negatives in each image, exactly, under jit.

  Args:
    predictions: [B, H, W] or [B, D, H, W], integer class of each pixel.
    masks: the shape of predictions, integer class of each pixel.
    num_classes: C; static under jit.
    valid: the shape of predictions, nonzero where a pixel counts; None: all count.

  Returns:
    [B, C, 4] int32, pixels: tp, fp, fn, tn.

  Raises:
    ValueError: where the shapes differ or are not as above, or num_classes < 2.

  Example:
    >>> import jax.numpy as jnp
    >>> predictions, masks = jnp.array([[[1, 1], [0, 0]]]), jnp.array([[[1, 0], [1, 0]]])
    >>> confusion_counts(predictions, masks, 2).tolist()
    [[[1, 1, 1, 1], [1, 1, 1, 1]]]
  """
  _check_labels(predictions, masks, num_classes, valid)
  counts = jnp.ones(masks.shape, bool) if valid is None else valid.astype(bool)
  pixels = tuple(range(1, masks.ndim))
  total = counts.sum(axis=pixels, dtype=jnp.int32)

  def count_class(label: int) -> jax.Array:
    predicted = (predictions == label) & counts
    true = (masks == label) & counts
    tp, num_predicted, num_true = (
      region.sum(axis=pixels, dtype=jnp.int32) for region in (predicted & true, predicted, true)
    )
    fp, fn = num_predicted - tp, num_true - tp
    return jnp.stack([tp, fp, fn, total - tp - fp - fn], axis=-1)

  return jnp.stack([count_class(label) for label in range(num_classes)], axis=1)


def confusion_matrix(
  predictions: jax.Array,
  masks: jax.Array,
  num_classes: int,
  *,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Counts the pixels of each true class that have each predicted class, exactly, under jit.

  Args:
    predictions: [B, H, W] or [B, D, H, W], integer class of each pixel.
    masks: the shape of predictions, integer class of each pixel; pixels of no class do not count.
    num_classes: C; static under jit.
    valid: the shape of predictions, nonzero where a pixel counts; None: all count.

  Returns:
    [B, C, C] int32, pixels: true class by predicted class, as in scikit-learn.

  Raises:
    ValueError: where the shapes differ or are not as above, or num_classes < 2.

  Example:
    >>> import jax.numpy as jnp
    >>> predictions, masks = jnp.array([[[1, 1], [0, 0]]]), jnp.array([[[1, 0], [0, 0]]])
    >>> confusion_matrix(predictions, masks, 2).tolist()
    [[[2, 1], [0, 1]]]
  """
  _check_labels(predictions, masks, num_classes, valid)
  counts = jnp.ones(masks.shape, bool) if valid is None else valid.astype(bool)
  pixels, rows = tuple(range(1, masks.ndim)), []
  for label in range(num_classes):
    true = (masks == label) & counts
    cells = [
      (true & (predictions == other)).sum(axis=pixels, dtype=jnp.int32)
      for other in range(num_classes)
    ]
    rows.append(jnp.stack(cells, axis=-1))
  return jnp.stack(rows, axis=1)


def _check_labels(predictions, masks, num_classes, valid) -> None:
  if predictions.ndim not in (3, 4) or predictions.shape != masks.shape:
    raise ValueError(
      "predictions and masks: must both be [B, H, W] or [B, D, H, W], "
      f"got {predictions.shape} and {masks.shape}"
    )
  if valid is not None and valid.shape != masks.shape:
    raise ValueError(f"valid: must have the shape of masks {masks.shape}, got {valid.shape}")
  if num_classes < 2:
    raise ValueError(f"num_classes: must be at least 2, got {num_classes}")
