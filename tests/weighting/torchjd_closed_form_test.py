"""Methods with closed forms against TorchJD, on random gradients of every kind, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_gram.aligned_mtl import _balance, aligned_mtl
from mlseg.weighting.from_gram.conflict_free import conflict_free
from mlseg.weighting.from_gram.gradient_surgery import _project, _turn
from mlseg.weighting.from_gram.gram import normalize
from mlseg.weighting.from_gram.impartial_gradients import impartial_gradients
from mlseg.weighting.from_gram.stochastic_descent import modo, sdmgrad

pytest.importorskip("torchjd", reason="the extra `peers` is not installed")
import torch
from torchjd import aggregation

SIZES = (2, 3, 5, 8)
SEEDS = range(12)
over_sizes = pytest.mark.parametrize("number", SIZES)


def _plain(rng, number):
  return rng.normal(size=(number, 3 * number))


def _conflicting(rng, number):
  rows = _plain(rng, number)
  return rows - 0.9 * rows.mean(axis=0)


def _badly_scaled(rng, number):
  overall = 10.0 ** rng.choice([-6, 0, 6])
  return overall * _plain(rng, number) * 10 ** rng.uniform(-3, 3, (number, 1))


def _duplicate(rng, number):
  rows = _plain(rng, number)
  rows[-1] = rows[0]
  return rows


def _zero(rng, number):
  rows = _plain(rng, number)
  rows[number // 2] = 0
  return rows


def _few_dimensions(rng, number):
  return rng.normal(size=(number, max(number - 2, 1)))


INDEPENDENT = (_plain, _conflicting, _badly_scaled)
DEPENDENT = (_duplicate, _zero, _few_dimensions)
KINDS = (*INDEPENDENT, *DEPENDENT)


def over_kinds(kinds):
  return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.__name__.strip("_"))


def _cases(kind, number):
  """Returns gradients [K, d] for each seed."""
  return [kind(np.random.default_rng([number, seed]), number) for seed in SEEDS]


@functools.cache
def _compiled(factory, *args):
  weighting = factory(*args)
  return jax.jit(
    lambda losses, gram: weighting.update(losses, weighting.init(losses), gram=gram)[0]
  )


def _weights(rows, factory, *args):
  with jax.enable_x64(True):
    return np.asarray(_compiled(factory, *args)(jnp.ones(len(rows)), jnp.array(rows @ rows.T)))


def _peer(weighting, matrix):
  return weighting(torch.tensor(matrix)).numpy()


def _units(rows):
  norms = np.linalg.norm(rows, axis=1, keepdims=True)
  return rows / np.where(norms > 0, norms, 1)


def _assert_same_direction(actual, expected, atol):
  np.testing.assert_allclose(
    actual / np.linalg.norm(actual), expected / np.linalg.norm(expected), atol=atol
  )


@pytest.mark.slow
@over_sizes
@over_kinds(KINDS)
def test_pcgrad(kind, number):
  project = jax.jit(_project)
  for seed, rows in enumerate(_cases(kind, number)):
    torch.manual_seed(seed)
    expected = _peer(aggregation.PCGradWeighting(), rows @ rows.T)
    torch.manual_seed(seed)
    orders = np.stack([torch.randperm(number).numpy() for _ in range(number)])
    with jax.enable_x64(True):
      gram, _ = normalize(jnp.array(rows @ rows.T))
      weights = np.asarray(project(gram, jnp.array(orders)))
    # Rounding decides the sign of products that are 0, as with a duplicate.
    np.testing.assert_allclose(weights, expected, rtol=1e-7, atol=1e-12 * expected.max())


@pytest.mark.slow
@over_sizes
@over_kinds((*INDEPENDENT, _zero))
def test_gradvac(kind, number):
  turn = jax.jit(_turn)
  peer = aggregation.GradVacWeighting(beta=0.4, eps=0.0 if kind is not _zero else 1e-30)
  targets = np.zeros((number, number))
  for seed, rows in enumerate(_cases(kind, number)):
    torch.manual_seed(seed)
    expected = _peer(peer, rows @ rows.T)
    torch.manual_seed(seed)
    orders = np.array([[i, *_others(i, number)] for i in range(number)])
    with jax.enable_x64(True):
      gram, _ = normalize(jnp.array(rows @ rows.T))
      weights, targets = turn(gram, jnp.array(orders), jnp.array(targets), 0.4)
    if kind is not _zero:
      np.testing.assert_allclose(targets, peer._phi_t.numpy(), rtol=1e-6, atol=1e-9)
      np.testing.assert_allclose(weights, expected, rtol=1e-6)
    else:
      # With a gradient of 0, TorchJD's cosine is 0 and enters the target; here it is left out, so
      # the two agree but for what its weight is, which does not matter.
      keeps = np.arange(number) != number // 2
      np.testing.assert_allclose(np.asarray(weights)[keeps], expected[keeps], rtol=1e-6)


def _others(i, number):
  """Returns the order that TorchJD draws."""
  others = [j for j in range(number) if j != i]
  return [others[k] for k in torch.randperm(number - 1).tolist()]


@over_sizes
@over_kinds(KINDS)
def test_impartial_gradients(kind, number):
  num_compared = 0
  for rows in _cases(kind, number):
    weights = _weights(rows, impartial_gradients)
    expected = _peer(aggregation.IMTLGWeighting(), rows @ rows.T)
    if np.abs(expected).sum() > 1000:
      # The sum that it divides by is nearly 0.
      np.testing.assert_allclose(weights, 1 / number, rtol=1e-9)
      continue
    if kind is _few_dimensions:
      # TorchJD's least squares weigh longer gradients more. Ours is the best for unit gradients.
      best = np.linalg.lstsq(_units(rows), np.ones(number), rcond=None)[0]
      direction = weights @ rows
      if np.ptp(weights) > 1e-12:
        _assert_same_direction(direction, best, 1e-6)
    elif kind is _duplicate:
      # Weights of the two are alike in both.
      np.testing.assert_allclose(weights, expected, rtol=1e-6)
    else:
      # TorchJD's pseudo-inverse of G has the condition number of the squared lengths.
      ours = _units(rows) @ (weights @ rows)
      keeps = np.linalg.norm(rows, axis=1) > 0
      np.testing.assert_allclose(ours[keeps], ours[keeps].mean(), rtol=1e-6)
      rtol = 1e-3 if kind is _badly_scaled else 1e-6
      np.testing.assert_allclose(weights, expected, rtol=rtol, atol=1e-7)
    num_compared += 1
  assert num_compared > len(SEEDS) / 3


def test_impartial_gradients_never_lead_uphill_as_those_of_torchjd_may():
  num_uphill = 0
  for seed in range(100):
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(4, 6)) + 0.5) * 10 ** rng.uniform(-1, 1, (4, 1))
    weights = _weights(rows, impartial_gradients)
    expected = _peer(aggregation.IMTLGWeighting(), rows @ rows.T)
    if (rows @ (expected @ rows)).max() < 0:
      num_uphill += 1
      np.testing.assert_allclose(weights, 0.25, rtol=1e-9)
    elif np.abs(expected).sum() < 1000:
      np.testing.assert_allclose(weights, expected, rtol=1e-6)
  assert num_uphill > 3


@over_sizes
@over_kinds(KINDS)
def test_conflict_free(kind, number):
  for rows in _cases(kind, number):
    direction = _weights(rows, conflict_free) @ rows
    expected = _peer(aggregation.ConFIG(), rows)
    best = np.linalg.pinv(_units(rows), rcond=1e-7) @ np.ones(number)
    if np.linalg.norm(best) < 1e-7:
      continue
    # Conflict makes the least squares ill-conditioned: cosines hold the square of U's.
    scale = np.linalg.norm(rows, axis=1).max()
    np.testing.assert_allclose(direction, expected, rtol=1e-6, atol=1e-8 * scale)


@pytest.mark.slow
@over_sizes
@over_kinds(KINDS)
@pytest.mark.parametrize("scale", ["min", "median", "rmse"])
def test_aligned_mtl(kind, number, scale):
  peer = aggregation.AlignedMTLWeighting(scale_mode=scale)
  balance = jax.jit(_balance, static_argnums=1)
  for rows in _cases(kind, number):
    weights = _weights(rows, aligned_mtl, scale)
    expected = _peer(peer, rows @ rows.T)
    # TorchJD's eigenvalues of G have an absolute error, of which the least of lengths that differ
    # by 10⁶ keeps four digits; the right angles of the aligned gradients tell whose are exact.
    rtol = 1e-3 if kind is _badly_scaled else 1e-6
    np.testing.assert_allclose(weights, expected, rtol=rtol, atol=rtol * np.abs(expected).max())
    if kind is _badly_scaled:
      with jax.enable_x64(True):
        gram, _ = normalize(jnp.array(rows @ rows.T))
        aligned = np.asarray(balance(gram, scale)) @ rows
      products = aligned @ aligned.T
      products *= number / products.trace()
      np.testing.assert_allclose(products, np.eye(number), atol=1e-8)


@over_sizes
@pytest.mark.parametrize("learning_rate", [0.05, 10.0])
def test_modo_and_sdmgrad(number, learning_rate):
  rng = np.random.default_rng(number)
  ours = (modo(0.05, 0.2), sdmgrad(learning_rate, 0.5, 4, 0.3))
  theirs = (
    aggregation.MoDoWeighting(0.05, 0.2),
    aggregation.SDMGradWeighting(lr=learning_rate, momentum=0.5, n_iter=4, lambda_=0.3),
  )
  with jax.enable_x64(True):
    losses = jnp.ones(number)
    for weighting, peer in zip(ours, theirs, strict=True):
      update, state = jax.jit(weighting.update), weighting.init(losses)
      for _ in range(8):
        first, noise = 100 * rng.normal(size=(2, number, 12))
        second = first + 0.3 * noise
        weights, state = update(losses, state, gram=jnp.array(first @ second.T))
        # TorchJD adds 1e-8 to the squared length, here of the order of 10⁵.
        np.testing.assert_allclose(weights, _peer(peer, first @ second.T), rtol=1e-6, atol=1e-9)
