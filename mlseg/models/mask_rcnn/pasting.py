"""Pastes the masks of single objects into one map of the image."""

import jax
import jax.numpy as jnp

from mlseg.models.mask_rcnn.detections import MaskScores

_LEAST = 1e-6  # smallest probability whose logarithm is taken


def semantic_logits(
  masks: MaskScores, image_size: tuple[int, int], score_power: float = 1.0
) -> jax.Array:
  """Returns a score per pixel and class from the objects found, [B, H, W, C] float32.

    p_c(x) = max_{objects of class c} score^a · mask probability(x),  p_0(x) = 1 - max_c p_c(x)

  and the logits are log p. So a class is the most likely one where its p is above one half, and
  with two classes the softmax of the logits is p itself.

  Args:
    masks: the outputs of the mask head in evaluation.
    image_size: H and W.
    score_power: a. With a = 1, an object with a low score stays background. With a = 0 every object
      that was found counts fully, as if its mask were thresholded at one half.
  """
  num_others = masks.logits.shape[-1]
  classes = jnp.arange(1, num_others + 1, dtype=masks.classes.dtype)
  one_hot = (masks.classes[..., None] == classes).astype(masks.logits.dtype)  # [B, K, C - 1]
  probabilities = jax.nn.sigmoid(jnp.einsum("bkmnc,bkc->bkmn", masks.logits, one_hot))
  weights = masks.valid * masks.scores**score_power
  images = paste(probabilities, masks.boxes, image_size) * weights[..., None, None]
  per_class = [(images * one_hot[..., c, None, None]).max(axis=1) for c in range(num_others)]
  objects = jnp.stack(per_class, axis=-1)
  background = 1 - objects.max(axis=-1, keepdims=True)
  return jnp.log(jnp.maximum(jnp.concatenate([background, objects], axis=-1), _LEAST))


def paste(masks: jax.Array, boxes: jax.Array, image_size: tuple[int, int]) -> jax.Array:
  """Returns each mask stretched to its box by bilinear interpolation, and 0 outside the box.

  Args:
    masks: [B, K, M, M].
    boxes: [B, K, 4].
    image_size: H and W.

  Returns:
    [B, K, H, W]; a pixel is inside the box if its centre is.

  Example:
    >>> mask = jnp.array([[0.0, 1.0], [0.0, 1.0]])[None, None]
    >>> paste(mask, jnp.array([[[1.0, 0.0, 2.0, 4.0]]]), (2, 5)).squeeze().tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.25, 0.75, 1.0, 0.0]]
  """
  rows = _weights(boxes[..., 0], boxes[..., 2], image_size[0], masks.shape[-2])
  columns = _weights(boxes[..., 1], boxes[..., 3], image_size[1], masks.shape[-1])
  bands = jnp.einsum("bkhm,bkmn->bkhn", rows, masks)
  return jnp.einsum("bkhn,bkwn->bkhw", bands, columns)


def _weights(start: jax.Array, end: jax.Array, length: int, size: int) -> jax.Array:
  """Returns the weight of each cell of a mask at each pixel of an axis, [B, K, length, size]."""
  centres = jnp.arange(length) + 0.5
  extent = jnp.maximum(end - start, jnp.finfo(end.dtype).tiny)[..., None]
  inside = (centres > start[..., None]) & (centres < end[..., None])
  points = jnp.where(inside, (centres - start[..., None]) / extent, 0) * size - 0.5
  points = jnp.clip(points, 0, size - 1)
  weights = jnp.maximum(1 - jnp.abs(points[..., None] - jnp.arange(size)), 0)
  return jnp.where(inside[..., None], weights, 0)
