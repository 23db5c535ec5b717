"""Where Keras and torchvision build the same network differently, so that weights fit only one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.errors import unknown


class Convention(NamedTuple):
  """What a checkpoint demands of the network that it is loaded into."""

  symmetric_padding: bool  # of convolutions of stride 2, see `strided.stride_padding`
  epsilon: float  # of batch normalisation
  momentum: float  # share of the old value in the running statistics
  unbiased_variance: bool  # whether the running variance is over n - 1


CONVENTIONS = {
  "keras": Convention(False, 1e-3, 0.999, False),
  "torchvision": Convention(True, 1e-5, 0.9, True),
}


class Inputs(NamedTuple):
  """How images in [0, 1] become what a network was trained on: channels in order, (x - mean)/std.

  The numbers are per channel of the network's input, for images in [0, 1].
  """

  mean: tuple[float, float, float]
  std: tuple[float, float, float]
  blue_first: bool = False


# Means and deviations of ImageNet; Keras's VGG16 has 0 to 255 without a deviation.
TORCHVISION = Inputs((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE = Inputs((103.939 / 255, 116.779 / 255, 123.68 / 255), (1 / 255,) * 3, blue_first=True)
SYMMETRIC = Inputs((0.5,) * 3, (0.5,) * 3)


def convention_of(name: str) -> Convention:
  """Returns the convention of a name.

  Raises:
    UserError: there is none of this name.
  """
  if name not in CONVENTIONS:
    raise unknown("convention", name, CONVENTIONS)
  return CONVENTIONS[name]


def prepare(images: jax.Array, inputs: Inputs) -> jax.Array:
  """Returns images as a pretrained network wants them.

  Args:
    images: [B, H, W, 1 or 3] in [0, 1], red first; a grey image stands for three equal channels.
    inputs: what the network was trained on.

  Returns:
    [B, H, W, 3] float32.
  """
  images = images.astype(jnp.float32)
  if images.shape[-1] == 1:
    images = jnp.repeat(images, 3, axis=-1)
  if inputs.blue_first:
    images = images[..., ::-1]
  return (images - jnp.asarray(inputs.mean)) / jnp.asarray(inputs.std)
