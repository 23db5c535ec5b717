"""Dilated convolutions equal plain ones, in value and gradients, alone and in a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models import HistologyFCN, MultiTaskUNet, UNet, from_linen, make_encoder
from mlseg.models.encoders.encoder import stage_labels
from mlseg.models.layers import DilatedCascade, convolution
from mlseg.models.layers.dilated import convolve_dilated
from tests.models.short_encoder import make_short

NETWORKS = ("unet", "multitask_unet", "histology_fcn")


def _by_hand(images, kernel, dilation):
  """Returns the convolution as its definition says, pixel by pixel, in float64."""
  batch, height, width, _ = images.shape
  out = np.zeros((batch, height, width, kernel.shape[-1]))
  for row, column, tap_row, tap_column in np.ndindex(height, width, 3, 3):
    y, x = row + dilation * (tap_row - 1), column + dilation * (tap_column - 1)
    if 0 <= y < height and 0 <= x < width:
      out[:, row, column] += images[:, y, x].astype(float) @ kernel[tap_row, tap_column]
  return out


def _drawn(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("dilation", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 5)])
def test_a_dilated_convolution_is_its_definition(size, dilation):
  images, kernel = _drawn(2, *size, 3), _drawn(3, 3, 3, 4, seed=1)
  out = convolve_dilated(jnp.asarray(images), jnp.asarray(kernel), dilation)
  np.testing.assert_allclose(out, _by_hand(images, kernel, dilation), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("formulation", ["loop", "columns"])
def test_gradients_over_models_equal_those_of_the_plain_operation(monkeypatch, formulation):
  monkeypatch.setattr(convolution, "batched_formulation", lambda: formulation)
  arguments = _drawn(3, 2, 7, 6, 3), _drawn(3, 3, 3, 3, 4, seed=1), _drawn(3, 2, 7, 6, 4, seed=2)

  def plain(images, kernel):
    return jax.lax.conv_general_dilated(
      images,
      kernel,
      (1, 1),
      "SAME",
      rhs_dilation=(2, 2),
      dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )

  def run(convolve, images, kernel, cotangent):
    value, pull_back = jax.vjp(convolve, images, kernel)
    return value, pull_back(cotangent)

  own = jax.jit(jax.vmap(lambda *a: run(lambda x, k: convolve_dilated(x, k, 2), *a)))(*arguments)
  for index in range(3):
    expected = run(plain, *(jnp.asarray(array[index]) for array in arguments))
    jax.tree.map(
      lambda a, e, index=index: np.testing.assert_allclose(a[index], e, rtol=1e-4, atol=1e-4),
      own,
      expected,
    )


def _cascade(dilations, size, channels=3):
  net = DilatedCascade(dilations)
  images = jnp.asarray(_drawn(2, *size, channels))
  variables = net.init(jax.random.key(1), images)
  biased = jax.tree.map(lambda leaf: leaf + 0.1, variables)
  return net, biased, images


def test_a_cascade_is_the_sum_of_its_steps():
  net, variables, images = _cascade((1, 2, 4), (9, 8))
  total = last = np.asarray(images, float)
  for number, dilation in enumerate((1, 2, 4)):
    own = variables["params"][f"conv_{number}"]
    last = np.maximum(_by_hand(last, np.asarray(own["kernel"]), dilation) + own["bias"], 0)
    total = total + last
  np.testing.assert_allclose(net.apply(variables, images), total, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_cascade_equals_pytorch():
  torch = pytest.importorskip("torch")
  net, variables, images = _cascade((1, 2, 4, 8), (16, 12))
  total = last = torch.tensor(np.asarray(images)).permute(0, 3, 1, 2)
  for number, dilation in enumerate((1, 2, 4, 8)):
    own = jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf)), variables["params"])
    kernel, bias = (own[f"conv_{number}"][name] for name in ("kernel", "bias"))
    last = torch.nn.functional.conv2d(
      last, kernel.permute(3, 2, 0, 1), bias, padding=dilation, dilation=dilation
    ).relu()
    total = total + last
  found = np.asarray(net.apply(variables, images))
  np.testing.assert_allclose(found, total.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dilations", [(1,), (1, 2), (1, 2, 4), (1, 2, 4, 8)])
def test_the_pixels_that_a_cascade_reads_are_those_of_the_paper(dilations):
  net = DilatedCascade(dilations)
  images = jnp.ones((1, 33, 33, 1))
  variables = net.init(jax.random.key(0), images)
  positive = jax.tree.map(lambda leaf: jnp.abs(leaf) + 0.1, variables)  # no ReLU cuts anything off
  (seen,) = np.nonzero(
    np.asarray(jax.grad(lambda x: net.apply(positive, x)[0, 16, 16, 0])(images))[0, :, 16, 0]
  )
  side = {1: 3, 2: 7, 3: 15, 4: 31}[len(dilations)]  # D-LinkNet, section 3.1
  assert (seen.min(), seen.max()) == (16 - side // 2, 16 + side // 2)


def _network(name, dilations):
  if name == "unet":
    return UNet(2, depth=2, filters=4, bottleneck_dilations=dilations)
  if name == "histology_fcn":
    return HistologyFCN(2, 3, depth=2, filters=4, bottleneck_dilations=dilations)
  encoder = make_encoder("mobilenet_v2", "keras", 0.35)
  return MultiTaskUNet(encoder, 2, 3, (8, 8, 8, 8, 8), bottleneck_dilations=dilations)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_the_cascade_and_nothing_else_changes(monkeypatch, name):
  make_short(monkeypatch.setattr)
  size = 64 if name == "multitask_unet" else 32
  images = jnp.asarray(_drawn(2, size, size, 1))
  plain, dilated = (from_linen(_network(name, own)) for own in ((), (1, 2)))
  variables, expected = jax.jit(
    lambda key: [model.init(key, images) for model in (dilated, plain)]
  )(jax.random.key(1))  # fmt: skip
  params = dict(variables["params"])
  added = params.pop("bottleneck")
  rest = {**variables, "params": params}
  jax.tree.map(np.testing.assert_array_equal, rest, expected)
  off = jax.tree.map(jnp.zeros_like, added)  # a cascade of zeros adds nothing
  without = {**variables, "params": {**params, "bottleneck": off}}
  apply = jax.jit(lambda model, v: model.apply(v, images, False)[0], static_argnums=0)
  found, same, other = (apply(m, v) for m, v in (
    (dilated, without), (plain, expected), (dilated, variables)
  ))  # fmt: skip
  np.testing.assert_allclose(found.logits, same.logits, rtol=1e-5, atol=1e-5)
  assert np.abs(other.features - same.features).max() > 0.1 * np.abs(same.features).max()
  assert other.features.shape == same.features.shape
  assert {kernel["kernel"].shape for kernel in added.values()} == {
    (3, 3, same.features.shape[-1], same.features.shape[-1])
  }


def test_the_cascade_learns_at_the_rate_of_the_head(monkeypatch):
  make_short(monkeypatch.setattr)
  images = jnp.zeros((1, 64, 64, 1))
  net = _network("multitask_unet", (1,))
  shapes = jax.eval_shape(lambda key: net.init(key, images, False), jax.random.key(0))
  labels = stage_labels(shapes["params"])
  assert set(jax.tree.leaves(labels["bottleneck"])) == {"head"}
