"""The mark of the best run, against scipy's paired t-test."""

import numpy as np
import pytest
from scipy import stats

from mlseg.report import leader


def _by_seed(values):
  return dict(enumerate(values))


def test_the_interval_is_that_of_the_paired_t_test():
  random = np.random.default_rng(0)
  a, b, c = (random.normal(mean, 0.05, 6) for mean in (0.9, 0.6, 0.1))
  found = leader.leader({"c": _by_seed(c), "a": _by_seed(a), "b": _by_seed(b)})
  low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
  assert found[:2] == ("a", "b")
  assert found[2:] == pytest.approx(((a - b).mean(), low, high))
  other = leader.leader({"c": _by_seed(c), "a": _by_seed(a), "b": _by_seed(b)}, less=True)
  assert other[:2] == ("c", "b")
  assert other.difference < 0


@pytest.mark.parametrize(
  "values",
  [
    {"a": [0.9], "b": [0.1]},  # one seed has no interval
    {"a": [0.9, 0.8, 0.7]},  # nothing to be better than
    {"a": [0.9, 0.5, 0.7], "b": [0.6, 0.7, 0.6]},  # by the choice of seeds alone
    {"a": [0.5, 0.5], "b": [0.5, 0.5]},
    {"a": [0.9, float("nan"), 0.7], "b": [0.1, 0.1, 0.1]},
    {},
  ],
)
def test_there_is_no_mark_without_an_interval_that_excludes_0(values):
  assert leader.leader({name: _by_seed(own) for name, own in values.items()}) is None


def test_only_seeds_that_both_have_are_paired():
  assert leader.leader({"a": {0: 0.9, 1: 0.8}, "b": {2: 0.1, 3: 0.2}}) is None
  found = leader.leader({"a": {0: 0.9, 1: 0.8, 5: 0.9}, "b": {0: 0.1, 1: 0.0}})
  assert found.difference == pytest.approx(0.8)
