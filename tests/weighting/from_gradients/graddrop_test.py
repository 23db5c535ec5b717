"""Gradient sign dropout against TorchJD and the formula of its paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting.from_gradients.graddrop import _drop, graddrop

K = 3

# The first coordinate keeps positive gradients, the others those of the sign that the draw says.
MATRIX = np.array([[1.0, 2.0, -1.0, 0.5], [-0.5, 1.0, 2.0, -1.0], [0.3, -1.2, 0.4, 2.0]])
DRAWS = np.array([0.6, 0.55, 0.75, 0.65])


@pytest.mark.parametrize("leak", [0.0, (0.0, 0.25, 1.0)])
def test_graddrop_equals_torchjd_on_the_same_draws(leak, monkeypatch):
  aggregation = pytest.importorskip("torchjd.aggregation", reason="the extra `peers` is not here")
  import torch

  monkeypatch.setattr(torch, "rand", lambda *shape, **options: torch.tensor(DRAWS))
  peer = aggregation.GradDrop(leak=torch.tensor(np.broadcast_to(leak, K).copy()))
  with jax.enable_x64(True):
    dropped = _drop(jnp.array(MATRIX), jnp.array(DRAWS), np.ravel(leak))
  np.testing.assert_allclose(dropped, peer(torch.tensor(MATRIX)).numpy(), rtol=1e-12)


def test_graddrop_equals_the_formula_of_the_paper():
  rng = np.random.default_rng(0)
  gradients, draws, leak = rng.normal(size=(5, 200)), rng.random(200), rng.random(5)
  purity = 0.5 * (1 + gradients.sum(0) / np.abs(gradients).sum(0))
  expected = np.zeros(200)
  for row, part in zip(gradients, leak, strict=True):
    mask = np.where(row > 0, purity > draws, purity < draws)
    expected += (part + (1 - part) * mask) * row
  with jax.enable_x64(True):
    dropped = _drop(jnp.array(gradients), jnp.array(draws), leak)
  np.testing.assert_allclose(dropped, expected, rtol=1e-12)


def test_graddrop_keeps_one_sign_per_coordinate_and_is_the_sum_on_average():
  gradients = {"a": jnp.array(MATRIX, jnp.float32), "b": jnp.array(MATRIX, jnp.float32)}
  update = jax.vmap(lambda key: graddrop(K).update(gradients, graddrop(K).init(None), key=key)[0])
  draws = jax.jit(update)(jax.random.split(jax.random.key(0), 20_000))
  positive, negative = np.clip(MATRIX, 0, None).sum(0), np.clip(MATRIX, None, 0).sum(0)
  is_either = np.isclose(draws["a"], positive) | np.isclose(draws["a"], negative)
  assert is_either.all()
  np.testing.assert_allclose(draws["a"].mean(0), MATRIX.sum(0), atol=0.06)
  # Leaves have draws of their own, or they would always agree.
  assert np.isclose(draws["a"], draws["b"]).mean() < 0.9


def test_graddrop_draws_anew_at_every_step_and_repeats_with_its_seed():
  gradients = {"a": jnp.array(np.random.default_rng(0).normal(size=(K, 20)), jnp.float32)}

  def run(seed):
    transformation = graddrop(K, seed=seed)
    state, rows = transformation.init(None), []
    for _ in range(3):
      updates, state = transformation.update(gradients, state)
      rows.append(np.asarray(updates["a"]))
    return rows, int(state.num_updates)

  first, count = run(0)
  assert count == 3
  assert not np.array_equal(first[0], first[1])
  np.testing.assert_array_equal(run(0)[0], first)
  assert not np.array_equal(run(1)[0], first)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"num_losses": 0}, "num_losses: must be an integer >= 1, got 0"),
    ({"leak": 1.5}, r"leak: must be a finite number in \[0, 1\], got"),
    ({"leak": (0.0, 1.0)}, r"leak: must be one number or K = 3, got \(0.0, 1.0\)"),
    ({"seed": -1}, "seed: must be an integer >= 0, got -1"),
  ],
)
def test_wrong_arguments_are_refused(arguments, message):
  with pytest.raises(ValueError, match=message):
    graddrop(**{"num_losses": K, **arguments})
