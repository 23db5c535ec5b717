"""Keras's and torchvision's networks with random weights, and what they give at each stage."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras")
torch = pytest.importorskip("torch")
from speed_parts.torchvision_models import torchvision_models  # noqa: E402 - needs torch

# Keras hands its variables to numpy in a way that numpy 2 gives notice of.
QUIET = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
KERAS_STAGES = {
  "vgg16": [
    "block1_conv2",
    "block2_conv2",
    "block3_conv3",
    "block4_conv3",
    "block5_conv3",
    "block5_pool",
  ],
  "mobilenet_v2": [
    "expanded_conv_project_BN",
    "block_2_add",
    "block_5_add",
    "block_12_add",
    "out_relu",
  ],
}


def keras_network(name, width=1.0, size=(None, None)):
  """Returns Keras's network for pictures of a size, with every weight drawn, the same each time.

  Without a size Keras pads as for even ones, and differs from itself with the size at odd ones.
  """
  keras.utils.set_random_seed(0)
  options = {"weights": None, "include_top": False, "input_shape": (*size, 3)}
  if name == "vgg16":
    network = keras.applications.VGG16(**options)
  else:
    network = keras.applications.MobileNetV2(alpha=width, **options)
  rng = np.random.default_rng(1)
  for variable in network.variables:
    variable.assign(_drawn(rng, variable.name, np.asarray(variable.value)))
  return network


def torch_network(name, width=1.0):
  """Returns torchvision's convolutions, in evaluation, with every weight drawn."""
  torch.manual_seed(0)
  models = torchvision_models()
  options = {"weights": None}
  network = (
    models.vgg16(**options) if name == "vgg16" else models.mobilenet_v2(width_mult=width, **options)
  )
  del network.classifier
  rng = np.random.default_rng(1)
  for key, value in network.state_dict().items():
    if value.ndim == 1:
      kind = "gamma" if key.endswith("weight") else key.replace("running_", "moving_")
      value.copy_(torch.from_numpy(_drawn(rng, kind, value.numpy())))
  return network.eval()


def _drawn(rng, name, value):
  """Returns what a variable is set to: kernels stay as they were initialised."""
  if value.ndim > 1:
    return value
  if name.endswith(("gamma", "var", "variance")):
    return rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
  return (0.1 * rng.normal(size=value.shape)).astype(np.float32)


def keras_features(network, name, images, train=False):
  """Returns a compiled function of the trainable variables, and those, as stages and new state."""
  outputs = [network.get_layer(layer).output for layer in KERAS_STAGES[name]]
  stages = keras.Model(network.input, outputs)
  module = getattr(keras.applications, name)
  inputs = jnp.asarray(module.preprocess_input(255 * np.array(images)))
  trainable = [variable.value for variable in stages.trainable_variables]
  state = [variable.value for variable in stages.non_trainable_variables]

  @jax.jit
  def apply(trainable):
    return stages.stateless_call(trainable, state, inputs, training=train)

  return apply, trainable, stages


def torch_features(network, name, images):
  """Returns the features [B, H, W, C] of images [B, H, W, 3] in [0, 1]."""
  mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
  activations = ((torch.from_numpy(images) - mean) / std).permute(0, 3, 1, 2)
  activations = activations.to(next(network.parameters()).dtype)
  ends = (3, 8, 15, 22, 29, 30) if name == "vgg16" else (1, 3, 6, 13, 18)
  features = []
  for index, layer in enumerate(network.features):
    activations = layer(activations)
    if index in ends:
      features.append(activations.permute(0, 2, 3, 1))
  return features


def assert_close(actual, expected, tolerance=1e-5):
  """Checks that the difference is small against the expected array's largest number."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  assert np.isfinite(expected).all()
  assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()
