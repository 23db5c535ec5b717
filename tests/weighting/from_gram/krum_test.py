"""Krum against its definition, and against TorchJD."""

import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w


def _defined(rows, num_wrong, num_selected, squared):
  number = len(rows)
  scores = []
  for k in range(number):
    distances = np.sort([((rows[k] - rows[j]) ** 2).sum() for j in range(number) if j != k])
    near = distances[: number - num_wrong - 2]
    scores.append((near if squared else np.sqrt(near)).sum())
  weights = np.zeros(number)
  weights[np.argsort(scores)[:num_selected]] = 1 / num_selected
  return weights


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize(("num_wrong", "num_selected"), [(0, 1), (1, 1), (2, 3), (4, 2)])
def test_weights_are_those_of_the_definition(num_wrong, num_selected, squared):
  rng = np.random.default_rng(num_wrong)
  weighting = w.krum(num_wrong, num_selected, squared)
  for _ in range(20):
    rows = rng.normal(size=(8, 5))
    gram = jnp.array(rows @ rows.T, jnp.float32)
    weights, _ = weighting.update(jnp.ones(8), weighting.init(jnp.ones(8)), gram=gram)
    np.testing.assert_allclose(weights, _defined(rows, num_wrong, num_selected, squared))


def test_weights_are_those_of_torchjd():
  torch = pytest.importorskip("torch")
  aggregation = pytest.importorskip("torchjd.aggregation")
  rng = np.random.default_rng(7)
  for _ in range(10):
    rows = rng.normal(size=(7, 4)).astype(np.float32)
    theirs = aggregation.Krum(2, 2)(torch.tensor(rows)).numpy()
    weighting = w.krum(2, 2, squared=False)
    gram = jnp.array(rows @ rows.T)
    weights, _ = weighting.update(jnp.ones(7), weighting.init(jnp.ones(7)), gram=gram)
    np.testing.assert_allclose(weights @ rows, theirs, rtol=1e-5, atol=1e-6)


def test_few_losses_are_refused_where_some_may_be_wrong():
  with pytest.raises(ValueError, match="num_wrong: needs 5 losses for 2, got 4"):
    w.krum(2).init(jnp.zeros(4))
