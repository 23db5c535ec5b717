"""How often an interval of the AUC covers chance in cross-validations with nothing to learn."""

import numpy as np

from mlseg import metrics
from mlseg.data.splits import cross_validation

_NUM_FEATURES = 3


def coverage(num_patients: int, num_folds: int, num_trials: int = 400) -> float:
  """Returns the share of simulated cross-validations whose 95 % interval by DeLong covers 0.5.

  Patients have three random features and labels that have nothing to do with them. The score is
  linear, along the difference of the classes' means in training, from the middle between them.
  """
  rng = np.random.default_rng(0)
  covered = 0
  for trial in range(num_trials):
    features = rng.normal(size=(num_patients, _NUM_FEATURES))
    labels = rng.permutation(np.arange(num_patients) % 2)
    scores = np.empty(num_patients)
    for split in cross_validation.folds(labels, None, num_folds, seed=trial):
      known = np.concatenate([split.train, split.validation])
      means = [features[known[labels[known] == label]].mean(0) for label in (0, 1)]
      scores[split.test] = (features[split.test] - sum(means) / 2) @ (means[1] - means[0])
    interval = metrics.delong_interval(labels, scores)
    covered += interval.low <= 0.5 <= interval.high
  return covered / num_trials
