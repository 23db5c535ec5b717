"""Saliency maps of a classification head: Grad-CAM and Grad-CAM++."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mlseg.errors import unknown

METHODS = ("gradcam", "gradcam++")


def saliency(
  head: Callable[[jax.Array], jax.Array],
  features: jax.Array,
  labels: jax.Array,
  method: str = "gradcam",
) -> jax.Array:
  """Returns the saliency map of a class, at the size of the features: L = ReLU(sum_k α_k A_k).

  A_k is channel k of the features. With the gradient g_k = ∂y/∂A_k of the class's score y, α_k is

  - 'gradcam': the mean of g_k over positions (Selvaraju et al. 2017, eq. 1 and 2);
  - 'gradcam++': the sum over positions of w ReLU(g_k), with
    w = g_k² / (2 g_k² + sum_ab A_k,ab g_k³), 0 where g_k is 0 (Chattopadhyay et al. 2018, eq. 5
    and 19, for exp(y), whose derivatives are powers of g_k).

  Args:
    head: the classification head, `head(features) -> [B, L]`, which treats each example alone.
    features: A, [B, h, w, F].
    labels: the class to explain, [B] integers.
    method: one of METHODS.

  Returns:
    [B, h, w] float32, at least 0, in the units of the score; `normalised` brings it to [0, 1].

  Raises:
    UserError: the method is unknown.

  References: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
  Localization", ICCV 2017; Chattopadhyay et al., "Grad-CAM++: Improved Visual Explanations for Deep
  Convolutional Networks", WACV 2018.

  Example:
    >>> features = jnp.array([[[[1.0, 2.0], [3.0, 0.0]]]])
    >>> weights = jnp.array([[1.0], [-1.0]])
    >>> saliency(lambda a: a.mean((1, 2)) @ weights, features, jnp.array([0])).tolist()
    [[[0.0, 1.5]]]
  """
  if method not in METHODS:
    raise unknown("saliency", method, METHODS)
  features = features.astype(jnp.float32)

  def score(values: jax.Array) -> jax.Array:
    return jnp.take_along_axis(head(values), labels[:, None], axis=1).sum()

  gradients = jax.grad(score)(features)
  if method == "gradcam":
    weights = gradients.mean((1, 2))
  else:
    squares = gradients**2
    totals = features.sum((1, 2), keepdims=True)
    below = 2 * squares + totals * gradients**3
    parts = jnp.where(below != 0, squares / jnp.where(below != 0, below, 1), 0)
    weights = (parts * jax.nn.relu(gradients)).sum((1, 2))
  return jax.nn.relu(jnp.einsum("bhwf,bf->bhw", features, weights))


def normalised(maps: jax.Array, size: tuple[int, ...], slices: int = 1) -> jax.Array:
  """Returns saliency maps at the size of the image, scaled so that the largest value of each is 1.

  A map of zeros stays a map of zeros.

  Args:
    maps: [B, h, w], at least 0.
    size: height and width of the images, pixels.
    slices: number of slices of a volume, which lie one below the other; each slice is interpolated
      alone.

  Returns:
    [B, height, width] float32 in [0, 1], interpolated bilinearly.
  """
  batch, height, width = maps.shape
  each = maps.reshape(batch * slices, height // slices, width)
  large = jax.image.resize(each, (batch * slices, size[0] // slices, size[1]), "bilinear")
  large = large.reshape(batch, *size)
  return large / jnp.maximum(large.max((1, 2), keepdims=True), jnp.finfo(jnp.float32).tiny)
