"""What fixed weights and the combinators do to losses and weights."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

LOSSES = {"dice": jnp.float32(0.4), "focal": jnp.float32(0.1), "iou": jnp.float32(0.6)}


def _once(weighting, losses, **keywords):
  return weighting.update(losses, weighting.init(losses), **keywords)[0]


@pytest.mark.parametrize(
  ("weights", "expected"),
  [
    (1.0, [1, 1, 1]),
    (2, [2, 2, 2]),
    ((1.0, 2.0, 3.0), [1, 2, 3]),
    (np.array([1.0, 2.0, 3.0]), [1, 2, 3]),
    ({"iou": 3.0, "dice": 1.0, "focal": 0.0}, [1, 0, 3]),
  ],
)
def test_fixed_weights_in_every_form(weights, expected):
  result = _once(w.fixed(weights), LOSSES)
  np.testing.assert_array_equal([result[name] for name in sorted(LOSSES)], expected)


@pytest.mark.parametrize("weights", [(1.0, 2.0), {"dice": 1.0}, {"a": 1, "b": 1, "c": 1}, [1.0]])
def test_fixed_refuses_losses_that_do_not_match(weights):
  with pytest.raises(ValueError, match="weights: must be one number, 3 numbers, or like the loss"):
    w.fixed(weights).init(LOSSES)


@pytest.mark.parametrize("weights", [-1.0, (1.0, float("nan")), {"a": float("inf")}, "one"])
def test_fixed_refuses_what_are_not_weights(weights):
  with pytest.raises(ValueError, match="weights: must be"):
    w.fixed(weights)


def test_chain_hands_weights_on_and_keys_apart():
  seen = []

  def spy(name):
    def update(losses, state, *, weights=None, gram=None, key=None, **extra):
      seen.append((name, weights, gram, jax.random.key_data(key).tolist(), extra))
      return jax.tree.map(lambda _: jnp.float32(len(seen)), losses), state

    return w.LossWeighting(lambda losses: (), update, needs_gram=name == "b")

  weighting = w.chain(spy("a"), spy("b"))
  given = dict.fromkeys(LOSSES, jnp.float32(7))
  result = _once(weighting, LOSSES, weights=given, gram="G", key=jax.random.key(0), step=4)
  (_, weights_a, gram_a, key_a, extra_a), (_, weights_b, gram_b, key_b, extra_b) = seen
  assert weights_a == given
  assert {float(weight) for weight in weights_b.values()} == {1.0}
  assert {float(weight) for weight in result.values()} == {2.0}
  assert gram_a == gram_b == "G"
  assert extra_a == extra_b == {"step": 4}
  assert key_a != key_b
  assert weighting.needs_gram
  assert not w.chain(spy("a")).needs_gram


def test_ema_equals_its_formula():
  rows = np.random.default_rng(0).random([6, 3]).astype(np.float32)
  weighting, losses = w.ema(0.7), jnp.zeros(3)
  state, expected = weighting.init(losses), None
  for row in rows:
    average, state = weighting.update(losses, state, weights=jnp.array(row))
    expected = row if expected is None else 0.7 * expected + 0.3 * row
    np.testing.assert_allclose(average, expected, rtol=1e-5)


def test_ema_passes_over_weights_that_are_not_finite():
  weighting, losses = w.ema(0.5), jnp.zeros(2)
  state = weighting.init(losses)
  bad, first, second = (jnp.array(x) for x in ([jnp.nan, 1.0], [0.8, 0.2], [0.2, 0.8]))
  averages = []
  for weights in (bad, first, bad, second):
    average, state = weighting.update(losses, state, weights=weights)
    averages.append(average)
  np.testing.assert_allclose(averages, [[0.5, 0.5], [0.8, 0.2], [0.8, 0.2], [0.5, 0.5]], rtol=1e-6)


def _nearest(shares, lower, upper):
  """Returns the point of the bounded simplex nearest to the shares, by bisection in float64."""
  low, high = -2.0, 2.0
  for _ in range(100):
    tau = (low + high) / 2
    if np.clip(shares + tau, lower, upper).sum() < 1:
      low = tau
    else:
      high = tau
  return np.clip(shares + low, lower, upper)


@pytest.mark.slow
@pytest.mark.parametrize("num_losses", [1, 2, 3, 8])
@pytest.mark.parametrize("tightness", [0.0, 0.3, 0.9, 1.0])
def test_bounded_is_the_nearest_point_that_keeps_sum_and_bounds(num_losses, tightness):
  lower = tightness / num_losses
  upper = max(1 - tightness * (1 - 1 / num_losses), lower)
  update = jax.jit(w.bounded(lower, upper).update)
  for seed, total in itertools.product(range(8), [1.0, 3.0, 1e-6, 1e30]):
    shares = np.random.default_rng(seed).dirichlet(np.full(num_losses, 0.3))
    weights = jnp.array(total * shares, jnp.float32)
    result, _ = update(jnp.zeros(num_losses), (), weights=weights)
    np.testing.assert_allclose(result.sum() / total, 1, rtol=3e-6)
    assert (result / total >= lower - 1e-6).all()
    assert (result / total <= upper + 1e-6).all()
    np.testing.assert_allclose(result / total, _nearest(shares, lower, upper), atol=3e-6)


def test_bounded_leaves_weights_within_the_bounds_as_they_are():
  weights = jnp.array([0.3, 0.5, 0.9], jnp.float32)
  result = _once(w.bounded(0.1, 0.8), jnp.zeros(3), weights=weights)
  np.testing.assert_array_equal(result, weights)


@pytest.mark.parametrize(
  "weights", [[jnp.nan, 1.0], [jnp.inf, 1.0], [0.0, 0.0], [-1.0, 0.5]], ids=str
)
def test_bounded_is_uniform_where_shares_have_no_meaning(weights):
  result = _once(w.bounded(0.1, 0.9), jnp.zeros(2), weights=jnp.array(weights))
  np.testing.assert_array_equal(result, 0.5)


def test_bounded_takes_huge_weights():
  result = _once(w.bounded(0.2, 0.5), jnp.zeros(3), weights=jnp.array([3e38, 1e38, 0.0]))
  np.testing.assert_allclose(np.asarray(result, np.float64) / 4e38, [0.5, 0.3, 0.2], rtol=1e-5)


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: w.bounded(-0.1, 0.5), r"lower: must be a finite number in \[0, 1\], got -0.1"),
    (lambda: w.bounded(0.5, 0.4), r"upper: must be a finite number in \[0.5, 1\], got 0.4"),
    (lambda: w.bounded(0.4, 1.0).init(LOSSES), r"lower: must be .* \[0, 0.33.*\], got 0.4"),
    (lambda: w.bounded(0.0, 0.3).init(LOSSES), r"upper: must be .* \[0.33.*, 1\], got 0.3"),
    (lambda: w.ema(1.1), r"decay: must be a finite number in \[0, 1\], got 1.1"),
    (lambda: w.ema("0.9"), r"decay: must be a finite number"),
    (lambda: w.chain(), r"weightings: must be at least one"),
    (lambda: w.with_auxiliary(w.fixed(), "a", initial=-1), r"initial: must be .* got -1"),
    (lambda: w.with_auxiliary(w.fixed(), "a", decay=float("nan")), r"decay: must be .* got nan"),
    (lambda: w.with_auxiliary(w.fixed(), "a", decay_every=0), r"decay_every: .* >= 1, got 0"),
    (
      lambda: w.with_auxiliary(w.fixed(), "tversky").init(LOSSES),
      r"dict with 'tversky' and at least one more, got \['dice', 'focal', 'iou'\]",
    ),
    (lambda: w.with_auxiliary(w.fixed(), "a").init({"a": 1.0}), r"at least one more, got \['a'\]"),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_auxiliary_loss_is_hidden_from_the_inner_weighting():
  seen = {}

  def update(losses, state, *, weights=None, gram=None, **extra):
    seen.update(losses=losses, weights=weights, gram=gram)
    return jax.tree.map(jnp.ones_like, losses), state

  inner = w.LossWeighting(lambda losses: (), update, needs_gram=True)
  weighting = w.with_auxiliary(inner, "focal", initial=2.0)
  gram = jnp.arange(9.0).reshape(3, 3)
  result = _once(weighting, LOSSES, weights=LOSSES, gram=gram)
  assert seen["losses"].keys() == seen["weights"].keys() == {"dice", "iou"}
  np.testing.assert_array_equal(seen["gram"], [[0, 2], [6, 8]])
  assert {name: float(weight) for name, weight in result.items()} == {
    "dice": 1.0,
    "focal": 2.0,
    "iou": 1.0,
  }
  assert weighting.needs_gram


def test_auxiliary_weight_follows_equation_2():
  weighting = w.with_auxiliary(w.fixed(), "focal", initial=3.0, decay=0.4, decay_every=2)
  state, gammas = weighting.init(LOSSES), []
  for _ in range(7):
    weights, state = weighting.update(LOSSES, state)
    gammas.append(float(weights["focal"]))
  np.testing.assert_allclose(gammas, 3 * np.exp(-0.4 * (np.arange(7) // 2)), rtol=1e-6)


def test_combinators_compose():
  dmf = w.dynamic_memory_fusion("variance", capacity=9, min_history=3)
  weighting = w.with_auxiliary(w.chain(dmf, w.ema(0.5), w.bounded(0.3, 0.6)), "focal")
  state = weighting.init(LOSSES)
  for step in range(8):
    losses = jax.tree.map(lambda loss, step=step: loss + jnp.sin(step * 10 * loss), LOSSES)
    weights, state = weighting.update(losses, state)
  assert weights["focal"] == 5
  np.testing.assert_allclose(weights["dice"] + weights["iou"], 1, rtol=1e-6)
  assert 0.3 <= weights["dice"] <= 0.7
  assert weights["dice"] != weights["iou"]
