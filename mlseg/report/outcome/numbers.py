"""Numbers on how well runs predict an outcome: AUC, F1, sensitivity, Brier score, calibration.

The outcome is the second of two labels. A case may be tested under one seed, as in a
cross-validation over the seeds, or under several; its probability is then the mean over them, so
that each case counts once. For F1, each seed classifies its test cases with the threshold that was
chosen on its own validation cases.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from mlseg import metrics
from mlseg.metrics.bootstrap import Interval
from mlseg.report.outcome.rows import Pooled, RunRows, by_seed, columns, patients_of, pool

SPECIFICITY = 0.9  # at which the sensitivity is taken
NUM_BINS = 10  # of the calibration curve
NUM_RESAMPLES = 2000  # of bootstraps and permutations; the smallest p is then 1 / 2001


class _Resampling(NamedTuple):
  num: int
  seed: int


def summarize(
  runs: Mapping[str, RunRows], *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> dict[str, Any]:
  """Returns the numbers of all runs as plain values, which JSON can hold.

  Intervals are of 95 %; an interval is a dict of estimate, low and high. Bootstraps resample
  patients and keep models and thresholds as they are. So they cover the choice of patients, but not
  the randomness of training, and are somewhat too narrow for a cross-validation, as DeLong's are.
  None stands for a number that is not defined, as the AUC where all cases have one label.

  Args:
    runs: by name; each of two labels.
    num_resamples: of each bootstrap and of the permutation test.
    seed: of their random numbers.

  Returns:
    `runs`: what `summarize_run` returns, by name; `comparisons`: what `compare` returns.

  Raises:
    ValueError: as `pool`.
    KeyError: as `pool`.

  Example:
    >>> rows = [{"seed": 0, "id": n, "label": "ab"[n % 2], "probability_a": 1 - p,
    ...          "probability_b": p} for n, p in enumerate([0.1, 0.9, 0.4, 0.3, 0.2, 0.8])]
    >>> table = summarize({"run": RunRows(rows)}, num_resamples=99)
    >>> round(table["runs"]["run"]["auc_delong"]["estimate"], 3)
    0.889
  """
  options = {"num_resamples": num_resamples, "seed": seed}
  return {
    "runs": {name: summarize_run(rows, **options) for name, rows in runs.items()},
    "comparisons": compare({name: pool(rows) for name, rows in runs.items()}),
  }


def summarize_run(
  rows: RunRows, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> dict[str, Any]:
  """Returns the numbers of one run.

  Args:
    rows: of two labels.
    num_resamples: as for `summarize`.
    seed: as for `summarize`.

  Returns:
    Names of the labels; numbers of cases and patients; AUCs; F1 and its thresholds by seed (None
    where a seed has no validation cases with the outcome); sensitivity; the Brier score, and that
    of a constant prediction, the share of the outcome; p of the permutation test; the points of the
    ROC curve and of the calibration curve; the AUC of each covariate.

  Raises:
    ValueError: as `pool`.
    KeyError: as `pool`.
  """
  pooled = pool(rows)
  labels, scores, patients = pooled.labels, pooled.probabilities, pooled.patients
  resampling = _Resampling(num_resamples, seed)
  curve = metrics.roc_curve(labels, scores)[:2]  # the first of the thresholds is infinite
  return _plain(
    {
      "negative": pooled.names[0],
      "positive": pooled.names[1],
      "num_patients": len(set(patients.tolist())),
      "num_cases": len(labels),
      "num_positive": int(labels.sum()),
      "auc_delong": metrics.delong_interval(labels, scores),
      "auc_bootstrap": _bootstrap((labels, scores), metrics.roc_auc, patients, resampling),
      **_auc_of_seeds(rows, pooled.names[1]),
      **_f1(rows, pooled.names[1], resampling),
      "specificity": SPECIFICITY,
      "sensitivity": metrics.sensitivity_at_specificity(labels, scores, SPECIFICITY),
      "brier": metrics.brier(labels, scores),
      "brier_of_share": metrics.brier(labels, np.full(len(labels), labels.mean())),
      "p_permutation": metrics.auc_permutation_test(
        labels, scores, num_permutations=num_resamples, seed=seed, groups=patients
      ),
      "roc": dict(zip(("false_positive_rate", "true_positive_rate"), curve, strict=True)),
      "calibration": metrics.calibration_curve(labels, scores, num_bins=NUM_BINS)._asdict(),
      "covariates": {name: _of_covariate(pooled, known) for name, known in rows.covariates.items()},
    }
  )


def compare(runs: Mapping[str, Pooled]) -> list[dict[str, Any]]:
  """Tests the AUC of each run against that of the first run, on the cases that both have tested.

  The test is DeLong's for two scores of the same cases; p is adjusted by Holm's method.

  Args:
    runs: by name.

  Returns:
    A dict for each run but the first: its name and that of the first run; the numbers of cases and
    patients in common; both AUCs; their difference with its 95 % interval; p and the adjusted p.
    Numbers are None where there are no cases in common, or a case has another label in the other
    run.
  """
  names = list(runs)
  found = [_against(runs[names[0]], runs[name]) for name in names[1:]]
  adjusted = metrics.holm([one["p"] for one in found])
  return [
    _plain({"run": name, "reference": names[0]} | one | {"p_holm": float(p)})
    for name, one, p in zip(names[1:], found, adjusted, strict=True)
  ]


def _against(reference: Pooled, other: Pooled) -> dict[str, Any]:
  """Returns the test of another run against the reference; nan where they cannot be compared."""
  of_reference = {case: n for n, case in enumerate(reference.ids)}
  indices = np.array(
    [(of_reference[case], n) for n, case in enumerate(other.ids) if case in of_reference], int
  ).reshape(-1, 2)
  ours, theirs = indices[:, 1], indices[:, 0]
  labels = other.labels[ours]
  is_same = other.names == reference.names and (labels == reference.labels[theirs]).all()
  if not len(indices) or not is_same:
    names = ("auc", "auc_reference", "difference", "low", "high", "p")
    return {"num_cases": 0, "num_patients": 0} | dict.fromkeys(names, float("nan"))
  test = metrics.delong_test(labels, other.probabilities[ours], reference.probabilities[theirs])
  half = float(special.ndtri(0.975)) * test.deviation
  return {
    "num_cases": len(indices),
    "num_patients": len(set(other.patients[ours].tolist())),
    "auc": test.auc_a,
    "auc_reference": test.auc_b,
    "difference": test.difference,
    "low": test.difference - half,
    "high": test.difference + half,
    "p": test.p,
  }


def _bootstrap(data, statistic, patients, resampling: _Resampling) -> Interval:
  # Whole patients are resampled, with all their cases: the cases of one patient are no sample.
  return metrics.bootstrap_interval(
    data,
    statistic,
    groups=patients,
    resample_within=False,
    num_resamples=resampling.num,
    seed=resampling.seed,
  )


def _auc_of_seeds(rows: RunRows, positive: str) -> dict[str, Any]:
  """Returns the AUC of each seed on its own test cases, and their mean and standard deviation."""
  areas = {
    seed: metrics.roc_auc(*columns(own.values(), positive))
    for seed, own in by_seed(rows.test).items()
  }
  known = [area for area in areas.values() if not np.isnan(area)] or [float("nan")]
  mean, deviation = metrics.mean_and_deviation(known)
  return {"auc_of_seeds": areas, "auc_mean": mean, "auc_deviation": deviation}


def _f1(rows: RunRows, positive: str, resampling: _Resampling) -> dict[str, Any]:
  """Returns F1 with its interval, and the thresholds; None where a seed has no threshold."""
  tested, validated = by_seed(rows.test), by_seed(rows.validation or ())
  thresholds = {
    seed: metrics.best_f1_threshold(*columns(validated[seed].values(), positive))
    for seed in tested
    if seed in validated
  }
  if len(thresholds) < len(tested) or np.isnan(list(thresholds.values())).any():
    return {"f1": None, "thresholds": None}
  labels: list[np.ndarray] = []
  predicted: list[np.ndarray] = []
  ids: list[str] = []
  for seed, own in tested.items():
    of_seed, probabilities = columns(own.values(), positive)
    labels.append(of_seed)
    predicted.append((probabilities >= thresholds[seed]).astype(np.int64))
    ids += own
  data = np.concatenate(labels), np.concatenate(predicted)
  f1 = _bootstrap(data, _f1_of_one, patients_of(ids, rows.groups), resampling)
  return {"f1": f1, "thresholds": thresholds}


def _f1_of_one(labels: np.ndarray, predicted: np.ndarray) -> float:
  return metrics.classification_f1(labels, predicted, average="none", num_classes=2)[1]


def _of_covariate(pooled: Pooled, known: Mapping[str, float]) -> dict[str, Any]:
  """Returns the AUC of a covariate alone, on the tested cases for which it is known."""
  indices = [n for n, case in enumerate(pooled.ids) if case in known]
  if not indices:
    return {"num_cases": 0, "auc": Interval(np.nan, np.nan, np.nan)}
  values = np.array([known[pooled.ids[n]] for n in indices])
  interval = metrics.delong_interval(pooled.labels[indices], values)
  return {"num_cases": len(indices), "auc": interval}


def _plain(value: Any) -> Any:
  """Returns values that JSON can hold: lists, floats, and None for nan."""
  if isinstance(value, Interval):
    return _plain({"estimate": value.estimate, "low": value.low, "high": value.high})
  if isinstance(value, Mapping):
    return {name: _plain(one) for name, one in value.items()}
  if isinstance(value, np.ndarray | np.generic):
    return _plain(value.tolist())
  if isinstance(value, list | tuple):
    return [_plain(one) for one in value]
  return None if isinstance(value, float) and np.isnan(value) else value
