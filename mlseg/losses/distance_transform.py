"""The exact Euclidean distance transform under jit."""

import jax
import jax.numpy as jnp


def distance_to(region: jax.Array) -> jax.Array:
  """Returns the distance of each pixel from the nearest pixel of a region: min_q |p - q|.

  It is exact, and takes two passes: first the distance along the columns, then for each row the
  lower envelope min_k (j - k)^2 + d_k^2, with W comparisons per pixel.

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


@jax.jit  # so that a call outside of jit does not compile the loop again
def _squared_distances(region: jax.Array) -> jax.Array:
  height, width = region.shape[-2:]
  far = height + width  # its square is still exact in float32
  before = (1,) * (region.ndim - 2)
  rows = jnp.arange(height, dtype=jnp.int32).reshape(*before, height, 1)
  above = jax.lax.cummax(jnp.where(region, rows, -far), axis=region.ndim - 2)
  below = jax.lax.cummin(jnp.where(region, rows, far + height), axis=region.ndim - 2, reverse=True)
  along = jnp.minimum(jnp.minimum(rows - above, below - rows), far).astype(float) ** 2
  columns = jnp.arange(width, dtype=float).reshape(*before, 1, width)

  def include(k: jax.Array, squared: jax.Array) -> jax.Array:
    column = jax.lax.dynamic_slice_in_dim(along, k, 1, axis=-1)
    return jnp.minimum(squared, column + (columns - k.astype(float)) ** 2)

  # A loop, because a minimum over [..., H, W, W] might be stored in memory as a whole.
  return jax.lax.fori_loop(0, width, include, along)


def signed_distances(masks: jax.Array, valid: jax.Array | None = None) -> jax.Array:
  """Returns the signed distance to the boundary of each class, negative inside its region.

  Outside the region it is the distance to the region; inside it is 1 minus the distance to the
  other pixels. So it is 0 on the outermost pixels of the region, as in Kervadec et al. It is 0
  everywhere for a class without pixels, or with all of them.

  Args:
    masks: [B, H, W, C], zeros and ones.
    valid: [B, H, W], nonzero where a pixel counts; the others are neither inside nor outside of a
      class. None: all count.

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
  """Returns the distance of each pixel from the other side of a class's boundary, at least 1.

  Args:
    masks: [B, H, W, C], zeros and ones.
    valid: as for `signed_distances`.

  Returns:
    [B, H, W, C], pixels; 0 everywhere for a class without pixels, or with all of them.

  Example:
    >>> import jax.numpy as jnp
    >>> boundary_distances(jnp.array([0.0, 1, 1, 1, 0]).reshape([1, 1, 5, 1])).ravel().tolist()
    [1.0, 1.0, 2.0, 1.0, 1.0]
  """
  inside, outside = regions(masks, valid)
  distances = distance_to(inside) + distance_to(outside)
  return jnp.moveaxis(jnp.where(_has_boundary(inside, outside), distances, 0), 1, -1)


def regions(masks: jax.Array, valid: jax.Array | None) -> tuple[jax.Array, jax.Array]:
  """Returns the valid pixels inside and outside of each class, two arrays [B, C, H, W] bool.

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
