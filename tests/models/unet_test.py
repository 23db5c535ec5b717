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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_deep_supervision_adds_a_layer_for_each_coarser_level_and_nothing_else():
  images = jax.random.normal(jax.random.key(0), (2, 16, 16, 1))
  plain, deep = (
    from_linen(UNet(3, depth=3, filters=4, deep_supervision=count)) for count in (0, 2)
  )
  variables, expected = jax.jit(
    lambda key: [model.init(key, images) for model in (deep, plain)]
  )(jax.random.key(1))  # fmt: skip
  params = dict(variables["params"])
  added = {name: params.pop(name)["kernel"].shape for name in ("deep_1", "deep_2")}
  assert added == {"deep_1": (1, 1, 2 * 8, 3), "deep_2": (1, 1, 2 * 16, 3)}  # with their skips
  rest = {**variables, "params": params}
  jax.tree.map(np.testing.assert_array_equal, rest, expected)
  found, same = jax.jit(
    lambda: [m.apply(v, images, True)[0] for m, v in ((deep, variables), (plain, rest))]
  )()  # fmt: skip
  assert [x.shape for x in found.deep_logits] == [(2, 8, 8, 3), (2, 4, 4, 3)]
  np.testing.assert_allclose(found.logits, same.logits, rtol=1e-6)
  shapes = jax.eval_shape(lambda v: deep.apply(v, images, False)[0], variables)
  assert shapes.deep_logits == ()


def test_dropout_is_of_whole_channels_in_training_alone():
  """With a last layer of ones, the scores show what reached it."""
  images = jax.random.normal(jax.random.key(0), (3, 8, 8, 1))
  dropped, plain = (
    from_linen(UNet(2, depth=1, filters=4, norm="none", dropout=rate)) for rate in (0.75, 0.0)
  )
  variables = dropped.init(jax.random.key(1), images)
  last = variables["params"]["Conv_2"]
  apply = jax.jit(lambda model, p, train, **key: model.apply(p, images, train, **key)[0].logits,
                  static_argnums=(0, 2))  # fmt: skip
  seen = []
  for channel in range(8):  # of the level and of its skip
    kernel = jnp.zeros_like(last["kernel"]).at[0, 0, channel].set(1.0)
    params = {**variables["params"], "Conv_2": {**last, "kernel": kernel}}
    outputs = [
      apply(model, {"params": params}, train, **key)[..., 0]
      for model, train, key in (
        (dropped, True, {"key": jax.random.key(2)}), (dropped, False, {}), (plain, True, {})
      )
    ]  # fmt: skip
    np.testing.assert_array_equal(outputs[1], outputs[2])  # evaluation is that without dropout
    for own, whole in zip(outputs[0], outputs[1], strict=True):
      kept = bool(np.any(own))
      np.testing.assert_allclose(own, 4 * whole if kept else 0 * whole, rtol=1e-6)
      if np.any(whole):  # else it is zero anyhow
        seen.append(kept)
  assert 0 < np.mean(seen) < 0.6
