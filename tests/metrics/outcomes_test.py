"""Thresholds, curves and the test against chance: plain loops, all exchanges, known levels."""

import itertools

import numpy as np
import pytest

from mlseg.metrics import roc
from mlseg.metrics.classification_scores import roc_auc

NUM_DRAWS = 500


def _tasks(seed, num_cases=(2, 40)):
  """Yields rng, labels of both classes and scores, with ties and without."""
  rng = np.random.default_rng(seed)
  for _ in range(NUM_DRAWS):
    labels = np.append([0, 1], rng.integers(0, 2, rng.integers(*num_cases)))
    scores = rng.uniform(size=len(labels)) + 0.3 * labels
    yield rng, labels, scores.round(1) if rng.random() < 0.5 else scores


def _plain_f1(labels, called):
  tp = sum(bool(a and b) for a, b in zip(labels, called, strict=True))
  wrong = sum(bool(a) != bool(b) for a, b in zip(labels, called, strict=True))
  return 2 * tp / (2 * tp + wrong)


def test_the_best_threshold_is_that_of_a_plain_loop():
  num_ties = 0
  for _, labels, scores in _tasks(0):
    f1 = {float(t): _plain_f1(labels, scores >= t) for t in scores}
    best = [threshold for threshold, value in f1.items() if value == max(f1.values())]
    assert roc.best_f1_threshold(labels, scores) == max(best)
    num_ties += len(best) > 1
  assert num_ties > 5


def test_of_several_best_thresholds_it_is_the_highest():
  # Above 3: 2 / 3 from one case of two; above 1: 2 · 2 / (4 + 2).
  assert roc.best_f1_threshold([1, 0, 0, 1], [1, 2, 2, 3]) == 3
  assert roc.best_f1_threshold([1, 1], [0.2, 0.4]) == 0.2
  assert np.isnan(roc.best_f1_threshold([0, 0], [0.2, 0.4]))


def test_the_roc_curve_is_that_of_scikit_learn():
  peer = pytest.importorskip("sklearn.metrics")
  for _, labels, scores in _tasks(1):
    expected = peer.roc_curve(labels, scores, drop_intermediate=False)
    for ours, theirs in zip(roc.roc_curve(labels, scores), expected, strict=True):
      np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_the_roc_curve_encloses_the_area():
  for _, labels, scores in _tasks(2):
    curve = roc.roc_curve(labels, scores)
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert area == pytest.approx(roc_auc(labels, scores), abs=1e-12)


def test_the_roc_curve_of_one_class_alone():
  curve = roc.roc_curve([1, 1], [0.3, 0.7])
  assert np.isnan(curve.false_positive_rate).all()
  assert curve.true_positive_rate.tolist() == [0, 0.5, 1]
  assert np.isnan(roc.roc_curve([0, 0], [0.3, 0.7]).true_positive_rate).all()


def _share_as_good(labels, scores, orders):
  """Returns the part of all orders of the labels whose AUC is at least that of the labels."""
  area = roc_auc(labels, scores)
  return np.mean([roc_auc(np.asarray(order), scores) >= area for order in orders])


def _assert_near(p, exact, count):
  assert abs(p - exact) < 4 * np.sqrt(exact * (1 - exact) / count) + 1 / count


def test_p_is_the_share_of_all_orders_that_are_as_good():
  rng = np.random.default_rng(3)
  for _ in range(8):
    labels = np.append([0, 1], rng.integers(0, 2, 4))
    scores = (rng.uniform(size=6) + 0.4 * labels).round(1)
    exact = _share_as_good(labels, scores, itertools.permutations(labels))
    p = roc.auc_permutation_test(labels, scores, num_permutations=4000, seed=1)
    _assert_near(p, exact, 4000)


@pytest.mark.slow
def test_patients_exchange_their_labels_as_a_whole():
  groups = np.array([4, 4, 4, 7, 1, 1, 9, 5])  # not in order, and of different sizes
  of_patient = {4: 1, 7: 0, 1: 0, 9: 1, 5: 0}
  labels = np.array([of_patient[g] for g in groups])
  scores = np.array([8, 7, 5, 4, 3, 1, 6, 2])
  orders = [
    [dict(zip(of_patient, order, strict=True))[g] for g in groups]
    for order in itertools.permutations(of_patient.values())
  ]
  p = roc.auc_permutation_test(labels, scores, num_permutations=4000, groups=groups)
  exact = _share_as_good(labels, scores, orders)
  assert exact > 3 * _share_as_good(labels, scores, itertools.permutations(labels))
  _assert_near(p, exact, 4000)


def test_patients_of_both_kinds_exchange_with_those_of_as_many_cases():
  groups = np.array(list("aabbccdef"))
  labels = np.array([0, 1, 1, 1, 0, 0, 0, 1, 0])
  scores = np.array([4, 6, 7, 9, 1, 2, 3, 8, 5])
  pairs, singles = [labels[0:2], labels[2:4], labels[4:6]], labels[6:]
  orders = [
    np.concatenate([*two, one])
    for two in itertools.permutations(pairs)
    for one in itertools.permutations(singles)
  ]
  exact = _share_as_good(labels, scores, orders)
  p = roc.auc_permutation_test(labels, scores, num_permutations=4000, groups=groups)
  _assert_near(p, exact, 4000)


def test_groups_of_one_case_are_no_groups():
  _, labels, scores = next(_tasks(4))
  names = [f"{n:03}" for n in range(len(labels))]
  alone = roc.auc_permutation_test(labels, scores, num_permutations=99, groups=names)
  assert alone == roc.auc_permutation_test(labels, scores, num_permutations=99)


def test_p_is_never_zero_and_does_not_depend_on_the_size_of_blocks(monkeypatch):
  labels, scores = np.repeat([0, 1], 30), np.arange(60)
  assert roc.auc_permutation_test(labels, scores, num_permutations=99) == 1 / 100
  assert roc.auc_permutation_test(labels, -scores, num_permutations=99) == 1
  assert np.isnan(roc.auc_permutation_test(np.ones(3, int), [1, 2, 3]))
  chance = np.random.default_rng(5).uniform(size=60)
  p = [roc.auc_permutation_test(labels, chance, seed=s, num_permutations=500) for s in (0, 0, 1)]
  assert p[0] == p[1] != p[2]
  monkeypatch.setattr(roc, "_NUMBERS_AT_A_TIME", 7 * 60)
  assert roc.auc_permutation_test(labels, chance, num_permutations=500) == p[0]


@pytest.mark.parametrize("cases", [1, 4])
def test_a_true_null_is_rejected_as_often_as_it_says(cases):
  rng = np.random.default_rng(6)
  labels, groups = np.repeat([0, 1], 10 * cases), np.repeat(np.arange(20), cases)
  p_values, by_case = [], []
  for _ in range(300):
    scores = np.repeat(rng.normal(size=20), cases) + 0.3 * rng.normal(size=20 * cases)
    options = {"num_permutations": 99, "seed": 0}
    p_values.append(roc.auc_permutation_test(labels, scores, groups=groups, **options))
    by_case.append(roc.auc_permutation_test(labels, scores, **options))
  assert 0.05 < np.mean(np.array(p_values) <= 0.1) < 0.16
  if cases > 1:
    assert np.mean(np.array(by_case) <= 0.1) > 0.2  # which is what groups are for


@pytest.mark.parametrize(
  ("arguments", "options", "message"),
  [
    (([0, 1], [0.1]), {}, "as many cases"),
    (([0, 2], [0.1, 0.2]), {}, "labels"),
    (([0, 1], [0.1, np.nan]), {}, "finite"),
    (([0, 1], [[0.1, 0.9], [0.2, 0.8]]), {}, r"must be \[N\]"),
    (([0, 1], [0.1, 0.2]), {"groups": ["a"]}, "groups: must be"),
    (([0, 1], [0.1, 0.2]), {"num_permutations": 0}, "num_permutations: must be at least 1"),
  ],
)
def test_wrong_arguments_are_named(arguments, options, message):
  with pytest.raises(ValueError, match=message):
    roc.auc_permutation_test(*arguments, **options)
  if not options:
    for function in (roc.roc_curve, roc.best_f1_threshold):
      with pytest.raises(ValueError, match=message):
        function(*arguments)
