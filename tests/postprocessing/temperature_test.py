"""Temperatures are those of an independent optimiser, and keep the most probable class."""

import numpy as np
import pytest
from scipy import optimize, special

from mlseg.postprocessing import temperature


def _answers(seed, num_classes, sharpness):
  """Returns log-probabilities that are too sure by a factor, and true labels."""
  rng = np.random.default_rng(seed)
  logits = 2 * rng.normal(size=(4000, num_classes))
  right = special.softmax(logits, -1)
  labels = np.array([rng.choice(num_classes, p=p) for p in right])
  return special.log_softmax(sharpness * logits, -1), labels


@pytest.mark.parametrize(("num_classes", "sharpness"), [(2, 2.5), (2, 0.4), (5, 3.0)])
def test_the_temperature_undoes_what_made_probabilities_too_sure(num_classes, sharpness):
  logs, labels = _answers(0, num_classes, sharpness)
  found = temperature.fit(logs, labels)
  assert found == pytest.approx(sharpness, rel=0.08)

  def loss(value):
    own = special.log_softmax(logs / value[0], -1)
    return -own[np.arange(len(labels)), labels].mean()

  peer = optimize.minimize(loss, [1.0], method="Nelder-Mead").x[0]
  assert found == pytest.approx(peer, rel=1e-3)
  assert temperature.negative_log_likelihood(logs, labels, found) == pytest.approx(
    loss([found]), abs=1e-5
  )


def test_scaled_probabilities_are_the_softmax_of_divided_logits():
  logits = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
  found = temperature.scaled(special.softmax(logits, -1), 1.7)
  np.testing.assert_allclose(found, special.softmax(logits / 1.7, -1), atol=1e-6)
  np.testing.assert_array_equal(found.argmax(-1), logits.argmax(-1))
  certain = temperature.scaled(np.array([1.0, 0.0]), 3.0)
  assert np.isfinite(certain).all()
  assert certain[0] == pytest.approx(1.0)


def test_answers_that_are_all_right_or_all_wrong_give_an_end_of_the_range():
  logs = np.log(np.array([[0.8, 0.2]] * 10))
  assert temperature.fit(logs, np.zeros(10, int)) < 0.1
  assert temperature.fit(logs, np.ones(10, int)) == pytest.approx(temperature.MOST, rel=0.01)
