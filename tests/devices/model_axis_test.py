"""A function of one model, applied to all models of a group by each strategy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.devices import model_axis, sharding
from mlseg.errors import UserError

RNG = np.random.default_rng(0)
MAPPED = {"a": jnp.array(RNG.normal(size=(5, 2, 3))), "b": jnp.arange(5.0)}
SHARED = jnp.array(RNG.normal(size=(3, 4)))
EXPECTED = np.einsum("nij,jk->nik", MAPPED["a"], SHARED) + np.arange(5.0)[:, None, None]


def _function(model, shared):
  return {"y": model["a"] @ shared + model["b"]}


@pytest.mark.parametrize("strategy", ["vmap", "map", "loop"])
@pytest.mark.parametrize("vectorize", [0, 2])
def test_a_function_of_one_model_is_applied_to_all(strategy, vectorize):
  over = jax.jit(model_axis.over_models(_function, strategy, vectorize=vectorize))
  np.testing.assert_allclose(over(MAPPED, SHARED)["y"], EXPECTED, rtol=1e-5)


@pytest.mark.parametrize("strategy", ["vmap", "map", "loop"])
def test_a_single_model_has_no_mapped_axis(strategy):
  ranks = []

  def function(model, shared):
    ranks.append((model["a"].ndim, type(model["a"]).__name__))
    return _function(model, shared)

  one = jax.tree.map(lambda array: array[:1], MAPPED)
  result = model_axis.over_models(function, strategy)(one, SHARED)
  np.testing.assert_allclose(result["y"], EXPECTED[:1], rtol=1e-5)
  assert ranks == [(2, type(SHARED).__name__)]  # called once, on an array rather than a tracer


def test_on_a_mesh_with_one_device_along_seed_nothing_is_sharded():
  mesh = sharding.make_mesh(sharding.Layout(1, 1, 1))
  over = model_axis.over_models(_function, "map", mesh)
  assert "shard_map" not in str(jax.make_jaxpr(over)(MAPPED, SHARED))


def test_the_strategy_is_chosen_by_platform_and_number():
  assert model_axis.choose("auto", 1, "gpu", 8) == "loop"
  assert model_axis.choose("vmap", 1, "cpu", 1) == "loop"
  assert model_axis.choose("vmap", 2, "cpu", 1) == "vmap"
  with pytest.raises(UserError, match="choose from auto, loop, map, vmap"):
    model_axis.choose("pmap", 2, "cpu", 1)
