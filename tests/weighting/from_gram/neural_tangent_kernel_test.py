"""Weights from traces of neural tangent kernels: JAX-PI's numbers, and full kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

PARAMS = {
  "a": jnp.array([0.8, -1.2, 0.5]),
  "b": jnp.array([0.1, 0.4, -0.2]),
  "c": jnp.array([1.0, -0.7, 0.6]),
}
POINTS = {"bc": jnp.array([-1.0, 1.0]), "res": jnp.array([-0.75, -0.25, 0.1, 0.4, 0.9])}


def _u(params, x):
  return jnp.tanh(params["a"] * x + params["b"]) @ params["c"]


def _residual(params, x):
  return jax.grad(jax.grad(_u, 1), 1)(params, x) + jnp.sin(x)


RESIDUALS = {"bc": _u, "res": _residual}
# What ntk_fn, PINN.compute_weights (scheme 'ntk') and TrainState.apply_weights (momentum 0.9) of
# JAX-PI (github.com/PredictiveIntelligenceLab/jaxpi, commit e85b694) gave for this network at the
# parameters times 1, 0.5 and 2, from weights of 1.
TRACES = {"bc": 2.560206413269043, "res": 5.005682468414307}
DECIDED = [
  [1.4775935411453247, 0.7557300329208374],
  [0.5934582352638245, 3.174992322921753],
  [18.55013084411621, 0.5138503313064575],
]
AVERAGED = [
  [1.0477592945098877, 0.9755730032920837],
  [1.0023291110992432, 1.1955149173736572],
  [2.7571091651916504, 1.1273484230041504],
]


def _scaled(scale):
  return jax.tree.map(lambda leaf: leaf * scale, PARAMS)


def _ones():
  return {"bc": jnp.ones(()), "res": jnp.ones(())}


@pytest.mark.parametrize(("decay", "expected"), [(0.0, DECIDED), (0.9, AVERAGED)])
def test_equals_jaxpi(decay, expected):
  found = w.kernel_traces(RESIDUALS, PARAMS, POINTS)
  for name, value in TRACES.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5)
  weighting = w.neural_tangent_kernel(decay)
  state = weighting.init(_ones())
  for scale, row in zip((1.0, 0.5, 2.0), expected, strict=True):
    traces = w.kernel_traces(RESIDUALS, _scaled(scale), POINTS)
    weights, state = weighting.update(_ones(), state, traces=traces)
    np.testing.assert_allclose([weights["bc"], weights["res"]], row, rtol=2e-5)


def test_the_sum_of_the_traces_over_each_is_the_authors_code():
  # lam_u_val = trace_K / np.trace(K_u_value) of PINNsNTK_Wave1D.ipynb, and alike for the others.
  weighting, traces = w.neural_tangent_kernel(0.0, "sum"), np.array([3.0, 5.0, 0.5])
  state = weighting.init(jnp.ones(3))
  _, state = weighting.update(jnp.ones(3), state, traces=jnp.ones(3))
  weights, _ = weighting.update(jnp.ones(3), state, traces=jnp.array(traces))
  np.testing.assert_allclose(weights, traces.sum() / traces, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_trace_is_that_of_the_whole_kernel(batch_size, reduction):
  traces = w.kernel_traces(RESIDUALS, PARAMS, POINTS, reduction=reduction, batch_size=batch_size)
  for name, residual in RESIDUALS.items():
    rows = jax.jacrev(lambda p, r=residual, n=name: jax.vmap(r, (None, 0))(p, POINTS[n]))(PARAMS)
    jacobian = np.concatenate([np.asarray(leaf) for leaf in jax.tree.leaves(rows)], axis=1)
    kernel = jacobian @ jacobian.T
    expected = np.trace(kernel) / (len(kernel) if reduction == "mean" else 1)
    np.testing.assert_allclose(traces[name], expected, rtol=1e-5)


def test_residuals_of_several_numbers_and_points_of_several_arrays():
  params = {"w": jnp.array([[1.0, 2.0], [3.0, 4.0]])}
  points = [{"x": jnp.array([[1.0, 2.0], [0.0, 1.0]]), "y": jnp.zeros(2)}]
  traces = w.kernel_traces([lambda p, point: p["w"] @ point["x"] - point["y"]], params, points)
  # Each of the two numbers has the gradient x: 2 ‖x‖², with the mean over 5 and 1.
  np.testing.assert_allclose(traces, [6.0])


def test_weights_stay_without_traces_that_are_known():
  weighting = w.neural_tangent_kernel(0.5)
  _, state = weighting.update(
    jnp.ones(2), weighting.init(jnp.ones(2)), traces=jnp.array([1.0, 3.0])
  )
  nan, inf = jnp.nan, jnp.inf
  for traces in (None, [nan, 1.0], [inf, 1.0], [-1.0, 2.0], [0.0, 0.0], [1e-45, 1e-42]):
    given = None if traces is None else jnp.array(traces)
    weights, after = weighting.update(jnp.ones(2), state, traces=given)
    assert weights.tolist() == state.weights.tolist() == after.weights.tolist()


def test_a_loss_that_is_absent_has_no_trace():
  weighting = w.neural_tangent_kernel(0.0)
  state = weighting.init(jnp.ones(3))
  traces, present = jnp.array([1.0, jnp.nan, 3.0]), jnp.array([True, False, True])
  weights, state = weighting.update(jnp.ones(3), state, traces=traces, present=present)
  np.testing.assert_allclose(weights, [2.0, 0.0, 2 / 3], rtol=1e-6)
  np.testing.assert_allclose(state.weights, [2.0, 1.0, 2 / 3], rtol=1e-6)


@pytest.mark.parametrize("traces", [[0.0, 1.0], [3e38, 3e38], [1e-30, 3e38], [1e-30, 1e-29]])
def test_weights_of_extreme_traces_have_a_bound(traces):
  weighting = w.neural_tangent_kernel(0.0)
  weights, _ = weighting.update(jnp.ones(2), weighting.init(jnp.ones(2)), traces=jnp.array(traces))
  assert (weights > 0).all()
  assert weights.max() <= 1.00001e5


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda: w.neural_tangent_kernel(2.0), "decay: must be"),
    (lambda: w.neural_tangent_kernel(numerator="max"), "numerator: choose from mean, sum"),
    (lambda: w.kernel_traces(RESIDUALS, PARAMS, POINTS, reduction="max"), "reduction: choose"),
    (lambda: w.kernel_traces(RESIDUALS, PARAMS, POINTS, batch_size=0), "batch_size: must be"),
    (
      lambda: w.neural_tangent_kernel().update(jnp.ones(2), None, traces=jnp.ones(3)),
      "traces: must be 2 numbers",
    ),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_memory_is_that_of_a_batch_of_points():
  params = {"a": jnp.ones((64, 64)), "b": jnp.ones(64)}
  points = {"all": jnp.ones((512, 64))}
  residuals = {"all": lambda p, x: jnp.tanh(x @ p["a"]) @ p["b"]}

  def memory(batch_size):
    run = lambda p, x: w.kernel_traces(residuals, p, x, batch_size=batch_size)  # noqa: E731
    return jax.jit(run).lower(params, points).compile().memory_analysis().temp_size_in_bytes

  assert memory(8) < memory(512) / 10
