"""The U-Net: shape, parameter count of the paper's network, options, and what training changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.devices import compiler
from mlseg.models import UNet, from_linen
from mlseg.models.unet import NORMS, UPSAMPLINGS


def _count(variables):
  return sum(x.size for x in jax.tree.leaves(variables["params"]))


def test_paper_network_has_the_parameters_worked_out_by_hand():
  images = jnp.zeros((1, 128, 128, 1))
  shapes = jax.eval_shape(from_linen(UNet(2)).init, jax.random.key(0), images)
  encoder = 9 * (1 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
  decoder = 9 * (512 * 256 + 512 * 128 + 256 * 64 + 128 * 32)
  norms = 2 * (32 + 64 + 128 + 256 + 512 + 256 + 128 + 64 + 32)
  assert _count(shapes) == encoder + decoder + norms + 64 * 2 + 2


def test_bottleneck_of_the_paper_network_is_8_by_8():
  images = jnp.zeros((1, 128, 128, 1))
  net = UNet(2, filters=2)
  outputs = jax.eval_shape(lambda k: net.init_with_output(k, images, False)[0], jax.random.key(0))
  assert outputs.features.shape == (1, 8, 8, 32)
  assert outputs.logits.shape == (1, 128, 128, 2)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_every_option_gives_finite_float32_logits_and_gradients(norm, upsampling, dtype):
  net = UNet(
    3, depth=1, filters=8, convs_per_level=1, norm=norm, upsampling=upsampling, dtype=dtype
  )
  model = from_linen(net)
  images = jax.random.normal(jax.random.key(0), (2, 8, 8, 2))
  variables = model.init(jax.random.key(1), images)
  assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

  def total(params):
    outputs, _ = model.apply({**variables, "params": params}, images, True)
    assert outputs.logits.dtype == jnp.float32
    return (outputs.logits**2).mean()

  gradients = jax.jit(jax.grad(total))(variables["params"])
  assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(gradients))


def test_training_updates_statistics_and_evaluation_keeps_them():
  model = from_linen(UNet(2, depth=1, filters=4))
  images = 1.0 + jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
  variables = model.init(jax.random.key(1), images)
  _, kept = model.apply(variables, images, False)
  _, moved = model.apply(variables, images, True)
  same = jax.tree.map(lambda a, b: bool((a == b).all()), kept["batch_stats"], moved["batch_stats"])
  assert kept["batch_stats"] == variables["batch_stats"]
  assert not any(jax.tree.leaves(same))


def test_reference_network_has_the_parameters_worked_out_by_hand():
  net = UNet(
    2,
    filters=16,
    convs_per_level=2,
    decoder_convs=2,
    upsampling="transposed2",
    upsampling_norm=False,
  )
  shapes = jax.eval_shape(from_linen(net).init, jax.random.key(0), jnp.zeros((1, 128, 128, 1)))
  sizes = [16, 32, 64, 128, 256]
  encoder = 9 * sum(a * b + b * b for a, b in zip([1, *sizes], sizes, strict=False))
  decoder = sum(9 * (2 * s * s + s * s) + 4 * 2 * s * s + s for s in sizes[:-1])
  norms = 2 * (2 * sum(sizes) + 2 * sum(sizes[:-1]))
  assert _count(shapes) == encoder + decoder + norms + 16 * 2 + 2
  # The reference has a bias before each of its 18 normalisations too, which they cancel.
  assert _count(shapes) + norms // 2 == 1_943_778


def _loss_gradients_and_memory(net, variables, images):
  def loss(params):
    outputs, state = from_linen(net).apply({**variables, "params": params}, images, True)
    return (outputs.logits**2).mean(), state

  function = jax.jit(jax.value_and_grad(loss, has_aux=True))
  compiled = function.lower(variables["params"]).compile(compiler.compiler_options())
  return compiled(variables["params"]), compiled.memory_analysis().temp_size_in_bytes


def test_remat_keeps_variables_and_numbers_and_takes_less_memory():
  options = {"depth": 1, "filters": 4, "convs_per_level": 3, "upsampling": "transposed2"}
  kept, recomputed = UNet(2, **options), UNet(2, **options, remat=True)
  images = jax.random.normal(jax.random.key(0), (4, 64, 64, 1))
  variables, same = (
    jax.jit(from_linen(net).init)(jax.random.key(1), images) for net in (kept, recomputed)
  )
  jax.tree.map(np.testing.assert_array_equal, same, variables)
  expected, memory = _loss_gradients_and_memory(kept, variables, images)
  actual, less_memory = _loss_gradients_and_memory(recomputed, variables, images)
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-6), actual, expected
  )
  assert less_memory < 0.8 * memory


def test_bfloat16_is_that_of_the_convolutions_alone():
  images = 3 + jax.random.normal(jax.random.key(0), (2, 16, 16, 1))
  net, wide = UNet(2, depth=1, filters=4, dtype=jnp.bfloat16), UNet(2, depth=1, filters=4)
  variables = jax.jit(from_linen(wide).init)(jax.random.key(1), images)
  text = str(
    jax.make_jaxpr(lambda v: net.apply(v, images, True, mutable=["batch_stats"]))(variables)
  )
  sums = [line for line in text.splitlines() if "reduce_sum" in line]
  assert sums
  assert all(":f32" in line for line in sums)
  (outputs, state), (expected, expected_state) = jax.jit(
    lambda v: [n.apply(v, images, True, mutable=["batch_stats"]) for n in (net, wide)]
  )(variables)
  assert outputs.features.dtype == jnp.bfloat16
  np.testing.assert_allclose(outputs.logits, expected.logits, atol=0.1)
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=0.02, atol=0.02), state, expected_state
  )
