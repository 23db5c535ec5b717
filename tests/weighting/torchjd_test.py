"""Methods that minimise over weights against the PyPI package torchjd, on random Gram matrices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

pytestmark = pytest.mark.slow

aggregation = pytest.importorskip("torchjd.aggregation", reason="the extra `peers` is not here")
linalg = pytest.importorskip("torchjd.linalg", reason="the extra `peers` is not here")
torch = pytest.importorskip("torch", reason="the extra `peers` is not here")

SIZES = range(2, 9)
SEEDS = 5
KINDS = ("usual", "conflicting", "long and short", "repeated", "few dimensions")
FULL_RANK = KINDS[:3]
over_sizes = pytest.mark.parametrize("number", SIZES)


@pytest.fixture(autouse=True)
def _float64():
  with jax.enable_x64(True):
    yield


def _gradients(kind, number, seed):
  """Returns gradients [K, n]: rank-deficient in the last two kinds."""
  rng = np.random.default_rng([KINDS.index(kind), number, seed])
  dimensions = max(1, number // 2) if kind == "few dimensions" else number + 3
  rows = rng.normal(size=(number, dimensions))
  if kind == "conflicting":
    rows -= 0.9 * rows.mean(axis=0)
  if kind == "long and short":
    rows *= 10 ** rng.uniform(-2, 2, (number, 1)) * (1e-3 if seed % 2 else 1e3)
  if kind == "repeated":
    rows[-1] = rows[0]
  return rows


def _batch(number, kinds=KINDS):
  return np.stack(
    [
      rows @ np.eye(rows.shape[1], number + 3)
      for kind in kinds
      for rows in [_gradients(kind, number, seed) for seed in range(SEEDS)]
    ]
  )


@functools.cache
def _compiled(factory, *arguments):
  method = getattr(w, factory)(*arguments)

  def weights(gram):
    losses = jnp.ones(len(gram))
    return method.update(losses, method.init(losses), gram=gram)[0]

  return jax.jit(jax.vmap(weights))


def _ours(method, batch):
  return np.asarray(_compiled(*method)(jnp.asarray(batch @ batch.swapaxes(1, 2))))


def _theirs(weighting, rows):
  return weighting(torch.tensor(rows @ rows.T)).numpy()


def _close(actual, expected, tolerance):
  np.testing.assert_allclose(actual, expected, atol=tolerance * np.abs(expected).max())


@over_sizes
def test_mgda_is_the_shortest(number):
  """Frank–Wolfe of torchjd comes near; the optimum is where no gradient is less along it."""
  batch = _batch(number)
  peer = aggregation.MGDAWeighting(epsilon=1e-9, max_iters=300)
  for rows, weights in zip(batch, _ours(("mgda",), batch), strict=True):
    direction = weights @ rows
    longest = np.linalg.norm(rows, axis=1)
    assert ((rows @ direction - direction @ direction) / longest).min() > -1e-7 * longest.min()
    their = _theirs(peer, rows) @ rows
    assert direction @ direction <= their @ their + 1e-9 * longest.min() ** 2
    np.testing.assert_allclose(weights.sum(), 1)
    assert weights.min() >= 0


@over_sizes
@pytest.mark.parametrize("name", ["upgrad", "dual_projection"])
def test_projections_equal_those_of_torchjd(number, name):
  """With its regularization, which makes solutions unique; and without: no conflict at all."""
  batch = _batch(number)
  projector = linalg.QuadprogProjector(norm_eps=1e-30, reg_eps=1e-4)
  kind = {"upgrad": aggregation.UPGradWeighting, "dual_projection": aggregation.DualProjWeighting}
  peer = kind[name](projector=projector)
  for rows, weights in zip(batch, _ours((name, 1e-4), batch), strict=True):
    _close(weights, _theirs(peer, rows), 1e-6)
  for rows, weights in zip(batch, _ours((name,), batch), strict=True):
    direction = weights @ rows
    norms = np.linalg.norm(rows, axis=1)
    assert (rows @ direction / norms).min() > -1e-6 * norms.max()
    assert weights.min() >= 1 / number - 1e-12


@over_sizes
@pytest.mark.parametrize("c", [0.4, 1.5])
def test_cagrad_is_not_above_the_optimum_of_torchjd(number, c):
  """A conic solver with a tolerance of 1e-8 on the Gram matrix over its trace."""
  batch = _batch(number)
  peer = aggregation.CAGradWeighting(c=c, norm_eps=1e-30)
  for rows, weights in zip(batch, _ours(("cagrad", c, 0), batch), strict=True):
    mean = rows.mean(axis=0)
    scale = np.linalg.norm(mean) * np.linalg.norm(rows, axis=1).min()

    def least(weights, rows=rows, mean=mean):
      """What the method maximises: the least decrease, within the ball around the mean."""
      direction = weights @ rows
      assert np.linalg.norm(direction - mean) <= c * np.linalg.norm(mean) * (1 + 1e-4)
      return (rows @ direction).min()

    assert least(weights) >= least(_theirs(peer, rows)) - 1e-5 * scale


@over_sizes
def test_nash_mtl_and_fairgrad_are_fixed_points(number):
  batch = _batch(number, FULL_RANK)
  for rows, weights in zip(batch, _ours(("nash_mtl", 0.0), batch), strict=True):
    np.testing.assert_allclose(weights * (rows @ (weights @ rows)), 1, rtol=1e-6)
  for alpha in (0.5, 2.0):
    for rows, weights in zip(batch, _ours(("fairgrad", alpha), batch), strict=True):
      np.testing.assert_allclose(weights ** (1 / alpha) * (rows @ (weights @ rows)), 1, rtol=1e-6)


@over_sizes
def test_fairgrad_equals_torchjd(number):
  batch = _batch(number, KINDS[:1])
  peer = aggregation.FairGradWeighting(alpha=1.0)
  for rows, weights in zip(batch, _ours(("fairgrad", 1.0), batch), strict=True):
    _close(weights, _theirs(peer, rows), 1e-4)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of cvxpy, on how the problems are written
@over_sizes
def test_nash_mtl_is_not_below_the_optimum_of_torchjd(number):
  """Its convex programs stop early; the largest product of decreases in the unit ball is ours."""
  batch = _batch(number, KINDS[:1])
  for rows, weights in zip(batch, _ours(("nash_mtl", 1.0), batch), strict=True):
    peer = aggregation.NashMTL(n_tasks=number, max_norm=1.0, optim_niter=30)
    their = rows @ peer(torch.tensor(rows)).numpy()
    assert np.linalg.norm(weights @ rows) <= 1 + 1e-9
    ours = np.log(rows @ (weights @ rows)).sum()
    assert ours >= np.log(np.maximum(their, 1e-300)).sum() - 1e-5
