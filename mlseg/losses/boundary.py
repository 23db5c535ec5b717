"""Losses on the distance between boundaries."""

import math

import jax

from mlseg.losses.distance_transform import boundary_distances, signed_distances
from mlseg.losses.probabilities import (
  Activation,
  check_shapes,
  foreground,
  power,
  probabilities,
)
from mlseg.losses.reduction import pixel_mean


def boundary(
  logits: jax.Array,
  masks: jax.Array,
  *,
  distances: jax.Array | None = None,
  activation: Activation = "softmax",
  include_background: bool = False,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the boundary loss: the mean over classes of (1/N) sum_i phi_ic p_ic.

  phi is the signed distance to the true boundary, negative inside, so that the sum approximates the
  integral over the region between the two boundaries. The loss can be negative, and ignores classes
  that are not in an image. So combine it with a loss of regions, such as `generalized_dice`, and
  let its weight grow during training.

  Source: Kervadec et al., Boundary loss for highly unbalanced segmentation, MIDL 2019, with the
    authors' distance maps (0 on the outermost pixels of a region).

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
    distances: [B, ..., C], phi, any real dtype, computed before training; None: computed here from
      the masks; pixels that are not valid then belong to no class.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; None: all count.

  Returns:
    [B], in pixels (or the unit of the distances); negative where the prediction is good.

  Raises:
    ValueError: where the shapes do not fit together, or an option is unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.eye(2)[jnp.array([[[0, 0, 1, 1, 1]]])]
    >>> print(f"{boundary(100 * masks, masks)[0]:.1f}, {boundary(-100 * masks, masks)[0]:.1f}")
    -0.6, 0.6
  """
  check_shapes(logits, masks, valid, activation)
  if distances is None:
    distances = signed_distances(foreground(masks, include_background), valid)
  elif distances.shape != logits.shape:
    raise ValueError(
      f"distances: must have the shape of logits {logits.shape}, got {distances.shape}"
    )
  else:
    distances = foreground(distances, include_background)
  p = foreground(probabilities(logits, activation), include_background)
  return pixel_mean((jax.lax.stop_gradient(distances).astype(p.dtype) * p).mean(axis=-1), valid)


def hausdorff_distance_transform(
  logits: jax.Array,
  masks: jax.Array,
  *,
  alpha: float = 2.0,
  activation: Activation = "softmax",
  include_background: bool = False,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns the Hausdorff loss: the mean over classes of (1/N) sum_i (p - g)^2 (d_p^a + d_g^a).

  d_p and d_g are the distances to the boundary of the prediction, thresholded at 1/2, and of the
  truth. They are constants of the derivative, and are computed in the same program. The loss grows
  with the area of the image, so it needs a small weight, or a weighting that adapts.

  Source: Karimi & Salcudean, Reducing the Hausdorff distance in medical image segmentation with
    convolutional neural networks, IEEE TMI 39 (2020), the loss from distance transforms with
    its recommended alpha = 2.

  Args:
    logits: [B, ..., C], any floating dtype.
    masks: [B, ..., C], one-hot; with 'sigmoid' any zeros and ones.
    alpha: the exponent of the distances.
    activation: 'softmax' or 'sigmoid'.
    include_background: whether class 0 is part of the mean.
    valid: [B, ...], whether a pixel counts, or its weight; the boundaries are those of the valid
      pixels. None: all count.

  Returns:
    [B], in pixels to the power alpha. A class without pixels, or with all of them, has no boundary,
    and the distance to it is 0.

  Raises:
    ValueError: where the shapes do not fit together, alpha is not positive, or an option is
      unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> masks = jnp.eye(2)[jnp.array([[[0, 0, 1, 1]]])]
    >>> shifted = jnp.eye(2)[jnp.array([[[0, 1, 1, 1]]])]
    >>> hausdorff_distance_transform(100 * shifted, masks).tolist()  # one pixel, distances 1 and 1
    [0.5]
  """
  check_shapes(logits, masks, valid, activation)
  if not 0 < alpha < math.inf:
    raise ValueError(f"alpha: must be finite and > 0, got {alpha}")
  p = foreground(probabilities(logits, activation), include_background)
  g = foreground(masks, include_background).astype(p.dtype)
  constant = jax.lax.stop_gradient(p)
  of_p, of_g = (power(boundary_distances(x, valid), alpha).astype(p.dtype) for x in (constant, g))
  return pixel_mean(((p - g) ** 2 * (of_p + of_g)).mean(axis=-1), valid)
