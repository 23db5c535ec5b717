"""The convolutions of VGG16; the network takes the weights of Keras and torchvision.

Reference: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", ICLR 2015, configuration D.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mlseg.models.encoders.convention import CAFFE, TORCHVISION, convention_of, prepare
from mlseg.models.layers import blocks, pooling

FILTERS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # per stage: filters, convolutions


class VGG16(nn.Module):
  """Maps images [B, H, W, 1 or 3] in [0, 1] to features, finest first.

  The features are the outputs of the five blocks before pooling, at strides 1, 2, 4, 8 and 16 with
  64, 128, 256, 512 and 512 channels, and the last of them after pooling, at stride 32. Sizes round
  down. The parameters are those of Keras's and torchvision's VGG16 without its three dense layers,
  in 'stage_0' to 'stage_4'.

  Attributes:
    convention: 'keras' (blue first, 0 to 255 with the means subtracted) or 'torchvision' (red
      first, means subtracted, divided by standard deviations): the library that the weights come
      from.
    dtype: type of the computation; the parameters are float32.

  Example:
    >>> shape = jax.ShapeDtypeStruct((2, 64, 48, 3), jnp.float32)
    >>> encoder = VGG16()
    >>> features, _ = jax.eval_shape(
    ...   lambda x: encoder.init_with_output(jax.random.key(0), x, False), shape
    ... )
    >>> [f.shape[1:] for f in features]
    [(64, 48, 64), (32, 24, 128), (16, 12, 256), (8, 6, 512), (4, 3, 512), (2, 1, 512)]
  """

  convention: str = "keras"
  dtype: jnp.dtype = jnp.float32

  @property
  def strides(self) -> tuple[int, ...]:
    """Returns, for each of the features, how many pixels of the image one of theirs spans."""
    return 1, 2, 4, 8, 16, 32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> tuple[jax.Array, ...]:
    convention_of(self.convention)
    inputs = CAFFE if self.convention == "keras" else TORCHVISION
    activations = prepare(images, inputs).astype(self.dtype)
    features = []
    for index, (filters, count) in enumerate(FILTERS):
      stage = _Stage(filters, count, self.dtype, name=f"stage_{index}")
      features.append(stage(activations))
      activations = _pool(features[-1])
    return (*features, activations)


class _Stage(nn.Module):
  """Convolutions with bias and ReLU, all with the same number of filters."""

  filters: int
  count: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, activations: jax.Array) -> jax.Array:
    for index in range(self.count):
      name = f"conv_{index + 1}"
      conv = blocks.Conv(self.filters, use_bias=True, dtype=self.dtype, name=name)
      activations = nn.relu(conv(activations))
    return activations


def _pool(activations: jax.Array) -> jax.Array:
  """Returns the maxima of 2×2 windows; the last row or column of an odd size is dropped."""
  height, width = (size // 2 * 2 for size in activations.shape[1:3])
  return pooling.max_pool(activations[:, :height, :width])
