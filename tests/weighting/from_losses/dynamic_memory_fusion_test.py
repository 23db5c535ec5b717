"""Dynamic memory fusion against the reference's numbers and against the paper's equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w


def _weights(weighting, rows):
  """Returns the weights after each row, [steps, K]."""
  _, weights = jax.lax.scan(
    lambda state, row: weighting.update(row, state)[::-1], weighting.init(rows[0]), rows
  )
  return np.asarray(weights)


@pytest.fixture(scope="module")
def golden(golden):
  return golden("dmf")


@pytest.mark.shared
@pytest.mark.parametrize(
  ("statistic", "key"), [("variance", "var"), ("mad", "mad"), ("bayesian", "bayes")]
)
def test_equals_the_reference_implementation(golden, statistic, key):
  inputs, rows = golden["inputs"], golden["outputs"]["per_step_from_27"][key]
  losses = jnp.array(inputs["loss_steps"], jnp.float32)
  weighting = w.dynamic_memory_fusion(
    statistic, inputs["history_size_max"], inputs["history_size"], _median="reference"
  )
  first = inputs["first_reported_step"]
  weights = _weights(weighting, losses)[first:]
  assert len(weights) == len(rows) == 9
  np.testing.assert_allclose(weights, [row["weights"] for row in rows], rtol=2e-5)
  totals = (weights * np.asarray(losses)[first:]).sum(axis=1)
  np.testing.assert_allclose(totals, [row["total"] for row in rows], rtol=2e-5)


@pytest.mark.shared
def test_true_median_differs_from_the_reference(golden):
  losses = jnp.array(golden["inputs"]["loss_steps"], jnp.float32)
  true, reference = (
    _weights(w.dynamic_memory_fusion("mad", 90, 30, _median=kind), losses)[-1]
    for kind in ("true", "reference")
  )
  assert np.abs(true - reference).max() > 1e-3


@pytest.mark.shared
def test_auxiliary_weight_equals_the_reference(golden):
  weighting = w.with_auxiliary(w.fixed(), "aux", initial=5.0, decay=0.05, decay_every=3)
  losses = {"base": jnp.float32(1.0), "aux": jnp.float32(0.5)}
  state, totals = weighting.init(losses), []
  for _ in range(10):
    weights, state = weighting.update(losses, state)
    totals.append(float(sum(weights[name] * losses[name] for name in losses)))
  np.testing.assert_allclose(totals, golden["outputs"]["aux"]["values"], rtol=2e-6)


def _paper(rows, statistic, capacity, min_history, forgetting):
  """Equations 3 to 10 with the true median, one step after another, in float64."""
  rows = np.asarray(rows, np.float64)
  num_losses = rows.shape[1]
  prior, results = np.full(num_losses, 1 / num_losses), []
  for step in range(1, len(rows) + 1):
    if step < min_history:
      results.append(np.full(num_losses, 1 / num_losses))
      continue
    kept = rows[max(step - capacity, 0) : step]
    logs = np.sign(kept) * np.log(1 + np.abs(kept))
    scaled = (logs - logs.min(0)) / (logs.max(0) - logs.min(0))
    mads = np.median(np.abs(scaled - np.median(scaled, axis=0)), axis=0)
    score = {"variance": scaled.var(0), "mad": 1 / mads, "bayesian": prior / mads}[statistic]
    results.append(score / score.sum())
    prior = (1 - forgetting) * results[-1] + forgetting / num_losses
  return np.array(results)


@pytest.mark.parametrize(
  ("statistic", "forgetting"),
  [("variance", 0.0), ("mad", 0.0), ("bayesian", 0.0), ("bayesian", 0.1)],
)
@pytest.mark.parametrize(
  ("capacity", "min_history", "num_losses"), [(12, 5, 3), (7, 7, 2), (40, 3, 5)]
)
def test_equals_the_equations_of_the_paper(
  statistic, forgetting, capacity, min_history, num_losses
):
  rng = np.random.default_rng(num_losses)
  rows = rng.gamma(2.0, rng.uniform(0.1, 5, num_losses), [30, num_losses]).astype(np.float32)
  rows[:, 0] -= 2
  expected = _paper(rows, statistic, capacity, min_history, forgetting)
  weighting = w.dynamic_memory_fusion(statistic, capacity, min_history, forgetting)
  with jax.enable_x64(True):
    weights = _weights(weighting, jnp.array(rows, jnp.float64))
  np.testing.assert_allclose(weights, expected, rtol=1e-8, atol=1e-12)
  np.testing.assert_allclose(_weights(weighting, jnp.array(rows)), expected, rtol=1e-3, atol=1e-5)


def _noise(num_steps, num_losses=3, seed=0):
  return jnp.array(np.random.default_rng(seed).random([num_steps, num_losses]), jnp.float32)


def test_weights_are_uniform_until_there_are_min_history_values():
  rows = _noise(12).at[3, 1].set(jnp.nan)
  weights = _weights(w.dynamic_memory_fusion("variance", 20, 8), rows)
  # Eight finite steps are there after the ninth.
  np.testing.assert_allclose(weights[:8], 1 / 3, rtol=1e-6)
  assert np.abs(weights[8] - 1 / 3).max() > 1e-3


@pytest.mark.parametrize("statistic", ["variance", "mad", "bayesian"])
def test_constant_histories_give_uniform_weights(statistic):
  rows = jnp.broadcast_to(jnp.array([0.1, 2.0, 30.0]), (10, 3))
  weights = _weights(w.dynamic_memory_fusion(statistic, 6, 3), rows)
  np.testing.assert_allclose(weights, 1 / 3, rtol=1e-6)


def test_one_constant_history_has_no_variance_and_leaves_mad_undecided():
  rows = _noise(10).at[:, 1].set(0.5)
  variance = _weights(w.dynamic_memory_fusion("variance", 9, 3), rows)[-1]
  assert variance[1] == 0
  np.testing.assert_allclose(variance.sum(), 1, rtol=1e-6)
  mad = _weights(w.dynamic_memory_fusion("mad", 9, 3), rows)[-1]
  np.testing.assert_allclose(mad, 1 / 3, rtol=1e-6)


def test_bayesian_posterior_keeps_its_prior_where_the_histories_decide_nothing():
  rows = jnp.concatenate([_noise(20), jnp.broadcast_to(jnp.array([0.5, 0.6, 0.7]), (30, 3))])
  weights = _weights(w.dynamic_memory_fusion("bayesian", 10, 5), rows)
  assert np.abs(weights[-1] - 1 / 3).max() > 1e-2
  np.testing.assert_allclose(weights[-1], weights[30], rtol=1e-5)


def _skewed(num_steps):
  """Returns losses of which the first has by far the smaller MAD at every step."""
  rng = np.random.default_rng(5)
  heavy = rng.standard_cauchy(num_steps) * 0.01
  return jnp.array(np.stack([heavy, rng.random(num_steps)], axis=1), jnp.float32)


def test_bayesian_runs_to_one_loss_without_becoming_non_finite():
  weights = _weights(w.dynamic_memory_fusion("bayesian", 50, 20), _skewed(2000))
  assert np.isfinite(weights).all()
  np.testing.assert_allclose(weights[-1], [1, 0], atol=1e-6)
  np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_forgetting_keeps_the_bayesian_weights_apart_from_zero_and_one():
  weights = _weights(w.dynamic_memory_fusion("bayesian", 50, 20, forgetting=0.2), _skewed(2000))
  assert weights[-1].min() > 1e-3
  assert weights[-1, 0] > 0.5


def test_complete_forgetting_is_the_mad_weighting():
  rows = _noise(30)
  forgotten = _weights(w.dynamic_memory_fusion("bayesian", 9, 4, forgetting=1.0), rows)
  np.testing.assert_allclose(forgotten, _weights(w.dynamic_memory_fusion("mad", 9, 4), rows), 1e-5)


def test_a_prior_is_multiplied_by_the_evidence():
  rows, prior = _noise(30), np.array([0.5, 0.3, 0.2])
  # Complete forgetting begins each step with the first prior, and 'mad' is the evidence alone.
  found = _weights(w.dynamic_memory_fusion("bayesian", 9, 4, forgetting=1.0, prior=prior), rows)
  evidence = _weights(w.dynamic_memory_fusion("mad", 9, 4), rows) * prior
  np.testing.assert_allclose(found, evidence / evidence.sum(1, keepdims=True), rtol=1e-4)
  np.testing.assert_allclose(found[:3], np.tile(prior, (3, 1)), rtol=1e-5)


def test_only_the_ratios_of_a_prior_count():
  rows = _noise(20)
  few, many = (
    _weights(w.dynamic_memory_fusion("bayesian", 9, 4, prior=prior), rows)
    for prior in ((1.0, 2.0, 4.0), (10.0, 20.0, 40.0))
  )
  np.testing.assert_allclose(few, many, rtol=1e-5)


def test_a_prior_that_does_not_match_the_losses_is_refused():
  with pytest.raises(ValueError, match="prior"):
    w.dynamic_memory_fusion("bayesian", prior=(1.0, 2.0)).init(jnp.zeros(3))


def test_a_step_that_is_not_finite_does_not_count_as_evidence():
  rows = _noise(20)
  gap = jnp.concatenate([rows[:15], jnp.full((4, 3), jnp.nan), rows[15:]])
  weighting = w.dynamic_memory_fusion("bayesian", 9, 4)
  np.testing.assert_array_equal(_weights(weighting, gap)[-5:], _weights(weighting, rows)[-5:])


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"statistic": "median"}, r"statistic: choose from variance, mad, bayesian; got 'median'"),
    ({"min_history": 1}, r"min_history: must be an integer >= 2, got 1"),
    ({"min_history": 2.5}, r"min_history: must be an integer >= 2, got 2.5"),
    ({"capacity": 20}, r"capacity: must be an integer >= 50, got 20"),
    ({"statistic": "bayesian", "forgetting": 1.5}, r"forgetting: must be .* \[0, 1\], got 1.5"),
    ({"forgetting": 0.5}, r"forgetting: must be 0 unless statistic is 'bayesian', got 0.5"),
    ({"statistic": "bayesian", "prior": (1.0, 0.0)}, r"prior: must be a finite number in"),
    (
      {"prior": (1.0, 2.0)},
      r"prior: must be None unless statistic is 'bayesian', got \(1.0, 2.0\)",
    ),
    ({"_median": "other"}, r"_median: choose from true, reference; got 'other'"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    w.dynamic_memory_fusion(**arguments)
