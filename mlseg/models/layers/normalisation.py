"""Batch normalisation and its activation as one layer, which stores and reads less memory.

The activation is ReLU, another clip such as ReLU6, or none. `ClippedBatchNorm` also has the options
that pretrained networks need: frozen statistics, and the unbiased variance of PyTorch.
"""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from mlseg.models.layers.convolution import materialised

_AXES = (0, 1, 2)
Bounds = tuple[float, float]
RELU = (0.0, math.inf)
RELU6 = (0.0, 6.0)
LINEAR = (-math.inf, math.inf)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def normalise_clip(
  images: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float, bounds: Bounds
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Returns clip(scale (x - mean) / sqrt(var + epsilon) + bias), and mean and var of the batch.

  For the backward pass only the images are kept; the normalised images and the mask of the clip are
  recomputed from them, in passes over the images that are needed anyway.

  Args:
    images: [B, H, W, C], any floating dtype, sharded over devices or not.
    scale: [C] float32.
    bias: [C] float32.
    epsilon: added to the variance.
    bounds: (lowest, highest) value of the result; where it reaches them the gradient is zero.

  Returns:
    [B, H, W, C] in the dtype of the images, and mean and variance [C] float32, which have no
    gradient.
  """
  return _forward(images, scale, bias, epsilon, bounds)[0]


def _forward(images, scale, bias, epsilon, bounds):
  wide = images.astype(jnp.float32)
  mean = wide.mean(_AXES)
  # E[x²] - E[x]² takes one pass; only rounding can make it negative.
  var = jnp.maximum(jnp.square(wide).mean(_AXES) - jnp.square(mean), 0)
  inverse = lax.rsqrt(var + epsilon)
  factor = scale * inverse
  out = scaled_clip(images, factor, bias - mean * factor, bounds)
  return (out, mean, var), (images, mean, inverse, scale, bias)


def _backward(epsilon, bounds, residuals, cotangents):
  del epsilon
  images, mean, inverse, scale, bias = residuals
  factor = scale * inverse
  wide = images.astype(jnp.float32)
  gradient = cotangents[0].astype(jnp.float32)
  normalised = wide * factor + (bias - mean * factor)
  if bounds[0] > -math.inf:
    gradient = jnp.where(normalised > bounds[0], gradient, 0)
  if bounds[1] < math.inf:
    gradient = jnp.where(normalised < bounds[1], gradient, 0)
  bias_gradient = gradient.sum(_AXES)
  scale_gradient = inverse * (gradient * (wide - mean)).sum(_AXES)
  # factor (g - mean of g - x̂ mean of g x̂), written as a linear function of g and x.
  count = images.size // images.shape[-1]
  slope = -factor * inverse * scale_gradient / count
  offset = -factor * bias_gradient / count - slope * mean
  images_gradient = factor * gradient + slope * wide + offset
  images_gradient = materialised(images_gradient.astype(images.dtype))
  return images_gradient, scale_gradient, bias_gradient


normalise_clip.defvjp(_forward, _backward)


def scaled_clip(
  images: jax.Array, factor: jax.Array, offset: jax.Array, bounds: Bounds
) -> jax.Array:
  """Returns clip(factor x + offset), computed in float32 and cast to the dtype of the images."""
  out = images.astype(jnp.float32) * factor + offset
  if bounds == RELU:  # only convolutions read it, and they write their arguments to memory anyway
    return nn.relu(out).astype(images.dtype)
  if bounds != LINEAR:
    out = jnp.clip(out, *bounds)
  return materialised(out.astype(images.dtype))


class ClippedBatchNorm(nn.Module):
  """Batch normalisation with the variables of `flax.linen.BatchNorm`, followed by a clip.

  The statistics are those of the whole batch, over all devices that hold a part of it.

  Attributes:
    bounds: what the result is clipped to: `RELU`, `RELU6` or `LINEAR`.
    momentum: share of the old value in the running statistics.
    epsilon: added to the variance.
    unbiased: whether the batch's variance enters the running variance with the divisor n - 1, as in
      PyTorch, instead of n, as in Keras. The normalisation itself always divides by n.
    frozen: whether training too normalises with the running statistics, and leaves them unchanged;
      scale and bias are still trained.
  """

  bounds: Bounds
  momentum: float = 0.9
  epsilon: float = 1e-5
  unbiased: bool = False
  frozen: bool = False

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    shape = images.shape[-1:]
    scale = self.param("scale", nn.initializers.ones, shape)
    bias = self.param("bias", nn.initializers.zeros, shape)
    mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
    var = self.variable("batch_stats", "var", jnp.ones, shape)
    if self.frozen or not train:
      factor = scale * lax.rsqrt(var.value + self.epsilon)
      return scaled_clip(images, factor, bias - mean.value * factor, self.bounds)
    out, batch_mean, batch_var = normalise_clip(images, scale, bias, self.epsilon, self.bounds)
    if self.unbiased:
      count = images.size // images.shape[-1]
      batch_var *= count / max(count - 1, 1)
    if not self.is_initializing():
      for old, new in ((mean, batch_mean), (var, batch_var)):
        old.value = self.momentum * old.value + (1 - self.momentum) * new
    return out


class BatchNorm(ClippedBatchNorm):
  """Batch normalisation followed by ReLU."""

  bounds: Bounds = RELU
