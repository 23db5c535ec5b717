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
  options = {"width_mult": width} if name == "mobilenet_v2" else {}
  network = getattr(torchvision_models(), name)(weights=None, **options)
  for head in ("classifier", "fc"):
    if hasattr(network, head):
      delattr(network, head)
  return draw_torch(network)


def draw_torch(network):
  """Returns a network in evaluation, with every weight drawn that is not a kernel."""
  rng = np.random.default_rng(1)
  for key, value in network.state_dict().items():
    if value.ndim == 1:
      kind = "gamma" if key.endswith("weight") else key.replace("running_", "moving_")
      value.copy_(torch.from_numpy(_drawn(rng, kind, value.numpy())))
    elif key.endswith("layer_scale"):
      value.copy_(torch.from_numpy(rng.uniform(0.5, 1.5, value.shape).astype(np.float32)))
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
  if name.startswith("resnet"):
    layers = _resnet_layers(network)
  else:
    ends = {
      "vgg16": (3, 8, 15, 22, 29, 30),
      "mobilenet_v2": (1, 3, 6, 13, 18),
      "convnext_tiny": (1, 3, 5, 7),
    }[name]
    layers = [(layer, index in ends) for index, layer in enumerate(network.features)]
  features = []
  for layer, is_end in layers:
    activations = layer(activations)
    if is_end:
      features.append(activations.permute(0, 2, 3, 1))
  return features


def _resnet_layers(network):
  """Returns the layers of a ResNet, and whether each gives features."""
  stem = [network.conv1, network.bn1, network.relu, network.maxpool]
  groups = [network.layer1, network.layer2, network.layer3, network.layer4]
  return [(layer, layer is network.relu) for layer in stem] + [(layer, True) for layer in groups]


def torch_gradients(network, features, images):
  """Returns stages in training, and by their names the gradients and the new running statistics.

  The loss is the sum of the stages' mean squares, in float64, so that the sums of the peer are
  exact. The network is left as it was.

  Args:
    network: in evaluation.
    features: a function of images that gives the stages, such as `torch_features`.
    images: [B, H, W, 3].
  """
  kept = {name: value.clone() for name, value in network.state_dict().items()}
  network.train().double()
  try:
    stages = features(images)
    sum((f**2).mean() for f in stages).backward()
    arrays = {name: value.numpy() for name, value in network.state_dict().items()}
    arrays |= {name: p.grad.numpy() for name, p in network.named_parameters() if p.grad is not None}
  finally:
    network.float().eval()
    network.zero_grad()
    network.load_state_dict(kept)
  as_floats = {
    name: value.astype(np.float32) if value.dtype == np.float64 else value
    for name, value in arrays.items()
  }
  return [stage.detach().numpy() for stage in stages], as_floats


def our_gradients(encoder, variables, images):
  """Returns what `torch_gradients` does, of an encoder of ours: stages, gradients, statistics."""

  @jax.jit
  def run(params):
    def total(params):
      features, state = encoder.apply(
        {**variables, "params": params}, images, True, mutable=["batch_stats"]
      )
      return sum((f**2).mean() for f in features), (features, state.get("batch_stats", {}))

    return jax.grad(total, has_aux=True)(params)

  gradient, (features, stats) = run(variables["params"])
  return features, gradient, stats


def assert_gradients(actual, expected):
  """Compares the gradients of each part, and of all.

  Rounding may carry a few of the million activations over a bound of the clip, where the gradient
  jumps; which, depends on the processor.
  """
  flat = [np.concatenate([np.ravel(x) for x in jax.tree.leaves(t)]) for t in (actual, expected)]
  assert _error(*flat) <= 1e-2
  largest = np.abs(flat[1]).max()
  errors = jax.tree.map(
    lambda a, e: _error(a, e) if np.abs(e).max() > 1e-5 * largest else 0.0, actual, expected
  )
  assert max(jax.tree.leaves(errors)) <= 5e-2, errors


def _error(actual, expected):
  return np.linalg.norm(np.ravel(actual - expected)) / np.linalg.norm(np.ravel(expected))


def assert_close(actual, expected, tolerance=1e-5):
  """Checks that the difference is small against the expected array's largest number."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape
  assert np.isfinite(expected).all()
  assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max()
