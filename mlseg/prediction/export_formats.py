"""Writes the graph of a run as ONNX or StableHLO, reads it back, and compares the outputs."""

import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import export as jax_export

from mlseg.errors import UserError
from mlseg.files import read_bytes, write_file
from mlseg.prediction.graph import Graph, grouped, plain

INPUT = "images"
TOLERANCE = 1e-4  # largest difference of a probability
_OPSET = 21

Outputs = dict[str, np.ndarray]


def write_onnx(graph: Graph, shape: tuple[int, int, int], path: pathlib.Path) -> None:
  """Writes a graph as ONNX, with a batch of any size.

  Args:
    graph: from `graph.make_graph`.
    shape: height, width and channels of its images.
    path: of the file.

  Raises:
    UserError: the converter is not installed, or cannot convert the network.
  """
  logging.getLogger("onnx_ir").setLevel(logging.ERROR)  # it warns of shapes that ONNX infers
  try:
    import jax2onnx
    import onnx
  except ImportError as error:
    raise UserError(
      "--format=onnx needs packages that are not installed: pip install 'mlseg-jax[onnx]' &&"
      " pip install --no-deps jax2onnx"
    ) from error
  names = list(outputs_of(graph, shape))

  def flat(images: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(graph(images)[name] for name in names)

  try:
    with grouped():
      model = jax2onnx.to_onnx(
        plain(flat),
        [jax.ShapeDtypeStruct(("B", *shape), np.uint8)],
        model_name="mlseg",
        opset=_OPSET,
        input_names=[INPUT],
        output_names=names,
      )
  except NotImplementedError as error:
    text = " ".join(str(error).split())
    raise UserError(f"--format=onnx cannot convert this network ({text})") from error
  write_file(path, onnx.ModelProto.SerializeToString(model))


def read_onnx(path: pathlib.Path) -> Callable[[np.ndarray], Outputs]:
  """Returns the function in an ONNX file, run by ONNX Runtime."""
  import onnxruntime

  session = onnxruntime.InferenceSession(read_bytes(path), providers=["CPUExecutionProvider"])
  names = [output.name for output in session.get_outputs()]
  return lambda images: dict(zip(names, session.run(None, {INPUT: images}), strict=True))


def write_stablehlo(
  graph: Graph, shape: tuple[int, int, int], path: pathlib.Path, platforms: Sequence[str]
) -> None:
  """Writes a graph as StableHLO, with a batch of any size, as `jax.export` serialises it.

  Args:
    graph: from `graph.make_graph`.
    shape: height, width and channels of its images.
    path: of the file.
    platforms: those that it will run on, of 'cpu', 'cuda', 'rocm' and 'tpu'.
  """
  (batch,) = jax_export.symbolic_shape("b")
  images = jax.ShapeDtypeStruct((batch, *shape), np.uint8)
  exporter = jax_export.export(jax.jit(graph), platforms=tuple(platforms))
  if tuple(platforms) == ("cpu",):
    exported = exporter(images)
  else:
    with grouped():
      exported = exporter(images)
  write_file(path, bytes(exported.serialize()))


def read_stablehlo(path: pathlib.Path) -> Callable[[np.ndarray], Outputs]:
  """Returns the function in a file of `write_stablehlo`."""
  exported = jax_export.deserialize(bytearray(read_bytes(path)))
  return lambda images: {k: np.asarray(v) for k, v in exported.call(images).items()}


def outputs_of(graph: Graph, shape: tuple[int, int, int]) -> dict[str, tuple[int, ...]]:
  """Returns the outputs of a graph, each with its shape behind the batch."""
  image = jax.ShapeDtypeStruct((1, *shape), np.uint8)
  return {name: own.shape[1:] for name, own in jax.eval_shape(graph, image).items()}


def compare(
  read: Callable[[np.ndarray], Outputs], graph: Graph, images: np.ndarray, path: pathlib.Path
) -> float:
  """Returns the largest difference of a file's outputs from those of the graph.

  Args:
    read: the function in the file.
    graph: that was written.
    images: [B, H, W, channels] uint8.
    path: of the file, for the message.

  Raises:
    UserError: they differ by more than 1e-4.
  """
  expected: dict[str, Any] = jax.device_get(jax.jit(graph)(images))
  found = read(images)
  worst = max(float(np.abs(found[name] - own).max()) for name, own in expected.items())
  if not worst <= TOLERANCE:
    raise UserError(f"{path} gives other numbers than the run: they differ by {worst:g}")
  return worst
