"""Temperature scaling: probabilities that are as sure as they are right.

  p_c(T) = p_c^(1/T) / sum_k p_k^(1/T)

which is softmax(z / T) of a network's logits z. T > 1 makes probabilities less sure, T < 1 surer;
the most probable class stays. Of a mean over views or models, p is that mean.

Sources: Guo et al., On calibration of modern neural networks, ICML 2017, section 4.2, for one
model; Rahaman & Thiery, Uncertainty quantification and deep ensembles, NeurIPS 2021, for means of
models, which are scaled after they are taken.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize

LEAST, MOST = 0.05, 20.0  # temperatures that are tried
_SMALLEST = float(np.finfo(np.float32).tiny)
NEAREST_TO_ONE = 2.0**-25  # from 1, of probabilities of findings: half of what float32 can tell


class Temperatures(NamedTuple):
  """The temperatures of a model, or of the mean of several; 1: probabilities stay."""

  pixels: float = 1.0
  diagnoses: float = 1.0


def fit(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
  """Returns the temperature with the least mean negative log-likelihood, in [0.05, 20].

  The likelihood has one minimum, since it is convex in 1/T.

  Args:
    log_probabilities: [n, C], of the classes of n >= 1 pixels or cases.
    labels: [n] integers, the true classes.

  Example:
    >>> sure = np.log(np.array([[0.99, 0.01]] * 4))
    >>> round(fit(sure, np.array([0, 0, 0, 1])), 2)  # of 4, 3 are right: p = 0.75
    4.18
  """
  values = np.asarray(log_probabilities, np.float32)

  def loss(log_temperature: float) -> float:
    return negative_log_likelihood(values, labels, float(np.exp(log_temperature)))

  bounds = float(np.log(LEAST)), float(np.log(MOST))
  found = optimize.minimize_scalar(loss, bounds=bounds, method="bounded")
  return float(np.exp(found.x))


def negative_log_likelihood(
  log_probabilities: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> float:
  """Returns the mean of -log p(T) of the true class.

  Args:
    log_probabilities: [n, C].
    labels: [n] integers.
    temperature: T.

  Example:
    >>> round(negative_log_likelihood(np.log([[0.5, 0.5]]), np.array([1])), 4)
    0.6931
  """
  scaled = np.asarray(log_probabilities, np.float32) / np.float32(temperature)
  highest = scaled.max(-1)
  total = highest + np.log(np.exp(scaled - highest[:, None]).sum(-1))
  true = np.take_along_axis(scaled, labels[:, None].astype(np.int64), -1)[:, 0]
  return float((total - true).mean(dtype=np.float64))


def scaled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
  """Returns probabilities [..., C] at a temperature, float32.

  Example:
    >>> print(scaled(np.array([0.8, 0.2]), 0.5).round(4))
    [0.9412 0.0588]
  """
  if temperature == 1.0:
    return np.asarray(probabilities, np.float32)
  logs = np.log(np.maximum(np.asarray(probabilities, np.float32), _SMALLEST)) / temperature
  powers = np.exp(logs - logs.max(-1, keepdims=True))
  return (powers / powers.sum(-1, keepdims=True)).astype(np.float32)


def scaled_findings(probabilities: np.ndarray, temperature: float) -> np.ndarray:
  """Returns probabilities [...] of findings, each by itself, at a temperature, float32.

  It is sigmoid(z / T) of the logit z.

  Example:
    >>> scaled_findings(np.array([0.8, 0.5]), 0.5).round(4).tolist()
    [0.9412000179290771, 0.5]
  """
  own = np.asarray(probabilities, np.float32)
  both = np.stack([np.maximum(1 - own, NEAREST_TO_ONE), own], -1)
  return own if temperature == 1.0 else scaled(both, temperature)[..., 1]
