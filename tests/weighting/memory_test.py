"""What is kept between backward passes changes the memory, and no result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

SIZES = jnp.linspace(0.5, 2.0, 8)


def _loss_fn(params, batch):
  """Returns three losses of a network with a running mean, and the mean as aux."""
  hidden = jnp.tanh(batch @ params["encoder"])
  of_heads = {name: hidden @ head for name, head in params["heads"].items()}
  losses = {name: (out**2).mean() for name, out in of_heads.items()}
  return losses | {"size": jnp.abs(hidden).mean()}, {"mean": hidden.mean(0), "count": jnp.int32(3)}


def _problem():
  rng = np.random.default_rng(0)
  params = {
    "encoder": jnp.array(rng.normal(size=(5, 4)), jnp.float32),
    "heads": {name: jnp.array(rng.normal(size=4), jnp.float32) for name in ("a", "b")},
  }
  return params, jnp.array(rng.normal(size=(8, 5)), jnp.float32)


def _recorder():
  """Returns a weighting with constant weights whose state is the Gram matrix it was given."""
  weights = {"a": jnp.float32(0.5), "b": jnp.float32(2.0), "size": jnp.float32(3.0)}
  return w.LossWeighting(
    lambda losses: None, lambda losses, state, gram, **_: (weights, gram), needs_gram=True
  )


@pytest.mark.parametrize("keep", ["gradients", "activations"])
@pytest.mark.parametrize("shared", [None, "encoder"])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_results_do_not_depend_on_what_is_kept(keep, shared, parts):
  params, batch = _problem()
  options = {"shared": shared, "num_microbatches": parts, "specific": "unweighted"}
  if keep == "activations" and parts > 1:
    with pytest.raises(ValueError, match="keep: no 'activations' with 2 micro-batches"):
      w.losses_and_gradients(_loss_fn, _recorder(), keep=keep, **options)
    return
  results = [
    jax.jit(w.losses_and_gradients(_loss_fn, _recorder(), keep=kept, **options))(
      params, None, batch
    )
    for kept in ("all", keep)
  ]
  for one, other in zip(*map(jax.tree.leaves, results), strict=True):
    np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-7)


def test_no_such_choice():
  with pytest.raises(ValueError, match="keep: choose from all, gradients, activations; got 'some'"):
    w.losses_and_gradients(_loss_fn, _recorder(), keep="some")


def _memory(loss_fn, params, x, keep):
  method = w.mgda()
  compute = w.losses_and_gradients(loss_fn, method, keep=keep)
  compiled = jax.jit(compute).lower(params, method.init(jnp.zeros(8)), x).compile()
  return compiled.memory_analysis().temp_size_in_bytes


def test_a_network_of_many_parameters_needs_less_memory_without_gradients():
  def loss_fn(params, x):
    for matrix in params:
      x = jnp.tanh(x @ matrix)
    return (x**2).mean(axis=0)[:8], None

  params = [jax.ShapeDtypeStruct((256, 256), jnp.float32)] * 8
  x = jax.ShapeDtypeStruct((4, 256), jnp.float32)
  assert _memory(loss_fn, params, x, "activations") < 0.5 * _memory(loss_fn, params, x, "all")


def test_a_network_of_many_activations_needs_less_memory_without_them():
  def loss_fn(params, x):
    for matrix in params:
      x = jnp.tanh(jnp.sin(x @ matrix)) + x
    return jnp.stack([(jnp.abs(x) ** power).mean() for power in SIZES]), None

  def one(params, x):
    return jax.grad(lambda p: loss_fn(p, x)[0].sum())(params)

  params = [jax.ShapeDtypeStruct((16, 16), jnp.float32)] * 16
  x = jax.ShapeDtypeStruct((4096, 16), jnp.float32)
  single = jax.jit(one).lower(params, x).compile().memory_analysis().temp_size_in_bytes
  assert _memory(loss_fn, params, x, "gradients") < 1.2 * single
  assert _memory(loss_fn, params, x, "all") > 1.25 * single


# ---- Gram matrices at features


def _encode(params, batch):
  return {"hidden": jnp.tanh(batch @ params["encoder"])}, {"passes": jnp.int32(1)}


def _of_heads(params, features, batch):
  outputs = {name: features["hidden"] @ head for name, head in params["heads"].items()}
  losses = {name: (out**2).mean() for name, out in outputs.items()}
  return losses | {"size": jnp.abs(features["hidden"]).mean()}, {"heads": jnp.int32(2)}


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("specific", ["weighted", "unweighted"])
def test_the_gram_matrix_at_features_is_that_of_their_jacobian(parts, specific):
  params, batch = _problem()
  loss = w.FeatureLoss(_encode, _of_heads)
  options = {"shared": "encoder", "specific": specific, "num_microbatches": parts}
  compute = w.losses_and_gradients(loss, _recorder(), gram_at="features", **options)
  result, gram = compute(params, None, batch)
  features = _encode(params, batch)[0]
  jacobian = jax.jacrev(lambda z: _of_heads(params, z, batch)[0])(features)
  rows = np.stack([np.ravel(jacobian[name]["hidden"]) for name in ("a", "b", "size")])
  np.testing.assert_allclose(gram, rows @ rows.T, rtol=1e-5)
  same, _ = w.losses_and_gradients(_loss_fn, _recorder(), **options)(params, None, batch)
  for one, other in zip(
    *(jax.tree.leaves((r.losses, r.gradients)) for r in (result, same)), strict=True
  ):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
  assert result.aux == ({"passes": 1}, {"heads": 2})


def test_a_head_that_reads_features_of_its_own_gives_a_warning():
  loss = w.FeatureLoss(
    lambda p: ({"a": p * 2.0, "b": p * 3.0}, None),
    lambda p, z: ({"a": z["a"].sum(), "b": -(z["b"] * p).sum()}, None),
  )
  method = w.pcgrad()
  with pytest.warns(UserWarning, match="gram_at='features' .* no two losses read the same feature"):
    w.losses_and_gradients(loss, method, gram_at="features")(
      jnp.ones(2), method.init({"a": 0.0, "b": 0.0})
    )
