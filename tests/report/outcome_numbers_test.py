"""Numbers of outcomes by hand, by plain loops, and under what is known of them."""

import json

import numpy as np
import pytest

from mlseg import metrics
from mlseg.report.outcome import numbers as outcome_numbers
from mlseg.report.outcome.rows import RunRows, pool
from tests.report import made_outcomes

FEW = {"num_resamples": 199}


def _rows(seed, ids, labels, probabilities):
  """Returns lines of a table; labels are 'w' (well) or 'i' (ill)."""
  names = {"w": "well", "i": "ill"}
  return [
    {"seed": str(seed), "id": case, "label": names[label],
     "probability_well": str(1 - p), "probability_ill": str(p)}
    for case, label, p in zip(ids, labels, probabilities, strict=True)
  ]  # fmt: skip


def _plain_auc(labels, scores):
  pairs = [(a, b) for a, x in zip(scores, labels, strict=True) if x
           for b, y in zip(scores, labels, strict=True) if not y]  # fmt: skip
  return sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)


@pytest.fixture
def two_seeds():
  """Two seeds that share the cases c and d; each chooses another threshold."""
  test = _rows(0, "abcd", "wiwi", [0.2, 0.6, 0.5, 0.9])
  test += _rows(1, "cdef", "wiwi", [0.1, 0.3, 0.7, 0.2])
  validation = _rows(0, "uvxy", "wiwi", [0.1, 0.6, 0.55, 0.8])  # best from 0.6 on
  validation += _rows(1, "uvxy", "wiwi", [0.1, 0.25, 0.2, 0.8])  # best from 0.25 on
  return RunRows(test, validation)


def test_a_case_counts_once_with_its_mean(two_seeds):
  pooled = pool(two_seeds)
  assert pooled.names == ("well", "ill")
  assert pooled.ids == tuple("abcdef")
  assert pooled.labels.tolist() == [0, 1, 0, 1, 0, 1]
  np.testing.assert_allclose(pooled.probabilities, [0.2, 0.6, 0.3, 0.6, 0.7, 0.2])
  assert pooled.patients.tolist() == list("abcdef")


def test_the_numbers_of_a_small_run_are_those_by_hand(two_seeds):
  one = outcome_numbers.summarize_run(two_seeds, **FEW)
  labels, scores = [0, 1, 0, 1, 0, 1], [0.2, 0.6, 0.3, 0.6, 0.7, 0.2]
  area = _plain_auc(labels, scores)
  assert area == 4.5 / 9
  assert one["auc_delong"]["estimate"] == one["auc_bootstrap"]["estimate"] == area
  assert one["auc_of_seeds"] == {"0": 1.0, "1": 0.5}
  assert one["auc_mean"] == 0.75
  assert one["auc_deviation"] == pytest.approx(np.sqrt(2) / 4)
  # Seed 0 calls b and d: both ill. Seed 1 calls d and e; d is ill, e is not, and f is missed.
  assert one["thresholds"] == {"0": 0.6, "1": 0.25}
  assert one["f1"]["estimate"] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
  # With no false positive of three only a threshold above 0.7 is allowed, which finds nothing.
  assert one["sensitivity"] == 0
  errors = [0.2, 0.4, 0.3, 0.4, 0.7, 0.8]
  assert one["brier"] == pytest.approx(np.mean(np.square(errors)))
  assert one["brier_of_share"] == 0.25
  assert (one["num_patients"], one["num_cases"], one["num_positive"]) == (6, 6, 3)
  assert (one["negative"], one["positive"]) == ("well", "ill")
  assert one["roc"]["true_positive_rate"] == pytest.approx([0, 0, 2 / 3, 2 / 3, 1])
  assert one["roc"]["false_positive_rate"] == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1])
  assert one["calibration"]["counts"] == [0, 2, 1, 0, 0, 2, 1, 0, 0, 0]
  assert one["calibration"]["observed"][0] is None
  assert one["calibration"]["observed"][5] == 1


def test_folds_test_every_patient_once():
  for num_seeds in (3, 6):
    rows = RunRows(made_outcomes.diagnosis_rows(1, num_seeds=num_seeds))
    assert len(rows.test) == 90 * num_seeds // 3
    one = outcome_numbers.summarize_run(rows, **FEW)
    assert one["num_patients"] == one["num_cases"] == 90
    assert len(one["auc_of_seeds"]) == num_seeds


def _run(separation, seed=0, **options):
  return RunRows(
    made_outcomes.diagnosis_rows(separation, seed=seed, **options),
    made_outcomes.diagnosis_rows(separation, seed=seed, shift=1, **options),
  )


def test_a_separable_outcome():
  one = outcome_numbers.summarize_run(_run(40), **FEW)
  for name in ("auc_delong", "auc_bootstrap", "f1"):
    assert set(one[name].values()) == {1}, name
  assert one["sensitivity"] == 1
  assert one["p_permutation"] == 1 / 200
  assert one["brier"] < 0.01 < one["brier_of_share"]


def test_chance_is_within_the_intervals_as_often_as_they_say():
  rng, within, p_values = np.random.default_rng(0), {"auc_delong": 0, "auc_bootstrap": 0}, []
  _, labels, _ = made_outcomes.cohort(60)
  for n in range(30):
    shuffled = ["wi"[label] for label in rng.permutation(labels)]
    rows = _rows(0, map(str, range(60)), shuffled, rng.uniform(size=60))
    one = outcome_numbers.summarize_run(RunRows(rows), num_resamples=99, seed=n)
    for name in within:
      within[name] += one[name]["low"] <= 0.5 <= one[name]["high"]
    p_values.append(one["p_permutation"])
  assert all(25 <= count < 31 for count in within.values()), within
  assert 0.3 < np.mean(p_values) < 0.7


def test_a_patients_second_case_tells_nothing_new():
  once = _run(1, num_patients=40)
  test = [row | {"id": f"{row['id']} again"} for row in once.test]
  groups = {row["id"]: row["id"].split()[0] for row in [*once.test, *test]}
  twice = RunRows([*once.test, *test], once.validation, groups)
  one, two = (outcome_numbers.summarize_run(rows, **FEW) for rows in (once, twice))
  assert (two["num_patients"], two["num_cases"]) == (40, 80)
  for name in ("auc_bootstrap", "f1", "p_permutation"):
    assert two[name] == one[name], name
  width = [x["auc_delong"]["high"] - x["auc_delong"]["low"] for x in (one, two)]
  assert width[1] < 0.8 * width[0]  # which takes them for independent
  assert outcome_numbers.summarize_run(twice._replace(groups=None), **FEW)["f1"] != one["f1"]


def test_cases_that_fill_a_validation_part_count_once(two_seeds):
  validation = [*two_seeds.validation, *[two_seeds.validation[2]] * 9]
  filled = outcome_numbers.summarize_run(two_seeds._replace(validation=validation), **FEW)
  assert filled["thresholds"] == {"0": 0.6, "1": 0.25}
  apart = [row | {"id": str(n)} for n, row in enumerate(validation)]
  changed = apart[:4] + [row | {"label": "ill"} for row in apart[8:]]
  more = outcome_numbers.summarize_run(
    two_seeds._replace(validation=changed + two_seeds.validation[4:]), **FEW
  )
  assert more["thresholds"]["0"] == 0.55  # ten that are not the same case


def test_f1_is_left_out_where_a_seed_has_no_threshold(two_seeds):
  of_well = [row | {"label": "well"} for row in two_seeds.validation[4:]]
  for validation in (None, two_seeds.validation[:4], two_seeds.validation[:4] + of_well):
    one = outcome_numbers.summarize_run(two_seeds._replace(validation=validation), **FEW)
    assert one["f1"] is None
    assert one["thresholds"] is None
    assert one["brier"] > 0


def test_a_covariate_is_judged_on_the_cases_that_have_it(two_seeds):
  known = {"a": 4.0, "b": 5.0, "c": 1.0, "d": 1.0, "other": 9.0}
  rows = two_seeds._replace(covariates={"age": known, "none": {}, "one": {"a": 1.0, "c": 2.0}})
  found = outcome_numbers.summarize_run(rows, **FEW)["covariates"]
  assert found["age"]["num_cases"] == 4
  assert found["age"]["auc"]["estimate"] == _plain_auc([0, 1, 0, 1], [4, 5, 1, 1])
  assert found["age"]["auc"]["low"] is not None
  assert found["none"] == {"num_cases": 0, "auc": dict.fromkeys(("estimate", "low", "high"))}
  assert found["one"]["auc"]["estimate"] is None  # both are well


def test_one_label_alone():
  rows = _rows(0, "abc", "www", [0.1, 0.3, 0.2])
  one = outcome_numbers.summarize_run(RunRows(rows, _rows(0, "uv", "wi", [0.2, 0.5])), **FEW)
  for name in ("auc_mean", "auc_deviation", "sensitivity", "p_permutation"):
    assert one[name] is None, name
  assert one["auc_delong"] == dict.fromkeys(("estimate", "low", "high"))
  assert one["f1"]["estimate"] == 1  # nobody is ill, and nobody is called so
  assert set(one["roc"]["true_positive_rate"]) == {None}


def test_runs_are_compared_with_the_first_on_common_cases():
  runs = {"a": pool(_run(2, 1)), "b": pool(_run(0, 2)), "c": pool(_run(1, 3, num_patients=60))}
  b, c = outcome_numbers.compare(runs)
  assert [(x["run"], x["reference"], x["num_cases"]) for x in (b, c)] == [
    ("b", "a", 90), ("c", "a", 60),
  ]  # fmt: skip
  common = [runs["a"].ids.index(case) for case in runs["c"].ids]
  scores = runs["c"].probabilities, runs["a"].probabilities[common]
  expected = metrics.delong_test(runs["c"].labels, *scores)
  values = [c[x] for x in ("auc", "auc_reference", "difference", "p")]
  np.testing.assert_allclose(values, [*expected[:3], expected.p])
  half = 1.959963985 * expected.deviation
  np.testing.assert_allclose([c["low"], c["high"]], expected.difference + np.array([-half, half]))
  assert c["auc"] == pytest.approx(_plain_auc(runs["c"].labels, scores[0]))
  assert b["p"] < c["p"] < 1
  assert (b["p_holm"], c["p_holm"]) == pytest.approx((2 * b["p"], max(c["p"], 2 * b["p"])))


def test_cases_are_common_only_where_they_are_the_same():
  first = pool(_run(1))
  others = {
    "elsewhere": first._replace(ids=tuple(f"x{case}" for case in first.ids)),
    "other names": first._replace(names=("no", "yes")),
    "other labels": first._replace(labels=1 - first.labels),
    "itself": first,
  }
  *none, same = outcome_numbers.compare({"first": first} | others)
  for one in none:
    assert one["num_cases"] == 0
    assert one["p"] is one["p_holm"] is one["auc"] is one["difference"] is None
  assert (same["difference"], same["p"], same["p_holm"]) == (0, 1, 1)
  assert outcome_numbers.compare({"first": first}) == []


def test_numbers_are_plain_and_the_same_again():
  runs = {"a": _run(1)._replace(covariates={"age": {}}), "b": RunRows(_run(0).test)}
  first = json.dumps(outcome_numbers.summarize(runs, **FEW), allow_nan=False)
  assert json.dumps(outcome_numbers.summarize(runs, **FEW), allow_nan=False) == first
  other = outcome_numbers.summarize(runs, **FEW, seed=1)
  assert other["runs"]["a"]["auc_delong"] == json.loads(first)["runs"]["a"]["auc_delong"]
  assert other["runs"]["a"]["auc_bootstrap"] != json.loads(first)["runs"]["a"]["auc_bootstrap"]
  assert other["runs"]["b"]["auc_bootstrap"] != other["runs"]["a"]["auc_bootstrap"]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"label": "ill"}, "c has two labels: ill and well"),
    ({"label": "dead"}, "label of c must be one of .*, got dead"),
  ],
)
def test_rows_that_do_not_agree_are_refused(two_seeds, change, message):
  test = list(two_seeds.test)
  test[2] = test[2] | change
  with pytest.raises(ValueError, match=message):
    pool(RunRows(test))


def test_two_labels_and_a_group_of_each_case_are_needed(two_seeds):
  with pytest.raises(ValueError, match="two labels, got \\['well', 'ill', 'dead'\\]"):
    pool(RunRows([row | {"probability_dead": "0"} for row in two_seeds.test]))
  with pytest.raises(ValueError, match=r"two labels, got \[\]"):
    pool(RunRows([]))
  with pytest.raises(KeyError, match="c"):
    pool(two_seeds._replace(groups=dict.fromkeys("abdef", "1")))
