"""What the Gram methods share, and the six with a solver inside on every kind of matrix."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w
from mlseg.weighting.from_gram import gram as g

METHODS = ("mgda", "upgrad", "dual_projection", "cagrad", "nash_mtl", "fairgrad")
over_methods = pytest.mark.parametrize("name", METHODS)
ARGUMENTS = {"cagrad": (0.5, 0), "nash_mtl": (0.0,)}
K = 3


def _update(name, gram):
  """Returns the weights without any limit or scale that is not the formula's."""
  method = getattr(w, name)(*ARGUMENTS.get(name, ()))
  losses = jnp.ones(len(gram), gram.dtype)
  return method.update(losses, method.init(losses), gram=gram)[0]


@pytest.mark.parametrize("exponent", [-120, -119, -41, 0, 1, 2, 77, 126, 127])
def test_normalize_scales_by_an_even_power_of_two(exponent):
  matrix = np.array([[1.5, 0.5], [0.5, 0.375]]) * 2.0**exponent
  normalized, factor = g.normalize(jnp.array(matrix, jnp.float32))
  power = np.log2(np.float64(factor))
  assert power % 2 == 0
  assert 1 <= normalized[0, 0] < 4
  np.testing.assert_array_equal(normalized, matrix * np.float64(factor))


@pytest.mark.parametrize("value", [0.0, 1e-45, -1.0])
def test_normalize_takes_no_length_for_zero(value):
  normalized, factor = g.normalize(jnp.full((2, 2), value, jnp.float32))
  assert factor == 1
  np.testing.assert_array_equal(normalized, 0)


def test_normalize_bounds_what_no_gradients_have():
  normalized, _ = g.normalize(jnp.array([[1.0, 9.0, 2.0], [9.0, 4.0, -9.0], [2.0, -9.0, -1.0]]))
  np.testing.assert_array_equal(normalized, np.array([[1, 2, 0], [2, 4, 0], [0, 0, 0]]) / 4)


@pytest.mark.parametrize(
  ("gram", "message"),
  [
    (None, r"gram: must be given, \[K, K\] inner products of the gradients of the losses"),
    (jnp.eye(2), r"gram: must have the shape \[K, K\] = \(3, 3\), got \(2, 2\)"),
  ],
)
def test_a_missing_or_misshapen_matrix_is_refused(gram, message):
  with pytest.raises(ValueError, match=message):
    g.require(gram, jnp.zeros(3))


def test_the_sum_of_huge_products_does_not_overflow():
  assert g.require(jnp.full((1, 1), 3e38), jnp.zeros(1)).item() == np.float32(3e38)


def _garbage():
  """Returns matrices [n, K, K] that are none of gradients, or of gradients beyond float32."""
  rng = np.random.default_rng(0)
  special = np.array([0, -0.0, 1e-45, -1e-38, 1e38, -3e38, 1, -1, 1e-20, np.nan, np.inf, -np.inf])
  drawn = [rng.choice(special[:size], (60, K, K)) for size in (9, 12)]
  normal = rng.normal(size=(60, K, K))
  scales = 10 ** rng.uniform(-38, 38, (60, K, 1))
  rows = rng.normal(size=(60, K, 2))
  kinds = [*drawn, normal, normal + normal.swapaxes(1, 2), normal * scales]
  kinds += [rows @ rows.swapaxes(1, 2) * 10 ** rng.uniform(-38, 37, (60, 1, 1))]
  kinds += [np.ones((1, K, K)), -np.ones((1, K, K)), np.full((1, K, K), 3e38)]
  with np.errstate(over="ignore"):
    return np.concatenate(kinds).astype(np.float32)


def _usual():
  """Returns gradients [n, K, 6] that are far from dependent."""
  rows = np.random.default_rng(3).normal(size=(40, K, 6))
  units = rows / np.linalg.norm(rows, axis=2, keepdims=True)
  return rows[np.linalg.eigvalsh(units @ units.swapaxes(1, 2))[:, 0] > 0.2]


USUAL = _usual()
DECADES = USUAL * 10 ** np.random.default_rng(4).uniform(-3, 3, (len(USUAL), K, 1))
GRAMS = {
  "garbage": _garbage(),
  "not finite": np.stack([np.where(np.eye(K), x, 1) for x in (np.nan, np.inf, -np.inf)]),
  "usual": USUAL @ USUAL.swapaxes(1, 2),
  "decades": DECADES @ DECADES.swapaxes(1, 2),
}


@functools.cache
def _weights(name, precise=False):
  """Returns the weights for each entry of GRAMS, all of them from one compilation."""
  kinds = [kind for kind in GRAMS if not precise or kind in ("usual", "decades")]
  grams = np.concatenate([GRAMS[kind] for kind in kinds])
  with jax.enable_x64(precise):
    batch = jnp.asarray(grams, jnp.float64 if precise else jnp.float32)
    weights = np.asarray(jax.jit(jax.vmap(functools.partial(_update, name)))(batch))
  ends = np.cumsum([len(GRAMS[kind]) for kind in kinds])
  return dict(zip(kinds, np.split(weights, ends[:-1]), strict=True))


@pytest.mark.slow
@over_methods
def test_weights_are_finite_for_any_matrix(name):
  weights = _weights(name)["garbage"]
  assert np.isfinite(weights).all()
  assert (weights >= 0).all()


@over_methods
def test_a_matrix_that_is_not_finite_gives_uniform_weights(name):
  np.testing.assert_allclose(_weights(name)["not finite"], 1 / K, rtol=1e-6)


@pytest.mark.slow
@over_methods
def test_float32_equals_float64_on_well_conditioned_gradients(name):
  # The ridge of float32, 1e-6, over the least eigenvalue, 0.2, is part of the difference.
  single, double = (_weights(name, precise)["usual"] for precise in (False, True))
  assert len(single) > 10
  np.testing.assert_allclose(single, double, rtol=4e-5, atol=2e-5)


@over_methods
def test_badly_scaled_gradients_in_float32(name):
  """Norms over six decades, so inner products over twelve: the sum is that of float64."""
  single, double = (
    np.einsum("nk,nkj->nj", _weights(name, precise)["decades"], DECADES)
    for precise in (False, True)
  )
  lengths = np.linalg.norm(double, axis=1, keepdims=True)
  np.testing.assert_allclose(single / lengths, double / lengths, atol=1e-4)


@pytest.mark.slow
@over_methods
def test_one_loss(name):
  assert np.isfinite(_update(name, jnp.full((1, 1), 4.0))).all()
  assert _update(name, jnp.full((1, 1), 4.0))[0] > 0


# What is 0 at the optimum, or positive: of unit gradients, from weights and products <g_k, d>.
def _mgda_error(weights, rows, products):
  length = weights @ products
  return np.maximum(length - products, 0) / length


def _conflict(weights, rows, products):
  return np.maximum(-products, 0)


def _outside_the_ball(weights, rows, products):
  mean = rows.mean(axis=0)
  return np.linalg.norm(weights @ rows - mean) / np.linalg.norm(mean) / 0.5 - 1


CONDITIONS = {
  "mgda": _mgda_error,
  "upgrad": _conflict,
  "dual_projection": _conflict,
  "cagrad": _outside_the_ball,
  "nash_mtl": lambda weights, rows, products: weights * products - 1,
  "fairgrad": lambda weights, rows, products: np.sqrt(weights) * products - 1,
}


@over_methods
def test_sixty_four_losses(name):
  rows = np.random.default_rng(0).normal(size=(64, 80))
  rows /= np.linalg.norm(rows, axis=1, keepdims=True)
  gram = jnp.asarray(rows @ rows.T, jnp.float32)
  weights = np.asarray(jax.jit(functools.partial(_update, name))(gram), np.float64)
  errors = CONDITIONS[name](weights, rows, rows @ (weights @ rows))
  np.testing.assert_allclose(errors, 0, atol=1e-3)
