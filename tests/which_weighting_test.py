"""The problems and the statistics of the page "Which weighting should I use?"."""

import importlib
import math
import pathlib
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import files
from mlseg import weighting as w

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
FOLDER = DOCS / "which_weighting"
NAMES = ("training", "regression", "toy", "pinn", "methods", "ranking")


@pytest.fixture(scope="module")
def study():
  """Yields the modules of the page, whose names are free again afterwards."""
  path, before = list(sys.path), set(sys.modules)
  sys.path[:0] = [str(FOLDER), str(DOCS)]
  yield types.SimpleNamespace(**{name: importlib.import_module(name) for name in NAMES})
  sys.path[:] = path
  for name in set(sys.modules) - before:
    if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
      del sys.modules[name]


def _of_the_paper(x, y):
  """Returns both losses of the toy, as in appendix B of CAGrad, with Nash-MTL's constants."""
  upper, lower = max(math.tanh(y / 2), 0), max(math.tanh(-y / 2), 0)
  first = math.log(max(abs((-x - 7) / 2 - math.tanh(-y)), 5e-6)) + 6
  second = math.log(max(abs((-x + 3) / 2 + math.tanh(-y) + 2), 5e-6)) + 6
  squares = [((-x + 7) ** 2 + (-y - 8) ** 2 / 10) / 10 - 20]
  squares.append(((-x - 7) ** 2 + (-y - 8) ** 2 / 10) / 10 - 20)
  return [upper * first + lower * squares[0], upper * second + lower * squares[1]]


def test_the_toy_has_the_losses_of_the_paper(study):
  points = np.concatenate([study.toy.STARTS, [[-7.0, -8.0], [3.0, 0.5]]])
  found = study.toy.losses(jnp.asarray(points, jnp.float32))
  expected = 20 + np.array([_of_the_paper(*point) for point in points.tolist()])
  np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)


def test_the_front_is_between_the_minima_of_both_losses(study):
  front = study.toy.front()
  assert (np.diff(front, axis=0) * [1, -1] > 0).all()
  np.testing.assert_allclose(front.min(0), 0, atol=0.02)
  np.testing.assert_allclose(front.max(0), 14**2 / 10, atol=0.1)


def test_a_training_has_a_score_after_each_third(study):
  for problem in (study.regression.problem(2), study.toy.problem()):
    short = problem._replace(num_steps=60)
    score = study.training.train_all(short, w.mgda(), [0, 1])
    assert score.test.shape == (2, 3)
    assert score.tasks.shape == (2, 3, 2)
    assert np.isfinite(score.test).all()
    assert (score.test[:, -1] < score.test[:, 0]).all()


def test_points_and_ends_of_the_equation_have_weights_of_their_own(study):
  method = study.pinn.of_points(w.residual_based_attention(), 7.0)
  losses = jnp.arange(66.0)
  weights, _ = method.update(losses, method.init(losses))
  assert weights[64:].tolist() == [7.0, 7.0]
  expected, _ = w.residual_based_attention().update(
    losses[:64], w.residual_based_attention().init(losses[:64])
  )
  np.testing.assert_array_equal(weights[:64], expected)


def _rows(method, scores):
  return [
    {"problem": "pinn", "method": method, "score": str(s), "score_two_thirds": "1", "tasks": "1 2"}
    for s in scores
  ]


def test_a_method_is_better_where_the_interval_is_below_one(study):
  rows = [*_rows("tuned sum", (0.4, 0.8, 0.2)), *_rows("half", (0.2, 0.4, 0.1))]
  found = study.ranking.Study([*rows, *_rows("other", (0.2, 1.6, 0.2))], [], [])
  half, other = (found.compare("pinn", name) for name in ("half", "other"))
  np.testing.assert_allclose(half.ratio[:3], 0.5)
  assert half.difference.estimate == pytest.approx(-0.7 / 3)
  assert half.is_better
  assert not other.is_better
  assert not other.is_worse
  ranks = found.ranks("pinn", ["tuned sum", "half", "other"])
  assert {name: own.tolist() for name, own in ranks.items()} == {
    "tuned sum": [3, 2, 2.5], "half": [1.5, 1, 1], "other": [1.5, 3, 2.5]
  }  # fmt: skip


def test_every_method_was_trained_on_every_seed(study):
  rows = files.read_csv(FOLDER / "rows.csv")
  for problem in study.methods.PROBLEMS:
    seeds = {str(seed) for seed in study.methods.seeds(problem)[0]}
    for method in study.methods.cases(problem, 1.0):
      own = [r["seed"] for r in rows if (r["problem"], r["method"]) == (problem, method)]
      assert sorted(own) == sorted(seeds), (problem, method)
