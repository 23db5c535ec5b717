"""One-hot masks, as the losses read them, from label maps."""

import jax
import jax.numpy as jnp


def one_hot_masks(
  labels: jax.Array, num_classes: int, ignore_index: int | None = None
) -> tuple[jax.Array, jax.Array]:
  """Returns the one-hot masks of a label map, and which pixels count.

  Args:
    labels: [B, ...], integers.
    num_classes: C.
    ignore_index: the label of pixels that do not count, often 255; None: all count.

  Returns:
    Masks [B, ..., C] float32, and valid [B, ...] bool.

  Raises:
    ValueError: where ignore_index is a class.

  Example:
    >>> import jax.numpy as jnp
    >>> masks, valid = one_hot_masks(jnp.array([[[0, 1, 255]]]), 2, ignore_index=255)
    >>> masks[0, 0].tolist(), valid[0, 0].tolist()
    ([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [True, True, False])
  """
  if ignore_index is not None and 0 <= ignore_index < num_classes:
    raise ValueError(f"ignore_index: must not be one of {num_classes} classes, got {ignore_index}")
  valid = jnp.ones(labels.shape, bool) if ignore_index is None else labels != ignore_index
  return jax.nn.one_hot(labels, num_classes) * valid[..., None], valid
