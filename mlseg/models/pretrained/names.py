"""Finds the variable of an encoder that a name in a file of weights belongs to."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mlseg.models.pretrained.layers import (
  CONV,
  DEPTHWISE,
  LAYER_NORM,
  NORM,
  SCALE,
  Layer,
  by_class_and_order,
)

Path = tuple[str, ...]
_KERNEL_ENDS = (("params", "kernel"), ("params", "bias"))
_SCALE_ENDS = (("params", "scale"), ("params", "bias"))
_ENDS = {  # the variables of a layer, in the order in which Keras numbers them
  CONV: _KERNEL_ENDS,
  DEPTHWISE: _KERNEL_ENDS,
  NORM: (*_SCALE_ENDS, ("batch_stats", "mean"), ("batch_stats", "var")),
  LAYER_NORM: _SCALE_ENDS,
  SCALE: _SCALE_ENDS[:1],
}
_KERAS = {
  CONV: ("kernel", "bias"),
  DEPTHWISE: ("depthwise_kernel",),
  NORM: ("gamma", "beta", "moving_mean", "moving_variance"),
}
_TORCH = {
  CONV: (".weight", ".bias"),
  DEPTHWISE: (".weight", ".bias"),
  NORM: (".weight", ".bias", ".running_mean", ".running_var"),
  LAYER_NORM: (".weight", ".bias"),
  SCALE: ("",),
}
# What the names in PyTorch's files begin with, where there is no prefix.
_ROOTS = re.compile(
  r"(?:^|\.)((?:features|_blocks|_conv_stem|_conv_head|_bn[01]|layer[1-4]|conv1|bn1|stem|stages)"
  r"\.[\w.]+)$"
)
# Names of a classifier's head and of PyTorch's counters, which are no variables of the encoder.
_IGNORED = re.compile(
  r"(.*[./])?(classifier|_?fc\d*|head|dense(_\d+)?|predictions|logits|top\w*)[./].*"
  r"|.*num_batches_tracked|(.*/)?seed_generator.*"
)


class Target(NamedTuple):
  """The variable that an array belongs to."""

  library: str  # 'keras', 'torchvision' or 'timm', the one whose name the array has
  path: Path  # such as ('params', 'stage_0', 'conv_1', 'kernel')
  axes: tuple[int, ...] | None  # how to transpose the array; None: not at all


def targets(layers: list[Layer]) -> dict[str, Target]:
  """Returns the variable of each name; the names have the form that `simplified` returns."""
  table = {}
  ordered = {layer.path: name for name, layer in by_class_and_order(layers).items()}
  for layer in layers:
    for index, (collection, end) in enumerate(_ENDS[layer.kind]):
      path = (collection, *layer.path, end)
      is_kernel = end == "kernel"
      for library, name in (("torchvision", layer.torch), ("timm", layer.timm)):
        if name:
          axes = (2, 3, 1, 0) if is_kernel else None
          table[f"{name}{_TORCH[layer.kind][index]}"] = Target(library, path, axes)
      if not layer.keras or index >= len(_KERAS[layer.kind]):
        continue
      keras_axes = (0, 1, 3, 2) if is_kernel and layer.kind == DEPTHWISE else None
      keras = Target("keras", path, keras_axes)
      for name in layer.keras:
        table[f"{name}/{_KERAS[layer.kind][index]}"] = keras
        if layer.kind == DEPTHWISE:  # its name in the HDF5 of Keras 3
          table[f"{name}/kernel"] = keras
        table[f"{name}/vars/{index}"] = keras
      table[f"{ordered[layer.path]}/vars/{index}"] = keras
  return table


def simplified(name: str) -> str:
  """Returns a name without prefixes before the layer's name, in the newest spelling.

  Example:
    >>> simplified("module.encoder.features.0.0.weight")
    'features.0.0.weight'
    >>> simplified("backbone.layer1.0.conv1.weight")
    'layer1.0.conv1.weight'
    >>> simplified("model_weights/vgg16/block1_conv1/block1_conv1_W_1:0")
    'block1_conv1/kernel'
    >>> simplified("layers/functional/layers/conv2d_1/vars/0")
    'conv2d_1/vars/0'
  """
  match = _ROOTS.search(name)
  if match:
    return match[1]
  parts = re.sub(r":\d+$", "", name).replace("\\", "/").split("/")
  if len(parts) > 2 and parts[-2] == "vars":
    return "/".join(parts[-3:])
  if len(parts) < 2:
    return name
  layer, variable = parts[-2:]
  old = re.fullmatch(rf"{re.escape(layer)}_(W|b)(_\d+)?", variable)
  if old:  # Keras 1, which wrote VGG16's official file
    variable = {"W": "kernel", "b": "bias"}[old[1]]
  return f"{layer}/{variable}"


def is_ignored(name: str) -> bool:
  """Returns whether a name belongs to a classifier's head or to a counter, not to the encoder.

  Example:
    >>> is_ignored("classifier.1.weight"), is_ignored("features.1.weight")
    (True, False)
  """
  return _IGNORED.fullmatch(name) is not None


def name_in(library: str, path: Path, table: dict[str, Target]) -> str:
  """Returns the name of a variable in a library."""
  names: Iterable[str] = (name for name, target in table.items() if target[:2] == (library, path))
  return next(iter(names))


def fitted(array: np.ndarray, target: Target) -> np.ndarray:
  """Returns an array with its axes in the order of the variable, if it has as many axes.

  In PyTorch, a 1×1 convolution may be a matrix, and the factors of channels may have the shape
  [C, 1, 1].
  """
  if target.axes is None:
    return array[:, 0, 0] if array.shape[1:] == (1, 1) else array
  if array.ndim == 2 and target.library != "keras":
    array = array[:, :, None, None]
  return array.transpose(target.axes) if array.ndim == len(target.axes) else array
