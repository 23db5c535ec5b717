"""Convolutions mapped over models equal a Python loop, in value and gradients, in every way."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models.layers import convolution, onednn

PADDING = ((1, 1), (1, 0))


def _value_and_gradients(images, kernel, cotangent):
  convolve = functools.partial(convolution.convolve, padding=PADDING)
  out, pull_back = jax.vjp(convolve, images, kernel)
  return out, pull_back(cotangent)


def _arguments(mapped, size=3):
  rng = np.random.default_rng(0)
  shapes = ((2, 5, 6, 3), (3, 2, 3, 4), (2, 5, 6, 4))
  mapped = (*mapped, True)
  return [
    rng.normal(size=(size, *shape) if axis else shape).astype(np.float32)
    for shape, axis in zip(shapes, mapped, strict=True)
  ]


@pytest.mark.parametrize("formulation", ["loop", "columns"])
@pytest.mark.parametrize("mapped", [(True, True), (True, False), (False, True)])
def test_mapped_equals_a_loop(monkeypatch, formulation, mapped):
  monkeypatch.setattr(convolution, "batched_formulation", lambda: formulation)
  arguments = _arguments(mapped)
  axes = [0 if axis else None for axis in (*mapped, True)]
  one = [
    _value_and_gradients(*(a if n is None else a[i] for a, n in zip(arguments, axes, strict=True)))
    for i in range(3)
  ]
  expected = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one)
  batched = jax.vmap(_value_and_gradients, axes)

  def scanned(*args):
    return jax.lax.scan(lambda _, x: (None, batched(*x)), None, [a[None] for a in args])[1]

  for actual in (batched(*arguments), jax.jit(scanned)(*arguments)):
    jax.tree.map(
      lambda a, e: np.testing.assert_allclose(a.reshape(e.shape), e, rtol=1e-4, atol=1e-4),
      actual,
      expected,
    )


@pytest.mark.parametrize("formulation", ["loop", "columns"])
def test_mapped_kernel_makes_no_grouped_convolution(monkeypatch, formulation):
  monkeypatch.setattr(convolution, "batched_formulation", lambda: formulation)
  text = str(jax.make_jaxpr(jax.vmap(_value_and_gradients))(*_arguments((True, True))))
  assert "feature_group_count=3" not in text
  assert "batch_group_count=3" not in text


def test_mapped_twice_equals_mapped_once():
  images, kernel, cotangent = _arguments((True, True), size=4)
  once = jax.vmap(_value_and_gradients)(images, kernel, cotangent)
  pairs = [a.reshape(2, 2, *a.shape[1:]) for a in (images, kernel, cotangent)]
  twice = jax.vmap(jax.vmap(_value_and_gradients))(*pairs)
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a.reshape(e.shape), e, rtol=1e-4, atol=1e-4),
    twice,
    once,
  )


def test_second_derivatives_equal_those_of_the_plain_convolution():
  images, kernel, cotangent = _arguments((False, False))
  layout = ("NHWC", "HWIO", "NHWC")

  def plain(x, k):
    return jax.lax.conv_general_dilated(x, k, (1, 1), PADDING, dimension_numbers=layout)

  def penalty(convolve, images, kernel):
    gradients = jax.vjp(convolve, images, kernel)[1](cotangent[0])
    return sum((g**3).sum() for g in gradients)

  actual, expected = (
    jax.grad(functools.partial(penalty, convolve), (0, 1))(images, kernel)
    for convolve in (lambda x, k: convolution.convolve(x, k, PADDING), plain)
  )
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-2), actual, expected
  )


def test_gradients_are_computed_with_the_precision_of_the_convolution():
  images, kernel, cotangent = _arguments((False, False))
  convolve = functools.partial(convolution.convolve, padding=PADDING)

  def precisions(precision):
    with jax.default_matmul_precision(precision), onednn.unused():
      pull_back = jax.vjp(convolve, images, kernel)[1]
    jaxpr = str(jax.make_jaxpr(pull_back)(cotangent[0]))  # asked for outside
    return set(re.findall(r"precision=(.*)", jaxpr))

  assert precisions(None) == {"None"}
  assert len(precisions("float32")) == 1
  assert precisions("float32") != precisions(None)
