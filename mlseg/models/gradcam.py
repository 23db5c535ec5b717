"""Where a head of classes looks: Grad-CAM and Grad-CAM++."""

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
  """Returns how much each place of the features speaks for a class: L = ReLU(sum_k α_k A_k).

  With the gradient g_k = ∂y/∂A_k of the class's score y, α_k is

  - 'gradcam': the mean of g_k over the places (Selvaraju et al. 2017, eq. 1 and 2);
  - 'gradcam++': the sum over the places of w ReLU(g_k), with
    w = g_k² / (2 g_k² + sum_ab A_k,ab g_k³), 0 where g_k is 0 (Chattopadhyay et al. 2018, eq. 5
    and 19, for exp(y): its derivatives are powers of g_k).

  Args:
    head: `head(features) -> [B, L]`, each example by itself.
    features: A, [B, h, w, F].
    labels: [B], whose score is explained.
    method: one of METHODS.

  Returns:
    [B, h, w] float32, at least 0, in the units of the score; see `normalised`.

  Raises:
    UserError: an unknown method.

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
  """Returns maps at an image's size, the largest value of each 1; a map of zeros stays one.

  Args:
    maps: [B, h, w], at least 0.
    size: height and width of the images, pixels.
    slices: of a volume, one below the other; each is interpolated by itself.

  Returns:
    [B, height, width] float32 in [0, 1], interpolated bilinearly.
  """
  batch, height, width = maps.shape
  each = maps.reshape(batch * slices, height // slices, width)
  large = jax.image.resize(each, (batch * slices, size[0] // slices, size[1]), "bilinear")
  large = large.reshape(batch, *size)
  return large / jnp.maximum(large.max((1, 2), keepdims=True), jnp.finfo(jnp.float32).tiny)
