"""How libraries build the same network differently; weights of one need its choices."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.errors import unknown


class Convention(NamedTuple):
  """The choices that a network must share with the one that its weights were trained in."""

  symmetric_padding: bool  # how convolutions of stride 2 are padded, see `strided.stride_padding`
  epsilon: float  # added to the variance in batch normalisation
  momentum: float  # share of the old value in the running statistics
  unbiased_variance: bool  # whether the running variance divides by n - 1 instead of n


CONVENTIONS = {
  "keras": Convention(False, 1e-3, 0.999, False),
  "torchvision": Convention(True, 1e-5, 0.9, True),
  "tensorflow": Convention(False, 1e-3, 0.99, True),
}


class Inputs(NamedTuple):
  """How a network's input is made from images in [0, 1]: (x - mean) / std, per channel.

  `blue_first` tells whether the channels are in the order blue, green, red; mean and std are in the
  order of the network's channels.
  """

  mean: tuple[float, float, float]
  std: tuple[float, float, float]
  blue_first: bool = False


# Means and standard deviations of ImageNet. Keras's VGG16 takes values of 0 to 255 with the mean
# subtracted, without division by a standard deviation.
TORCHVISION = Inputs((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = Inputs((103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255,) * 3, blue_first=True)
SYMMETRIC = Inputs((0.5,) * 3, (0.5,) * 3)
# Of EfficientNet-Lite's authors: (x - 127) / 128 with x of 0 to 255, exact in eight bits.
CENTRED = Inputs((127 / 255,) * 3, (128 / 255,) * 3)


def convention_of(name: str) -> Convention:
  """Returns the convention of this name: 'keras', 'torchvision' or 'tensorflow'.

  Raises:
    UserError: the name is unknown.
  """
  if name not in CONVENTIONS:
    raise unknown("convention", name, CONVENTIONS)
  return CONVENTIONS[name]


def prepare(images: jax.Array, inputs: Inputs) -> jax.Array:
  """Returns images in the form that a pretrained network was trained on.

  Args:
    images: [B, H, W, 1 or 3] in [0, 1], red first; a grey image is repeated to three channels.
    inputs: order, means and standard deviations of the network's channels.

  Returns:
    [B, H, W, 3] float32.
  """
  images = images.astype(jnp.float32)
  if images.shape[-1] == 1:
    images = jnp.repeat(images, 3, axis=-1)
  if inputs.blue_first:
    images = images[..., ::-1]
  return (images - jnp.asarray(inputs.mean)) / jnp.asarray(inputs.std)
