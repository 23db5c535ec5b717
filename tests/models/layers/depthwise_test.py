"""Depthwise and stride-2 convolutions equal the plain ones, in value and gradients, and mapped."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from mlseg.models.layers import depthwise, strided

LAYOUT = ("NHWC", "HWIO", "NHWC")
CASES = [
  pytest.param(stride, padding, size, id=f"{stride}-{padding}-{size}")
  for stride in (1, 2)
  for padding in (((1, 1), (1, 1)), ((0, 1), (0, 1)), ((0, 1), (1, 1)), ((0, 0), (2, 0)))
  for size in ((8, 6), (7, 5), (3, 4))
]


def _plain(images, kernel, stride, padding):
  return lax.conv_general_dilated(
    images,
    kernel,
    (stride, stride),
    padding,
    dimension_numbers=LAYOUT,
    feature_group_count=images.shape[-1] // kernel.shape[2],
  )


def _draw(*shape):
  return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _with_gradients(function, images, kernel):
  out, pull_back = jax.vjp(function, images, kernel)
  return out, pull_back(jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape))


def _assert_equal(actual, expected):
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-4), actual, expected
  )


@pytest.mark.parametrize("at_once", [pytest.param(2**19, marks=pytest.mark.slow), 40])
@pytest.mark.parametrize(("stride", "padding", "size"), CASES)
def test_depthwise_equals_the_plain_convolution(monkeypatch, stride, padding, size, at_once):
  monkeypatch.setattr(depthwise, "_NUMBERS_AT_ONCE", at_once)  # the whole batch, and parts of it
  images, kernel = _draw(6, *size, 3), _draw(3, 3, 1, 3)
  options = {"stride": stride, "padding": padding}
  actual = _with_gradients(functools.partial(depthwise.depthwise, **options), images, kernel)
  expected = _with_gradients(functools.partial(_plain, **options), images, kernel)
  _assert_equal(actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("side", "stride", "padding"),
  [(5, 1, (2, 2)), (5, 2, (1, 2)), (5, 2, (2, 2)), (7, 1, (3, 3)), (7, 2, (3, 3))],
)
def test_larger_kernels_equal_the_plain_convolution(monkeypatch, side, stride, padding):
  monkeypatch.setattr(depthwise, "_NUMBERS_AT_ONCE", 40)
  images, kernel = _draw(6, 8, 7, 3), _draw(side, side, 1, 3)
  options = {"stride": stride, "padding": (padding, padding)}
  actual = _with_gradients(functools.partial(depthwise.depthwise, **options), images, kernel)
  expected = _with_gradients(functools.partial(_plain, **options), images, kernel)
  _assert_equal(actual, expected)


@pytest.mark.slow
@pytest.mark.parametrize("formulation", ["shifts", "grouped"])
@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
@pytest.mark.parametrize(("stride", "side"), [(1, 3), (2, 3), (2, 5)])
def test_depthwise_mapped_over_models_equals_each(monkeypatch, stride, side, axes, formulation):
  monkeypatch.setattr(depthwise, "_NUMBERS_AT_ONCE", 100)
  monkeypatch.setattr(depthwise, "depthwise_formulation", lambda: formulation)
  padding = ((1, 1), (0, 1))
  arguments = [
    _draw(*([3] if axis == 0 else []), *shape)
    for axis, shape in zip(axes, ((4, 6, 7, 3), (side, side, 1, 3)), strict=True)
  ]
  run = functools.partial(
    _with_gradients, functools.partial(depthwise.depthwise, stride=stride, padding=padding)
  )
  actual = jax.jit(jax.vmap(run, axes))(*arguments)
  plain = functools.partial(
    _with_gradients, functools.partial(_plain, stride=stride, padding=padding)
  )
  for i in range(3):
    one = [a if axis is None else a[i] for a, axis in zip(arguments, axes, strict=True)]
    _assert_equal(jax.tree.map(lambda leaf, i=i: leaf[i], actual), plain(*one))


def test_depthwise_on_cpus_is_no_grouped_convolution():
  function = functools.partial(depthwise.depthwise, stride=1, padding=((1, 1), (1, 1)))
  arguments = _draw(2, 4, 4, 3), _draw(3, 3, 1, 3)
  text = str(jax.make_jaxpr(functools.partial(_with_gradients, function))(*arguments))
  assert "conv_general_dilated" not in text


@pytest.mark.slow
@pytest.mark.parametrize("side", [3, 5, 7])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("size", [(8, 6), (7, 6), (5, 9), (1, 2)])
def test_stride_2_equals_the_plain_convolution(size, symmetric, side):
  images, kernel = _draw(2, *size, 3), _draw(side, side, 3, 5)
  padding = strided.stride_padding(images.shape, symmetric, side)
  if not symmetric:
    same = lax.padtype_to_pads(size, (side, side), (2, 2), "SAME")
    assert [tuple(pair) for pair in same] == list(padding)
  ours = functools.partial(strided.convolve_stride2, padding=padding)
  actual = _with_gradients(ours, images, kernel)
  expected = _with_gradients(functools.partial(_plain, stride=2, padding=padding), images, kernel)
  _assert_equal(actual, expected)
  kernels = _draw(2, side, side, 3, 5)
  mapped = jax.vmap(lambda k: ours(images, k))(kernels)
  _assert_equal(mapped, jnp.stack([ours(images, k) for k in kernels]))
