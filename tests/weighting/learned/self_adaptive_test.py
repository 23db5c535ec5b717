"""Self-adaptive weights of points: gradient ascent, computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import weighting as w


@pytest.mark.parametrize("power", [1, 2, 4])
def test_the_parameters_ascend_the_loss(power):
  rng = np.random.default_rng(power)
  weighting = w.self_adaptive(power, optimizer=optax.sgd(0.01))
  state, parameters = weighting.init(jnp.zeros(5)), jnp.ones(5)
  for _ in range(10):
    losses = jnp.array(rng.gamma(2.0, 1.0, 5), jnp.float32)
    weights, state = weighting.update(losses, state)
    np.testing.assert_allclose(weights, parameters**power / 5, rtol=1e-5)
    total = lambda own, losses=losses: (own**power * losses).sum()  # noqa: E731
    slope = jnp.clip(jax.grad(total)(parameters), -100, 100)
    parameters = jnp.minimum(parameters + 0.01 * slope, 100)


def test_weights_have_a_bound_and_rest_where_a_loss_is_zero():
  weighting = w.self_adaptive(highest=2.0, optimizer=optax.sgd(1.0))
  state = weighting.init(jnp.zeros(2))
  for _ in range(9):
    weights, state = weighting.update(jnp.array([1.0, 0.0]), state)
  assert weights.tolist() == [2.0, 0.5]


@pytest.mark.parametrize(
  ("options", "message"), [({"power": 3}, "power: choose"), ({"initial": 0.0}, "initial: must be")]
)
def test_wrong_arguments_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    w.self_adaptive(**options)
