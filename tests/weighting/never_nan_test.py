"""No weighting ever gives a weight, or keeps a state, that is not finite, whatever it is fed."""

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.weighting import table

CASES = 190  # per weighting; 8 of them in the default run
STEPS = 6
FLOATS = st.one_of(
  st.floats(width=32, allow_subnormal=True),  # NaN and the infinities too
  st.floats(2.0**-10, 10.0, width=32),
  st.sampled_from(np.float32([0, -0.0, 1e-45, -1e-38, 1e-30, 1e18, 3.4e38, -3.4e38]).tolist()),
)
LOSSES = hnp.arrays(np.float32, (STEPS, table.K), elements=FLOATS)
GRAMS = hnp.arrays(np.float32, (STEPS, table.K, table.K), elements=FLOATS)


@pytest.mark.parametrize("name", table.ALL)
@pytest.mark.parametrize("count", [8, pytest.param(CASES, marks=pytest.mark.slow)])
def test_weights_and_states_are_finite_for_any_losses_and_gram(name, count):
  needs_gram = table.ALL[name].needs_gram
  run = table.scan(name, with_gram=needs_gram)

  @hypothesis.settings(max_examples=count, deadline=None, database=None, derandomize=True)
  @hypothesis.given(LOSSES, GRAMS if needs_gram else st.none())
  def check(losses, grams):
    weights, state = run(losses, grams)
    assert np.isfinite(weights).all(), weights
    for leaf in jax.tree.leaves(state):
      assert np.isfinite(leaf).all(), state

  check()


def test_lengths_whose_square_is_no_normal_number_leave_sdmgrad_finite():
  # (A / B) / B is compiled to A / (B * B), which is 0 / 0 here.
  gram = np.full((STEPS, table.K, table.K), np.finfo(np.float32).tiny)
  gram[:, 0, 0] = 0
  weights, _ = table.scan("sdmgrad", with_gram=True)(np.zeros((STEPS, table.K), np.float32), gram)
  assert np.isfinite(weights).all()


def test_there_are_at_least_ten_thousand_cases():
  assert len(table.ALL) * CASES >= 10_000
