"""The network of the benchmark gives the same in PyTorch, with the same parameters."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from speed_parts import in_mlseg, in_torch  # noqa: E402
from speed_parts import problem as problems  # noqa: E402

pytestmark = pytest.mark.slow

PROBLEM = problems.TOY._replace(depth=2)
IMAGES, MASKS = problems.make_data(PROBLEM)


def _layers(tree):
  """Yields the innermost dicts of parameters, in the order of the calls that made them."""
  if not any(isinstance(value, dict) for value in tree.values()):
    yield tree
    return
  for value in tree.values():
    yield from _layers(value)


def _set(parameter, values):
  with torch.no_grad():
    parameter.copy_(torch.from_numpy(np.array(values)))


def _kernels(params, size):
  """Returns the layers with kernels of a size, in order."""
  return [layer for layer in _layers(params) if "kernel" in layer and len(layer["kernel"]) == size]


def _their_convolutions(network):
  blocks = [*network.down, *network.merge]
  return {
    3: [layer for block in blocks for layer in block if isinstance(layer, torch.nn.Conv2d)],
    2: list(network.ups),
    1: [network.head],
  }


def _their_kernel(kernel, size):
  """Returns one library's kernel in the other's layout."""
  if size != 2:
    return kernel.transpose(2, 3, 1, 0)
  # PyTorch flips the kernel of a transposed convolution, Flax does not.
  return kernel.transpose(2, 3, 0, 1)[::-1, ::-1]


def _our_kernel(kernel, size):
  return kernel.transpose(3, 2, 0, 1) if size != 2 else kernel[::-1, ::-1].transpose(2, 3, 0, 1)


def _in_order_of(like, tree):
  return {k: _in_order_of(v, tree[k]) if isinstance(v, dict) else tree[k] for k, v in like.items()}


def _copy(variables, network):
  """Gives the network in PyTorch the parameters and statistics of the one in mlseg."""
  for size, layers in _their_convolutions(network).items():
    for own, layer in zip(_kernels(variables["params"], size), layers, strict=True):
      _set(layer.weight, _our_kernel(own["kernel"], size))
      if layer.bias is not None:
        _set(layer.bias, own["bias"])
  norms = [layer for layer in _layers(variables["params"]) if "scale" in layer]
  blocks = [*network.down, *network.merge]
  modules = [x for block in blocks for x in block if isinstance(x, torch.nn.BatchNorm2d)]
  statistics = _layers(variables["batch_stats"])
  for own, values, layer in zip(norms, statistics, modules, strict=True):
    _set(layer.weight, own["scale"])
    _set(layer.bias, own["bias"])
    _set(layer.running_mean, values["mean"])
    _set(layer.running_var, values["var"])


def _draw():
  """Returns variables in which every number is drawn, so that none can be swapped unnoticed."""
  made = []  # the layers in the order of their calls, which leaving the tracing would sort

  def init():
    made.append(in_mlseg.make_module(PROBLEM).init(jax.random.key(0), IMAGES, False))

  jax.eval_shape(init)
  rng = np.random.default_rng(0)

  def draw(shape):
    if len(shape) == 1:
      return rng.uniform(0.2, 1.0, shape).astype(np.float32)
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)

  def visit(tree):
    return {k: visit(v) if isinstance(v, dict) else draw(v.shape) for k, v in tree.items()}

  return visit(made[0])


@pytest.fixture(scope="module")
def both():
  """Returns (functions of mlseg, its state, the network in PyTorch) with the same variables."""
  training, variables = in_mlseg.make_training(PROBLEM), _draw()
  network = in_torch.UNet(PROBLEM)
  _copy(variables, network)
  key = jax.random.key(0)
  shapes = jax.eval_shape(training.init, key)._replace(key=None)
  state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  return training, state._replace(key=key, variables=variables), network


def _compiled(function):
  options = {"xla_backend_optimization_level": 0}  # compiles sooner
  return jax.jit(function, compiler_options=options)


def _their_images():
  return torch.from_numpy(IMAGES).permute(0, 3, 1, 2)


def test_logits_agree_in_evaluation(both):
  training, state, network = both
  ours = _compiled(training.forward)(state.variables, IMAGES)
  with torch.no_grad():
    theirs = network.eval()(_their_images()).permute(0, 2, 3, 1)
  np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_losses_and_gradients_agree_in_training(both):
  """With batch norm over the batch."""
  training, state, network = both
  new, log = _compiled(training.step)(state, training.batch)
  logits = network.train()(_their_images())
  theirs = in_torch.losses_of(logits, torch.from_numpy(MASKS).long())
  ours = [log.losses[name] for name in problems.LOSSES]
  np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-4)
  # After one step Adam's first moment is a tenth of the gradient.
  moments = _in_order_of(state.variables["params"], new.opt_state[0].mu)
  theirs.sum().backward()
  for size, layers in _their_convolutions(network).items():
    gradients = [10 * layer["kernel"] for layer in _kernels(moments, size)]
    for own, layer in zip(gradients, layers, strict=True):
      expected = _their_kernel(layer.weight.grad.numpy(), size)
      scale = np.abs(expected).max()
      np.testing.assert_allclose(own, expected, rtol=1e-3, atol=1e-3 * scale)


def test_pytorch_stands_in_the_table(benchmarks, tmp_path):
  names = ("mlseg", "PyTorch, eager")
  command = [sys.executable, str(benchmarks / "speed.py"), "--small", f"--out={tmp_path}"]
  options = ["--device=cpu", "--parts=frameworks", f"--frameworks={';'.join(names)}"]
  subprocess.run([*command, *options], check=True, capture_output=True)
  rows = json.loads((tmp_path / "cpu-small.json").read_text())["parts"]["frameworks"]["rows"]
  assert {row["framework"] for row in rows} >= set(names)
  assert all("ratio" in row for row in rows if row["framework"] == "PyTorch, eager")
