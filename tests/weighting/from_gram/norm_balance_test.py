"""Gradient-norm balance against its formula, in numpy."""

import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w
from tests.weighting import table


@pytest.mark.parametrize("numerator", ["mean", "sum"])
@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_weights_are_those_of_the_formula(numerator, decay):
  weighting = w.gradient_norm_balance(decay, numerator)
  rng = np.random.default_rng(0)
  state, expected = weighting.init(jnp.zeros(4)), np.ones(4)
  for _ in range(5):
    rows = rng.normal(size=(4, 7)) * 10.0 ** rng.uniform(-6, 6, size=(4, 1))
    lengths = np.linalg.norm(rows, axis=1)
    top = lengths.mean() if numerator == "mean" else lengths.sum()
    expected = decay * expected + (1 - decay) * top / (lengths + 1e-5 * lengths.mean())
    gram = jnp.array(rows @ rows.T, jnp.float32)
    weights, state = weighting.update(jnp.ones(4), state, gram=gram)
    np.testing.assert_allclose(weights, expected, rtol=2e-5)


def test_weighted_gradients_become_equally_long():
  weighting = w.gradient_norm_balance(decay=0.5)
  gram = table.gram_of_row(jnp.array([1.0, 100.0, 0.01]))
  state = weighting.init(jnp.zeros(3))
  for _ in range(40):
    weights, state = weighting.update(jnp.ones(3), state, gram=gram)
  lengths = weights * jnp.sqrt(jnp.diagonal(gram))
  assert lengths.max() / lengths.min() < 1.1


def test_weights_stay_where_all_gradients_are_zero():
  weighting = w.gradient_norm_balance()
  weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), gram=jnp.zeros((2, 2)))
  assert weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
  ("options", "message"),
  [({"decay": 2.0}, "decay: must be"), ({"numerator": "max"}, "numerator: choose")],
)
def test_wrong_arguments_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    w.gradient_norm_balance(**options)
