"""The weighting that a number chooses, weightings of some losses, factors from outside."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

SHORT = {"capacity": 4, "min_history": 2}
WEIGHTINGS = (w.dynamic_memory_fusion("variance", **SHORT), w.geometric(), w.relobralo())
ROWS = jnp.array(np.random.default_rng(0).gamma(2.0, 1.0, [6, 3]), jnp.float32)


def _trajectory(weighting, **extra):
  """Returns the weights [6, 3] over the rows."""
  state, found = weighting.init(ROWS[0]), []
  for number, row in enumerate(ROWS):
    weights, state = weighting.update(row, state, key=jax.random.key(number), **extra)
    found.append(weights)
  return jnp.stack(found)


@pytest.mark.slow
@pytest.mark.parametrize("method", range(len(WEIGHTINGS)))
def test_the_chosen_member_decides_as_if_it_were_alone(method):
  actual = _trajectory(w.switch(*WEIGHTINGS), method=jnp.int32(method))
  np.testing.assert_allclose(actual, _trajectory(WEIGHTINGS[method]), rtol=1e-6)


def test_under_vmap_each_model_has_a_method_of_its_own():
  weighting = w.switch(*WEIGHTINGS)
  methods = jnp.array([2, 0, 1])
  actual = jax.jit(jax.vmap(lambda method: _trajectory(weighting, method=method)))(methods)
  for number, method in enumerate(methods.tolist()):
    np.testing.assert_allclose(actual[number], _trajectory(WEIGHTINGS[method]), rtol=1e-5)


def test_the_weightings_that_are_not_chosen_keep_their_state():
  weighting = w.switch(*WEIGHTINGS)
  state = weighting.init(ROWS[0])
  _, new = weighting.update(ROWS[0], state, method=jnp.int32(1), key=jax.random.key(0))
  for index in (0, 2):
    jax.tree.map(np.testing.assert_array_equal, new.members[index], state.members[index])


@pytest.mark.slow
def test_a_subset_weighs_its_losses_as_if_there_were_no_others():
  names = ("c", "a")
  weighting = w.subset(w.cagrad(), names)
  gradients = jnp.array(np.random.default_rng(1).normal(size=[3, 5]), jnp.float32)
  gram = gradients @ gradients.T
  losses = dict(zip("abc", ROWS[0], strict=True))
  weights, _ = weighting.update(losses, weighting.init(losses), gram=gram)
  own = {name: losses[name] for name in names}
  indices = jnp.array([0, 2])
  expected, _ = w.cagrad().update(own, w.cagrad().init(own), gram=gram[indices][:, indices])
  assert weights["b"] == 0
  for name in names:
    np.testing.assert_allclose(weights[name], expected[name], rtol=1e-6)


@pytest.mark.parametrize(
  ("build", "message"),
  [
    (lambda: w.switch(), "weightings: must be at least one"),
    (lambda: w.subset(w.fixed(), ()), "names: must be different and at least one"),
    (lambda: w.subset(w.fixed(), ("a", "a")), "names: must be different"),
    (lambda: w.subset(w.fixed(), ("d",)).init({"a": 1.0}), "names: losses must be a dict with d"),
    (lambda: w.subset(w.fixed(), ("d",)).init(jnp.zeros(2)), "names: losses must be a dict"),
  ],
)
def test_wrong_use_is_refused(build, message):
  with pytest.raises(ValueError, match=message):
    build()


def test_the_factor_of_an_auxiliary_loss_may_be_a_models_own():
  weighting = w.with_auxiliary(w.fixed(), "b", initial=5.0, decay=0.05, decay_every=2)
  losses = {"a": jnp.float32(1.0), "b": jnp.float32(1.0)}

  def factors(auxiliary):
    state, found = weighting.init(losses), []
    for _ in range(6):
      weights, state = weighting.update(losses, state, auxiliary=auxiliary)
      found.append(weights["b"])
    return jnp.stack(found)

  own = np.array([[5.0, 0.05], [2.0, 1.0], [0.0, 0.3]], np.float32)
  actual = jax.vmap(lambda pair: factors((pair[0], pair[1])))(own)
  time = np.arange(6) // 2
  np.testing.assert_allclose(actual, own[:, :1] * np.exp(-own[:, 1:] * time), rtol=1e-6)
  np.testing.assert_allclose(factors(None), actual[0], rtol=1e-6)
