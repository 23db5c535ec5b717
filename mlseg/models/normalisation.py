"""Batch normalisation and ReLU as one layer, which keeps and reads less memory than the two."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from mlseg.models.materialise import materialised

_AXES = (0, 1, 2)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def normalise_relu(
  images: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns relu(scale (x - mean) / sqrt(var + epsilon) + bias), and mean and var of the batch.

  The way back keeps the images alone: the normalised ones, and where the ReLU is active, follow
  from them in the passes that there are anyway.

  Args:
    images: [B, H, W, C], any floating dtype, sharded over devices or not.
    scale: [C] float32.
    bias: [C] float32.
    epsilon: added to the variance.

  Returns:
    [B, H, W, C] in the dtype of the images, and mean and variance [C] float32, through which no
    gradient goes back.
  """
  return _forward(images, scale, bias, epsilon)[0]


def _forward(images, scale, bias, epsilon):
  wide = images.astype(jnp.float32)
  mean = wide.mean(_AXES)
  # Two sums over the same pass; never negative but by rounding.
  var = jnp.maximum(jnp.square(wide).mean(_AXES) - jnp.square(mean), 0)
  inverse = lax.rsqrt(var + epsilon)
  factor = scale * inverse
  out = scaled_relu(images, factor, bias - mean * factor)
  return (out, mean, var), (images, mean, inverse, scale, bias)


def _backward(epsilon, residuals, cotangents):
  del epsilon
  images, mean, inverse, scale, bias = residuals
  factor = scale * inverse
  wide = images.astype(jnp.float32)
  active = wide * factor + (bias - mean * factor) > 0
  gradient = jnp.where(active, cotangents[0].astype(jnp.float32), 0)
  bias_gradient = gradient.sum(_AXES)
  scale_gradient = inverse * (gradient * (wide - mean)).sum(_AXES)
  # factor (g - mean of g - x̂ mean of g x̂), as a polynomial of g and x.
  count = images.size // images.shape[-1]
  slope = -factor * inverse * scale_gradient / count
  offset = -factor * bias_gradient / count - slope * mean
  images_gradient = factor * gradient + slope * wide + offset
  images_gradient = materialised(images_gradient.astype(images.dtype))
  return images_gradient, scale_gradient, bias_gradient


normalise_relu.defvjp(_forward, _backward)


def scaled_relu(images: jax.Array, factor: jax.Array, offset: jax.Array) -> jax.Array:
  """Returns relu(factor x + offset), computed in float32, in the dtype of the images."""
  return nn.relu(images.astype(jnp.float32) * factor + offset).astype(images.dtype)


class BatchNorm(nn.Module):
  """Batch normalisation with the variables of `flax.linen.BatchNorm`, and ReLU.

  The statistics are those of the whole batch, over all devices that hold a part of it.

  Attributes:
    momentum: share of the old value in the running statistics.
    epsilon: added to the variance.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    shape = images.shape[-1:]
    scale = self.param("scale", nn.initializers.ones, shape)
    bias = self.param("bias", nn.initializers.zeros, shape)
    mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
    var = self.variable("batch_stats", "var", jnp.ones, shape)
    if not train:
      factor = scale * lax.rsqrt(var.value + self.epsilon)
      return scaled_relu(images, factor, bias - mean.value * factor)
    out, batch_mean, batch_var = normalise_relu(images, scale, bias, self.epsilon)
    if not self.is_initializing():
      for old, new in ((mean, batch_mean), (var, batch_var)):
        old.value = self.momentum * old.value + (1 - self.momentum) * new
    return out
