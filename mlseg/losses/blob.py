"""The blob loss: any loss again for each connected region, so that small ones count like large."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage


def label_blobs(masks: np.ndarray) -> np.ndarray:
  """Returns the blobs of masks: the connected regions of each class but class 0.

  It runs on the host, before training or while a batch is made.

  Args:
    masks: [B, ..., C], one-hot; pixels that touch at a corner are connected.

  Returns:
    [B, ...] int32, the blob of each pixel, 1, 2, ... in each image; 0: none.

  Example:
    >>> label_blobs(np.eye(3)[np.array([[[1, 1, 0, 1, 2]]])]).tolist()
    [[[1, 1, 0, 2, 3]]]
  """
  masks = np.asarray(masks) > 0.5
  structure = np.ones((3,) * (masks.ndim - 2))
  blobs = np.zeros(masks.shape[:-1], np.int32)
  for image, mask in zip(blobs, masks, strict=True):
    for c in range(1, mask.shape[-1]):
      labels, _ = ndimage.label(mask[..., c], structure)
      image[...] = np.where(labels > 0, labels + image.max(), image)
  return blobs


def blob(
  loss: Callable[..., jax.Array], *, max_blobs: int = 32, alpha: float = 2.0, beta: float = 1.0
) -> Callable[..., jax.Array]:
  """Returns a loss that is taken again for each blob: alpha L(image) + beta (1/n) sum_b L(blob b).

  L(blob b) is the loss of the image without the pixels of the other blobs. So each of the n blobs
  of an image counts the same, whatever its size.

  Source: Kofler et al., blob loss: instance imbalance aware loss functions for semantic
    segmentation, IPMI 2023 (arXiv 2205.08209), with its alpha and beta. There, probabilities and
    masks are 0 in other blobs; here, other blobs do not count, which is the same for Dice.

  Args:
    loss: f(logits [B, ..., C], masks [B, ..., C], *, valid) -> [B], any loss of this package.
    max_blobs: blobs of an image that have a loss of their own; the loss is computed as often, so it
      is best about the largest number. Further blobs count in L(image) alone.
    alpha: the weight of the loss of the whole image.
    beta: the weight of the mean over blobs, which is 0 without blobs.

  Returns:
    f(logits, masks, *, components, valid=None) -> [B], where components [B, ...] are integers, the
    blob of each pixel, from `label_blobs`.

  Raises:
    ValueError: where max_blobs is below 1, or alpha or beta is negative or not finite; when the
      result is called: where components do not have the shape of the pixels.

  Example:
    >>> import functools
    >>> from mlseg.losses import soft_dice
    >>> masks = jnp.eye(2)[jnp.array([[[1, 1, 1, 0, 1]]])]
    >>> found = jnp.eye(2)[jnp.array([[[1, 1, 1, 0, 0]]])]  # the large blob alone
    >>> components = jnp.array(label_blobs(masks))
    >>> loss = blob(functools.partial(soft_dice, include_background=False), alpha=0.0)
    >>> print(f"{loss(100 * found, masks, components=components)[0]:.3f}")  # (0 + 1) / 2
    0.500
  """
  if max_blobs < 1:
    raise ValueError(f"max_blobs: must be >= 1, got {max_blobs}")
  for name, value in (("alpha", alpha), ("beta", beta)):
    if not 0 <= value < float("inf"):
      raise ValueError(f"{name}: must be finite and >= 0, got {value}")

  def of_blobs(
    logits: jax.Array,
    masks: jax.Array,
    *,
    components: jax.Array,
    valid: jax.Array | None = None,
  ) -> jax.Array:
    if components.shape != logits.shape[:-1]:
      rule = f"must be [B, ...] = {logits.shape[:-1]}"
      raise ValueError(f"components: {rule}, got {components.shape}")
    counts = jnp.ones(components.shape, bool) if valid is None else valid

    @jax.checkpoint  # so that one blob's values at a time are in memory
    def of_blob(b: jax.Array) -> tuple[jax.Array, jax.Array]:
      keep = (components == 0) | (components == b)
      value = loss(logits, masks, valid=jnp.where(keep, counts, jnp.zeros((), counts.dtype)))
      there = ((components == b) & counts.astype(bool)).any(axis=tuple(range(1, components.ndim)))
      return jnp.where(there, value, 0), there

    values, there = jax.lax.map(of_blob, jnp.arange(1, max_blobs + 1, dtype=components.dtype))
    count = jnp.maximum(there.sum(axis=0), 1).astype(values.dtype)
    return alpha * loss(logits, masks, valid=valid) + beta * values.sum(axis=0) / count

  return of_blobs
