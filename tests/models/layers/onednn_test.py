"""oneDNN's convolutions equal XLA's: values, gradients of both orders, over models, in networks."""

import functools
import os
import re
import subprocess
import sys
from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mlseg
from mlseg import models
from mlseg.errors import UserError
from mlseg.models.layers import blocks, depthwise, onednn, strided
from mlseg.models.layers.onednn import library
from mlseg.recipe import model as recipe_model
from mlseg.recipe import parse

LAYOUT = ("NHWC", "HWIO", "NHWC")
CASES = [  # batch, height, width, channels, features, taps, stride, padding, groups
  (2, 9, 7, 3, 5, (3, 3), 1, ((1, 1), (1, 1)), 1),
  (1, 8, 6, 4, 2, (2, 1), 1, ((1, 0), (0, 0)), 1),
  (3, 9, 8, 3, 8, (3, 3), 2, ((0, 1), (1, 1)), 1),
  (2, 6, 6, 16, 16, (1, 1), 1, ((0, 0), (0, 0)), 1),
  (2, 9, 7, 8, 8, (3, 3), 1, ((1, 1), (1, 1)), 8),
  (2, 9, 7, 6, 6, (3, 3), 2, ((1, 1), (1, 1)), 6),
  (2, 6, 9, 5, 5, (5, 5), 1, ((2, 2), (2, 2)), 5),
  (2, 5, 4, 4, 4, (7, 7), 1, ((3, 3), (3, 3)), 4),
  (1, 8, 8, 4, 4, (5, 5), 2, ((1, 2), (1, 2)), 4),
]
# Four models on two devices: whether oneDNN computes them, whether it would divide a batch, and the
# largest error of values and gradients after many calls.
MODELS_ON_DEVICES = """
import jax
import numpy as np

from mlseg.devices import model_axis, sharding
from mlseg.models.layers import convolution

rng = np.random.default_rng(0)
images = rng.normal(size=(4, 3, 16, 16, 8)).astype(np.float32)
kernels = rng.normal(size=(4, 3, 3, 8, 16)).astype(np.float32)


def gradients(model, shared):
  def loss(images, kernel):
    return (convolution.convolve(images, kernel, ((1, 1), (1, 1))) ** 2).mean()

  return jax.value_and_grad(loss, (0, 1))(*model)


mesh = sharding.make_mesh(sharding.Layout(2, 1, 1))
over = jax.jit(model_axis.over_models(gradients, "map", mesh))
alone = jax.jit(lambda *model: gradients(model, ()))
with jax.set_mesh(mesh):
  in_mesh = "mlseg_convolve" in over.lower((images, kernels), ()).as_text()
  for _ in range(100):
    found = over((images, kernels), ())
outside = "mlseg_convolve" in alone.lower(images[0], kernels[0]).as_text()
expected = [alone(images[n], kernels[n]) for n in range(4)]
expected = jax.tree.map(lambda *own: np.stack(own), *expected)
error = jax.tree.map(lambda a, b: np.abs(a - b).max() / np.abs(b).max(), found, expected)
print(in_mesh, outside, max(jax.tree.leaves(error)))
"""


@pytest.fixture
def used(monkeypatch):
  """Uses oneDNN in one test."""
  for package in (library._LIBRARY, library._HEADERS):
    try:
      metadata.version(package)
    except metadata.PackageNotFoundError:
      pytest.skip(f"needs {package}")
  monkeypatch.setenv(library.VARIABLE, "1")
  library.load.cache_clear()
  assert library.load().is_used
  yield
  library.load.cache_clear()


def _plain(images, kernel, padding, stride, groups):
  return jax.lax.conv_general_dilated(
    images,
    kernel,
    (stride, stride),
    padding,
    dimension_numbers=LAYOUT,
    feature_group_count=groups,
  )


def _arrays(case, seed=0):
  batch, height, width, channels, features, taps, stride, padding, groups = case
  rng = np.random.default_rng(seed)
  images = rng.normal(size=(batch, height, width, channels)).astype(np.float32)
  kernel = rng.normal(size=(*taps, channels // groups, features)).astype(np.float32)
  plain = functools.partial(_plain, padding=padding, stride=stride, groups=groups)
  ours = functools.partial(onednn.convolve, padding=padding, stride=stride, groups=groups)
  cotangent = rng.normal(size=jax.eval_shape(plain, images, kernel).shape).astype(np.float32)
  return images, kernel, cotangent, plain, ours


def _value_and_gradients(function, images, kernel, cotangent):
  out, pull_back = jax.vjp(function, images, kernel)
  return out, *pull_back(cotangent)


def _close(actual, expected, tolerance=1e-5):
  for a, e in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
    scale = float(np.abs(e).max())
    np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_those_of_xla(used, case):
  images, kernel, cotangent, plain, ours = _arrays(case)
  assert onednn.is_used(images, kernel)
  expected = _value_and_gradients(plain, images, kernel, cotangent)
  _close(_value_and_gradients(ours, images, kernel, cotangent), expected)
  compiled = jax.jit(functools.partial(_value_and_gradients, ours))
  _close(compiled(images, kernel, cotangent), expected)


@pytest.mark.parametrize("side", [2, 3])
def test_transposed_convolutions_equal_those_of_xla(used, side):
  rng = np.random.default_rng(0)
  images = rng.normal(size=(2, 5, 3, 6)).astype(np.float32)
  kernel = rng.normal(size=(side, side, 6, 4)).astype(np.float32)
  cotangent = rng.normal(size=(2, 10, 6, 4)).astype(np.float32)

  def plain(images, kernel):
    return jax.lax.conv_transpose(images, kernel, (2, 2), "SAME")

  arrays = images, kernel, cotangent
  expected = _value_and_gradients(plain, *arrays)
  _close(_value_and_gradients(onednn.convolve_transposed, *arrays), expected)
  with jax.default_matmul_precision("bfloat16"):
    rounded = jax.jit(functools.partial(_value_and_gradients, onednn.convolve_transposed))(*arrays)
  factors = [jnp.asarray(array, jnp.bfloat16).astype(jnp.float32) for array in arrays]
  _close(rounded, _value_and_gradients(plain, *factors))  # the sums are float32
  for ours, theirs in zip(rounded, expected, strict=True):
    assert np.abs(ours - theirs).max() > 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[6]])
def test_second_derivatives_equal_those_of_xla(used, case, precision):
  images, kernel, cotangent, plain, ours = _arrays(case)

  def of_gradients(function, images, kernel, cotangent):
    found = _value_and_gradients(function, images, kernel, cotangent)
    return sum((part**2).sum() for part in found)

  of_all = functools.partial(jax.grad, argnums=(1, 2, 3))
  expected = of_all(of_gradients)(plain, images, kernel, cotangent)
  with jax.default_matmul_precision(precision):
    actual = of_all(of_gradients)(ours, images, kernel, cotangent)
  _close(actual, expected, 1e-4 if precision == "float32" else 0.02)


@pytest.mark.parametrize("mapped", [(True, True), (True, False), (False, True)])
def test_mapped_over_models_equals_each(used, mapped):
  *_, plain, ours = _arrays(CASES[0])
  arrays = [_arrays(CASES[0], seed)[:3] for seed in range(3)]
  stacked = [
    np.stack([own[i] for own in arrays]) if is_mapped else arrays[0][i]
    for i, is_mapped in enumerate((*mapped, True))
  ]
  axes = [0 if is_mapped else None for is_mapped in (*mapped, True)]
  actual, expected = (
    jax.vmap(functools.partial(_value_and_gradients, function), axes)(*stacked)
    for function in (ours, plain)
  )
  _close(actual, expected)


@pytest.mark.slow
def test_each_device_computes_its_models_with_it(used, tmp_path):
  script = tmp_path / "models.py"
  script.write_text(MODELS_ON_DEVICES)
  environ = os.environ | {"JAX_NUM_CPU_DEVICES": "2"}
  done = subprocess.run(
    [sys.executable, str(script)], capture_output=True, text=True, check=False, env=environ
  )
  assert done.returncode == 0, done.stderr
  in_mesh, outside, error = done.stdout.split()
  assert (in_mesh, outside) == ("True", "False")
  assert float(error) < 1e-5


def test_products_of_bfloat16_are_asked_for_by_the_precision_of_jax(used):
  images, kernel, cotangent, plain, ours = _arrays(CASES[3])
  rounded = [jnp.asarray(a, jnp.bfloat16).astype(jnp.float32) for a in (images, kernel)]
  with jax.default_matmul_precision("bfloat16"):
    actual = jax.jit(functools.partial(_value_and_gradients, ours))(images, kernel, cotangent)
  _close(actual[0], plain(*rounded))  # the sums are float32
  expected = _value_and_gradients(plain, images, kernel, cotangent)
  _close(actual, expected, 0.02)
  for ours_, theirs in zip(actual, expected, strict=True):
    assert np.abs(ours_ - theirs).max() > 1e-4 * np.abs(theirs).max()


def test_depthwise_products_are_float32(used):
  images, kernel, _, plain, ours = _arrays(CASES[4])
  with jax.default_matmul_precision("bfloat16"):
    _close(ours(images, kernel), plain(images, kernel))


@pytest.mark.parametrize(
  ("layer", "shape"),
  [
    (blocks.Conv(6), (2, 8, 8, 4)),
    (blocks.Conv(6, 1, use_bias=True), (2, 8, 8, 4)),
    (blocks.UpConv(6, 2), (2, 4, 4, 4)),
    (blocks.UpConv(6, 3), (2, 4, 4, 4)),
    (depthwise.DepthwiseConv(2, ((0, 1), (0, 1))), (2, 8, 8, 4)),
    (strided.StridedConv(6, symmetric=True), (2, 8, 7, 4)),
    (strided.PatchConv(6, 4), (2, 8, 8, 4)),
  ],
)
def test_layers_use_it_and_give_the_same(used, layer, shape):
  images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  with onednn.unused():
    expected, variables = layer.init_with_output(jax.random.key(0), images)
    assert "ffi_call" not in str(jax.make_jaxpr(layer.apply)(variables, images))
  assert "ffi_call" in str(jax.make_jaxpr(layer.apply)(variables, images))
  _close(layer.apply(variables, images), expected)


def test_a_network_trains_alike(used):
  net = models.from_linen(models.UNet(2, depth=2, filters=4))
  images = np.random.default_rng(0).normal(size=(2, 16, 16, 1)).astype(np.float32)
  variables = jax.jit(net.init)(jax.random.key(0), images)

  def loss(params):
    outputs, _ = net.apply({**variables, "params": params}, images, True)
    return (outputs.logits**2).mean()

  with onednn.unused():
    expected = jax.jit(jax.value_and_grad(loss))(variables["params"])
  jax.clear_caches()
  _close(jax.jit(jax.value_and_grad(loss))(variables["params"]), expected, 1e-3)


def test_a_recipe_chooses_the_precision(used):
  config, _ = parse.parse(["", "--config=configs/smoke.py"])
  config.unlock()  # recipes have the key only where a command line gives it
  images = np.ones((1, config.data.image_size, config.data.image_size, 1), np.float32)
  found = {}
  for precision in ("default", "bfloat16"):
    config.model.matmul_precision = precision
    model = recipe_model.make_model(config, 2)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    jaxpr = str(jax.make_jaxpr(lambda v, m=model: m.apply(v, images, False)[0])(variables))
    found[precision] = set(re.findall(r"bfloat16.{0,3}(True|False)", jaxpr))
  assert found == {"default": {"False"}, "bfloat16": {"True"}}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_other_types_are_left_to_xla(used, dtype):
  images, kernel = jnp.ones((1, 4, 4, 2), dtype), jnp.ones((3, 3, 2, 2), dtype)
  assert not onednn.is_used(images, kernel)


def test_it_is_left_alone_where_nobody_asks(monkeypatch):
  library.load.cache_clear()
  monkeypatch.setenv(library.VARIABLE, "0")
  assert not onednn.is_used(jnp.ones((1, 4, 4, 2)))
  assert onednn.describe() == ""
  library.load.cache_clear()


def test_what_is_missing_is_named(used, monkeypatch, tmp_path):
  monkeypatch.setenv("MLSEG_CACHE", str(tmp_path))
  monkeypatch.setenv("CXX", "no-such-compiler")
  library.load.cache_clear()
  with pytest.raises(UserError, match="there is no C\\+\\+ compiler 'no-such-compiler'"):
    library.load()
  monkeypatch.setenv(library.VARIABLE, "")
  words = library.load().words
  assert words.startswith("oneDNN not used: there is no C++ compiler")
  assert not onednn.is_used(jnp.ones((1, 4, 4, 2)))
  library.load.cache_clear()
  monkeypatch.setenv("CXX", "false")
  assert "false failed: without a message" in library.load().words
  assert not list((tmp_path / "onednn").iterdir())  # nothing half-written
  library.load.cache_clear()
  monkeypatch.setattr(library, "_HEADERS", "no-such-package")
  monkeypatch.setenv(library.VARIABLE, "1")
  with pytest.raises(UserError, match="the package no-such-package is missing"):
    library.load()


def test_a_wrong_value_of_the_variable_is_refused(monkeypatch):
  library.load.cache_clear()
  monkeypatch.setenv(library.VARIABLE, "yes")
  with pytest.raises(UserError, match="MLSEG_ONEDNN must be 0, 1 or empty, not 'yes'"):
    library.load()
  library.load.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["default", "bfloat16"])
def test_a_run_trains_and_predicts_with_it(used, tmp_path, precision):
  command = [sys.executable, "-m", "mlseg.main", "--config=configs/smoke.py"]
  command += [f"--workdir={tmp_path / 'run'}", f"--config.model.matmul_precision={precision}"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  assert f", oneDNN {metadata.version(library._LIBRARY)}" in done.stdout
  image = np.random.default_rng(0).integers(0, 256, (40, 30), np.uint8)
  probabilities = mlseg.load(tmp_path / "run").predict(image).probabilities
  with onednn.unused():
    jax.clear_caches()
    expected = mlseg.load(tmp_path / "run").predict(image).probabilities
  np.testing.assert_allclose(probabilities, expected, atol=1e-4 if precision == "default" else 0.02)
