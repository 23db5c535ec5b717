"""What holds under the strict settings of careful users, and for states that were restored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w
from tests.weighting import stacked_laws_test as stacked
from tests.weighting import table
from tests.weighting.table import ALL, as_losses

pytestmark = pytest.mark.slow
over_weightings = pytest.mark.parametrize("name", ALL)
over_stacked = pytest.mark.parametrize("name", stacked.ALL)
SOUND = {
  "usual": table.random_losses(3, steps=3),
  "constant": jnp.full((3, table.K), 0.7),
  "zero": table.random_losses(4, steps=3).at[1:].set(0.0),
  "one zero": table.random_losses(5, steps=3).at[1, 1].set(0.0),
}


def _loop(name, rows, change=lambda state: state):
  """Returns the weights of each row; `change` is applied to the state before each update."""
  state, found = ALL[name].init(as_losses(name, rows[0])), []
  for row in rows:
    weights, state = table.update(name, row, change(state))
    found.append(weights)
  return np.stack(found)


def test_the_tests_of_this_folder_run_under_strict_ranks():
  with pytest.raises(ValueError, match="rank_promotion"):
    jnp.ones((2, 2)) + jnp.ones(2)


@over_weightings
@pytest.mark.parametrize("kind", SOUND)
def test_no_step_of_the_computation_is_nan_for_sound_losses(name, kind):
  """Without jit, where each operation is looked at."""
  with jax.debug_nans(True):
    assert np.isfinite(_loop(name, SOUND[kind])).all()


@over_weightings
def test_a_state_of_numpy_arrays_works_without_jit(name):
  def restored(state):
    return jax.tree.map(np.asarray, state)

  rows = SOUND["usual"]
  np.testing.assert_array_equal(_loop(name, rows, restored), _loop(name, rows))


@over_stacked
@pytest.mark.parametrize("zero", [None, 0, slice(None)], ids=["usual", "one zero", "all zero"])
def test_no_step_of_a_transformation_is_nan_for_sound_gradients(name, zero):
  state = stacked.ALL[name].init(stacked.PARAMS)
  with jax.debug_nans(True):
    for seed in range(3):
      losses, gradients = stacked._gradients(seed)
      if zero is not None:
        losses = losses.at[zero].set(0.0)
        gradients = jax.tree.map(lambda g: g.at[zero].set(0.0), gradients)
      updates, state = stacked.ALL[name].update(gradients, state, losses=losses)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((updates, state)))


@over_stacked
def test_a_transformation_takes_a_state_of_numpy_arrays(name):
  transformation = stacked.ALL[name]
  losses, gradients = stacked._gradients(0)
  _, state = transformation.update(gradients, transformation.init(stacked.PARAMS), losses=losses)
  expected = transformation.update(gradients, state, losses=losses)
  found = transformation.update(gradients, jax.tree.map(np.asarray, state), losses=losses)
  jax.tree.map(np.testing.assert_array_equal, found, expected)


# Complex parameters: everything is as for the real and imaginary parts as parameters.
RNG = np.random.default_rng(0)
Z = {
  "a": jnp.array(RNG.normal(size=4) + 1j * RNG.normal(size=4), jnp.complex64),
  "b": jnp.array(RNG.normal(size=(2, 3)), jnp.float32),
}


def _complex_losses(z):
  """Three losses that conflict."""
  return jnp.stack(
    [
      (jnp.abs(z["a"] - (1 + 2j)) ** 2).sum() + (z["b"] ** 2).sum(),
      5 * (jnp.abs(z["a"] * (1 + 1j) - 3j) ** 2).sum(),
      (jnp.real(z["a"] ** 2) + 2 * jnp.imag(z["a"])).sum() ** 2 + jnp.abs(z["b"] - 1).sum(),
    ]
  )


def _parts(z):
  return {"re": jnp.real(z["a"]), "im": jnp.imag(z["a"]), "b": z["b"]}


def _whole(parts):
  return {"a": jax.lax.complex(parts["re"], parts["im"]), "b": parts["b"]}


def _of_parts(parts):
  return _complex_losses(_whole(parts))


@pytest.mark.parametrize("name", [name for name in table.BASES if ALL[name].needs_gram])
def test_weights_of_complex_parameters_are_those_of_their_parts(name):
  weighting, losses = ALL[name], jnp.zeros(3)
  state = weighting.init(losses)
  whole, parts = (
    jax.jit(w.losses_and_gradients(lambda p, f=f: (f(p), None), weighting))(p, state)[0]
    for f, p in ((_complex_losses, Z), (_of_parts, _parts(Z)))
  )
  np.testing.assert_allclose(whole.weights, parts.weights, rtol=2e-3, atol=1e-4)
  scale = np.abs(parts.gradients["re"]).max()
  found = _parts(jax.tree.map(jnp.conj, whole.gradients))  # JAX gives the conjugate
  for key, value in parts.gradients.items():
    np.testing.assert_allclose(found[key] / scale, value / scale, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("gram_at", ["logits", "params"])
@pytest.mark.parametrize("parts", [1, 2])
def test_complex_outputs_are_compared_as_their_parts(gram_at, parts):
  record = w.LossWeighting(
    lambda losses: None, lambda losses, state, gram, **_: (jnp.ones_like(losses), gram), True
  )
  x = jnp.array(np.random.default_rng(1).normal(size=(4, 4)), jnp.float32)
  split = w.SplitLoss(
    lambda p, x: (x.astype(jnp.complex64) * p["a"][None], None),
    lambda out, x: jnp.stack([(jnp.abs(out - 1j) ** 2).mean(), jnp.abs(jnp.real(out)).mean()]),
  )
  compute = w.losses_and_gradients(split, record, gram_at=gram_at, num_microbatches=parts)
  _, gram = jax.jit(compute)({"a": Z["a"]}, None, x)
  out = np.asarray(x * Z["a"][None], np.complex128)
  rows = [2 * (out - 1j), np.sign(out.real).astype(complex)]
  if gram_at == "params":
    rows = [(row * np.asarray(x)).sum(axis=0) for row in rows]
  rows = [row.ravel() / out.size for row in rows]
  expected = np.array([[np.vdot(a, b).real for b in rows] for a in rows])
  assert jnp.issubdtype(gram.dtype, jnp.floating)
  np.testing.assert_allclose(gram, expected, rtol=1e-4, atol=1e-6)


def test_the_optax_face_takes_complex_parameters():
  transformation = w.combine_gradients(w.mgda(), 3)
  update = jax.jit(transformation.update)
  results = []
  for function, params in ((_complex_losses, Z), (_of_parts, _parts(Z))):
    gradients = jax.jacrev(function)(params)
    state = transformation.init(params)
    results.append(update(gradients, state, params, losses=function(params))[0])
  found = _parts(jax.tree.map(jnp.conj, results[0]))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), found, results[1])


@over_stacked
def test_a_transformation_of_complex_gradients_is_that_of_their_parts(name):
  transformation = stacked.ALL[name]
  states, found = [], []
  for function, params in ((_complex_losses, Z), (_of_parts, _parts(Z))):
    gradients, losses = jax.jacrev(function)(params), function(params)
    state = transformation.init(params)
    for _ in range(2):
      updates, state = transformation.update(gradients, state, losses=losses)
    states.append(state)
    found.append(updates)
  assert updates["re"].dtype == jnp.float32
  assert found[0]["a"].dtype == jnp.complex64
  assert found[0]["b"].dtype == jnp.float32
  assert not any(jnp.iscomplexobj(leaf) for leaf in jax.tree.leaves(states[0]))
  if "graddrop" in name:  # the draws of other shapes are other draws
    return
  whole = _parts(jax.tree.map(jnp.conj, found[0]))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), whole, found[1])


def test_graddrop_treats_both_parts_of_a_complex_number_alike():
  gradients = {"a": jnp.array([[1 + 2j, 3 - 1j], [2 + 1j, 1 - 3j], [1 + 0.5j, 2 - 0j]])}
  transformation = w.graddrop(3)
  updates, _ = transformation.update(gradients, transformation.init({"a": jnp.zeros(2) * 1j}))
  np.testing.assert_allclose(updates["a"], gradients["a"].sum(axis=0), rtol=1e-6)
  mixed = {"a": jnp.array([[1 + 2j], [-3 + 1j], [0.5 + 1j]])}
  updates, _ = transformation.update(mixed, transformation.init({"a": jnp.zeros(1) * 1j}))
  assert float(jnp.imag(updates["a"])[0]) == 4.0  # no conflict there
  assert float(jnp.real(updates["a"])[0]) in (1.5, -3.0)


def test_a_gram_matrix_that_is_hermitian_counts_by_its_real_part():
  gram = jnp.array([[4.0, 1 - 2j], [1 + 2j, 1.0]], jnp.complex64)
  for method in (w.mgda(), w.modo(), w.pcgrad()):
    state = method.init(jnp.ones(2))
    found, _ = method.update(jnp.ones(2), state, gram=gram)
    expected, _ = method.update(jnp.ones(2), state, gram=jnp.real(gram))
    np.testing.assert_array_equal(found, expected)


def test_complex_losses_are_refused():
  with pytest.raises(ValueError, match="losses: must be real"):
    w.softadapt().init(jnp.zeros(2, jnp.complex64))
