"""What learned weightings keep of losses that are absent in some steps, beyond the laws."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import weighting as w
from mlseg.weighting import learned_state

MASK, KEPT = jnp.array([True, False, True]), [0, 2]
LEARNED = {
  "uncertainty": w.uncertainty,
  "revised_uncertainty": w.revised_uncertainty,
  "impartial_losses": w.impartial_losses,
  "robust": w.robust,
}
# Optimisers that mix the entries of their parameters.
MIXING = {
  "clipped": optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1)),
  "lamb": optax.lamb(0.1),
}
ROWS = jnp.array(np.random.default_rng(0).gamma(2.0, 1.0, [6, 3]), jnp.float32)
over_learned = pytest.mark.parametrize("name", LEARNED)


@over_learned
def test_the_parameters_of_an_absent_loss_stay(name):
  weighting = LEARNED[name]()
  _, before = weighting.update(ROWS[0], weighting.init(ROWS[0]))
  _, after = weighting.update(ROWS[1].at[1].set(jnp.nan), before, present=MASK)
  for new, old in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True):
    if jnp.ndim(new):  # parameters and the averages of their gradients
      np.testing.assert_array_equal(new[..., 1], old[..., 1])
  assert (jnp.abs(after.parameters - before.parameters)[..., jnp.array(KEPT)] > 1e-4).all()


@over_learned
def test_a_step_without_losses_is_not_counted_by_the_optimiser(name):
  weighting = LEARNED[name]()
  _, before = weighting.update(ROWS[0], weighting.init(ROWS[0]))
  weights, after = weighting.update(ROWS[1], before, present=jnp.zeros(3, bool))
  jax.tree.map(np.testing.assert_array_equal, after, before)
  np.testing.assert_array_equal(weights, 0)


@pytest.mark.parametrize("optimizer", MIXING)
def test_an_optimiser_that_mixes_its_entries_does_not_see_the_absent_ones(optimizer):
  weighting = w.uncertainty(initial=0.5, optimizer=MIXING[optimizer])
  state, alone = weighting.init(ROWS[0]), weighting.init(ROWS[0, :2])
  for row in ROWS:
    _, state = weighting.update(row, state, present=MASK)
    _, alone = weighting.update(row[jnp.array(KEPT)], alone)
  np.testing.assert_allclose(state.parameters[jnp.array(KEPT)], alone.parameters, rtol=1e-5)


def test_an_absent_loss_enters_no_step_of_the_optimiser():
  optimizer = optax.sgd(1.0)
  state = learned_state.start(jnp.zeros(3), optimizer)
  gradient, losses = jnp.array([1.0, jnp.inf, 2.0]), jnp.array([1.0, jnp.nan, 1.0])
  moved = learned_state.descend(state, gradient, losses, optimizer, -9.0, 9.0, present=MASK)
  assert moved.parameters.tolist() == [-1.0, 0.0, -2.0]
