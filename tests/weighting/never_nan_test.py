"""No weighting ever gives a weight, or keeps a state, that is not finite, whatever it is fed."""

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.weighting import table

CASES = 240  # per weighting, beside 8 without a mask in the default run
STEPS = 6
FLOATS = st.one_of(
  st.floats(width=32, allow_subnormal=True),  # NaN and the infinities too
  st.floats(2.0**-10, 10.0, width=32),
  st.sampled_from(np.float32([0, -0.0, 1e-45, -1e-38, 1e-30, 1e18, 3.4e38, -3.4e38]).tolist()),
)
LOSSES = hnp.arrays(np.float32, (STEPS, table.K), elements=FLOATS)
GRAMS = hnp.arrays(np.float32, (STEPS, table.K, table.K), elements=FLOATS)
ALL_PRESENT = np.ones((STEPS, table.K), bool)
MASKS = st.one_of(st.just(ALL_PRESENT), hnp.arrays(bool, ALL_PRESENT.shape))


def _check(name, count, masks):
  run = table.scan(name)

  @hypothesis.settings(max_examples=count, deadline=None, database=None, derandomize=True)
  @hypothesis.given(LOSSES, GRAMS if table.ALL[name].needs_gram else st.none(), masks)
  def check(losses, grams, masks):
    weights, state = run(losses, grams, masks)
    assert np.isfinite(weights).all(), weights
    assert masks is None or (np.asarray(weights)[~masks] == 0).all(), weights
    for leaf in jax.tree.leaves(state):
      assert np.isfinite(leaf).all(), state

  check()


@pytest.mark.parametrize("name", table.ALL)
def test_weights_and_states_are_finite_for_any_losses_and_gram(name):
  _check(name, 8, st.none())


@pytest.mark.slow
@pytest.mark.parametrize("name", table.ALL)
def test_they_are_finite_where_losses_are_absent(name):
  _check(name, CASES, MASKS)


def test_lengths_whose_square_is_no_normal_number_leave_sdmgrad_finite():
  # (A / B) / B is compiled to A / (B * B), which is 0 / 0 here.
  gram = np.full((STEPS, table.K, table.K), np.finfo(np.float32).tiny)
  gram[:, 0, 0] = 0
  weights, _ = table.scan("sdmgrad")(np.zeros((STEPS, table.K), np.float32), gram)
  assert np.isfinite(weights).all()


def test_there_are_at_least_twelve_thousand_cases():
  assert len(table.ALL) * CASES >= 12_000
