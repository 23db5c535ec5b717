"""The exact Euclidean distance transform, inside a compiled program."""

import jax
import jax.numpy as jnp


def distance_to(region: jax.Array) -> jax.Array:
  """Returns how far each pixel is from the nearest pixel of a region: min_q |p - q|.

  Exact, in two passes: the distance along the columns, then for each row the lower envelope
  min_k (j - k)^2 + d_k^2, at W comparisons per pixel.

  Source: Saito & Toriwaki, Pattern Recognition 27 (1994), the separable form.

  Args:
    region: [..., H, W], true in the region.

  Returns:
    [..., H, W], pixels; 0 in the region, and everywhere where the region is empty.

  Example:
    >>> import jax.numpy as jnp
    >>> distance_to(jnp.array([[True, False, False], [False, False, False]])).round(2).tolist()
    [[0.0, 1.0, 2.0], [1.0, 1.409999966621399, 2.240000009536743]]
  """
  any_pixel = region.any(axis=(-2, -1), keepdims=True)
  return jnp.where(any_pixel, jnp.sqrt(_squared_distances(region)), 0)


@jax.jit  # so that a call outside of a program does not compile the loop anew
def _squared_distances(region: jax.Array) -> jax.Array:
  height, width = region.shape[-2:]
  far = height + width  # its square is still exact in float32
  rows = jnp.arange(height, dtype=jnp.int32)[:, None]
  above = jax.lax.cummax(jnp.where(region, rows, -far), axis=region.ndim - 2)
  below = jax.lax.cummin(jnp.where(region, rows, far + height), axis=region.ndim - 2, reverse=True)
  along = jnp.minimum(jnp.minimum(rows - above, below - rows), far).astype(float) ** 2
  columns = jnp.arange(width, dtype=float)

  def include(k: jax.Array, squared: jax.Array) -> jax.Array:
    column = jax.lax.dynamic_slice_in_dim(along, k, 1, axis=-1)
    return jnp.minimum(squared, column + (columns - k.astype(float)) ** 2)

  # A loop, because one minimum over [..., H, W, W] may be held in memory as a whole.
  return jax.lax.fori_loop(0, width, include, along)


def signed_distances(masks: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns each class's signed distance: to its region outside, one less to the rest inside.

  So it is 0 on the outermost pixels of the region, negative further in, positive outside, as in
  Kervadec et al.; 0 everywhere for a class that has no pixel, or all of them.

  Args:
    masks: [B, H, W, C], zeros and ones.
    valid: [B, H, W], nonzero where a pixel counts; the others belong neither to a class nor to the
      rest. None: all count.

  Returns:
    [B, H, W, C], pixels.

  Example:
    >>> import jax.numpy as jnp
    >>> signed_distances(jnp.array([0.0, 1, 1, 1, 0]).reshape([1, 1, 5, 1])).ravel().tolist()
    [1.0, 0.0, -1.0, 0.0, 1.0]
  """
  inside, outside = regions(masks, valid)
  distances = distance_to(inside) - jnp.where(inside, distance_to(outside) - 1, 0)
  return jnp.moveaxis(jnp.where(_has_boundary(inside, outside), distances, 0), 1, -1)


def boundary_distances(masks: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns how far each pixel is from the other side of a class's boundary, at least 1.

  Args:
    masks: [B, H, W, C], zeros and ones.
    valid: as for `signed_distances`.

  Returns:
    [B, H, W, C], pixels; 0 everywhere for a class that has no pixel, or all of them.

  Example:
    >>> import jax.numpy as jnp
    >>> boundary_distances(jnp.array([0.0, 1, 1, 1, 0]).reshape([1, 1, 5, 1])).ravel().tolist()
    [1.0, 1.0, 2.0, 1.0, 1.0]
  """
  inside, outside = regions(masks, valid)
  distances = distance_to(inside) + distance_to(outside)
  return jnp.moveaxis(jnp.where(_has_boundary(inside, outside), distances, 0), 1, -1)


def regions(masks: jax.Array, valid: jax.Array | None) -> tuple[jax.Array, jax.Array]:
  """Returns the valid pixels in each class and those outside of it, [B, C, H, W] bool each.

  Args:
    masks: [B, H, W, C]; a pixel is in the class where its value is above 1/2.
    valid: [B, H, W], nonzero where a pixel counts; None: all count.

  Example:
    >>> import jax.numpy as jnp
    >>> inside, outside = regions(jnp.ones([1, 1, 2, 1]), jnp.array([[[1, 0]]]))
    >>> inside.tolist(), outside.tolist()
    ([[[[True, False]]]], [[[[False, False]]]])
  """
  inside = jnp.moveaxis(masks.astype(float) > 0.5, -1, 1)
  if valid is None:
    return inside, ~inside
  counts = valid.astype(bool)[:, None]
  return inside & counts, ~inside & counts


def _has_boundary(inside: jax.Array, outside: jax.Array) -> jax.Array:
  pixels = (-2, -1)
  return inside.any(pixels, keepdims=True) & outside.any(pixels, keepdims=True)
