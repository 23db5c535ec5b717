"""Random weights of a small encoder, under torchvision's and Keras's names."""

import numpy as np

from mlseg.models.encoders.mobilenet_v2 import MobileNetV2
from mlseg.models.pretrained.layers import CONV, DEPTHWISE, NORM, layers_of
from mlseg.models.pretrained.load import expected_shapes

ENCODER = MobileNetV2(0.35, "torchvision")
KERAS = MobileNetV2(0.35, "keras")


def variables():
  """Returns the encoder's variables by path, drawn."""
  rng = np.random.default_rng(0)
  shapes = expected_shapes(ENCODER)
  drawn = {path: rng.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}
  return {path: abs(array) if path[-1] == "var" else array for path, array in drawn.items()}


def torch_arrays(drawn):
  """Returns the same under torchvision's names and in its order of axes."""
  arrays = {}
  for layer in layers_of(ENCODER):
    params, stats = ("params", *layer.path), ("batch_stats", *layer.path)
    if layer.kind == NORM:
      arrays[f"{layer.torch}.weight"] = drawn[*params, "scale"]
      arrays[f"{layer.torch}.bias"] = drawn[*params, "bias"]
      arrays[f"{layer.torch}.running_mean"] = drawn[*stats, "mean"]
      arrays[f"{layer.torch}.running_var"] = drawn[*stats, "var"]
      arrays[f"{layer.torch}.num_batches_tracked"] = np.asarray(3)
    else:
      kernel = drawn[*params, "kernel"].transpose(3, 2, 0, 1)
      arrays[f"{layer.torch}.weight"] = np.ascontiguousarray(kernel)
  return arrays


def keras_arrays(drawn, spelling):
  """Returns the same under the names of Keras in an HDF5 file: 'new', 'old' or 'by order'."""
  arrays, counts = {}, {CONV: 0, DEPTHWISE: 0, NORM: 0}
  ends = {CONV: ["kernel"], DEPTHWISE: ["depthwise_kernel"]}
  for layer in layers_of(KERAS):
    params, stats = ("params", *layer.path), ("batch_stats", *layer.path)
    values = [drawn[*params, "kernel"]] if layer.kind != NORM else [
      drawn[*params, "scale"], drawn[*params, "bias"], drawn[*stats, "mean"], drawn[*stats, "var"],
    ]  # fmt: skip
    if layer.kind == DEPTHWISE:
      values = [values[0].transpose(0, 1, 3, 2)]
    names = ends.get(layer.kind, ["gamma", "beta", "moving_mean", "moving_variance"])
    name = layer.keras[-1 if spelling == "old" else 0]
    order = f"_{counts[layer.kind]}" if counts[layer.kind] else ""
    counts[layer.kind] += 1
    for index, (end, value) in enumerate(zip(names, values, strict=True)):
      if spelling == "by order":
        arrays[f"layers/functional/layers/{layer.kind}{order}/vars/{index}"] = value
      else:
        arrays[f"model_weights/{name}/{name}/{end}:0"] = value
  return arrays
