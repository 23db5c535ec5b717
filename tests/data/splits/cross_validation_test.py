"""Cross-validation: every case is tested once, groups never cross, parts can be of one size."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlseg.data.splits import cross_validation, grouped
from mlseg.errors import UserError


def _check_folds(parts, labels, group):
  everything = list(range(len(labels)))
  assert sorted(np.concatenate([part.test for part in parts]).tolist()) == everything
  for part in parts:
    assert sorted(np.concatenate(part).tolist()) == everything
    assert all(len(cases) for cases in part)
    sides = [set(group[cases].tolist()) for cases in part]
    assert sum(map(len, sides)) == len(set(group.tolist()))  # no group crosses


@settings(max_examples=100, deadline=None)
@given(
  st.lists(st.integers(1, 40), min_size=12, max_size=50),
  st.integers(1, 4),
  st.integers(2, 6),
  st.integers(0, 2**31),
)
def test_every_case_is_tested_in_one_fold_and_no_group_crosses(counts, num_labels, num_folds, seed):
  group = np.repeat(np.arange(len(counts)), counts)
  rng = np.random.default_rng(seed)
  order = rng.permutation(len(group))
  group, labels = group[order], rng.integers(0, num_labels, len(group))
  try:
    parts = cross_validation.folds(labels, group, num_folds, seed=seed)
  except UserError:  # one group is half of all: without it, or beside it, there is too little
    assert 2 * max(counts) >= sum(counts)
    return
  _check_folds(parts, labels, group)


def test_folds_of_single_cases_have_equal_sizes_and_strata():
  labels = np.repeat([0, 1, 2], [60, 30, 10])
  parts = cross_validation.folds(labels, None, 5, seed=3, validation=0.25)
  _check_folds(parts, labels, np.arange(100))
  for part in parts:
    assert [np.bincount(labels[cases]).tolist() for cases in part] == [
      [36, 18, 6], [12, 6, 2], [12, 6, 2],
    ]  # fmt: skip


def test_folds_of_patients_keep_the_shares_of_labels_near():
  rng = np.random.default_rng(0)
  counts = rng.integers(20, 50, 110)
  patients = np.repeat(np.arange(110), counts)
  labels = (rng.random(len(patients)) < np.repeat(rng.uniform(0.1, 0.6, 110), counts)).astype(int)
  parts = cross_validation.folds(labels, patients, 5, seed=0)
  _check_folds(parts, labels, patients)
  for part in parts:
    assert abs(len(part.test) / len(labels) - 0.2) < 0.01
    assert abs(labels[part.test].mean() - labels.mean()) < 0.03


def test_the_seed_decides_the_folds():
  labels = np.arange(60) % 2
  first, again, other = (cross_validation.folds(labels, None, 3, seed=seed) for seed in (1, 1, 2))
  np.testing.assert_array_equal(first[0].test, again[0].test)
  np.testing.assert_array_equal(first[0].validation, again[0].validation)
  assert first[0].test.tolist() != other[0].test.tolist()


@pytest.mark.parametrize(
  ("group", "options", "message"),
  [
    (None, {"num_folds": 1}, "folds must be at least 2, not 1"),
    (None, {"num_folds": 3, "validation": 1.0}, "must be between 0 and 1, not 1.0"),
    (np.arange(20) % 2, {"num_folds": 3}, "2 groups .* cannot be shared out to 3 parts"),
    (np.arange(20) % 2, {"num_folds": 2}, "1 groups .* cannot be shared out to 2 parts"),
    (np.zeros(3), {"num_folds": 2}, "one group per case, not 3 for 20"),
  ],
)
def test_folds_that_cannot_be_are_refused(group, options, message):
  with pytest.raises(UserError, match=message):
    cross_validation.folds(np.zeros(20, int), group, seed=0, **options)


def test_parts_of_folds_are_made_of_one_size_by_repeating_their_own_cases():
  labels = np.repeat([0, 1], [40, 23])
  patients = np.sort(np.random.default_rng(0).integers(0, 11, 63))
  folds = cross_validation.folds(
    labels, grouped.groups(63, [], patients), 4, seed=0, validation=0.3
  )
  sizes = {(len(fold.train), len(fold.validation)) for fold in folds}
  assert len(sizes) > 1
  made = cross_validation.equalised(dict(enumerate(folds)))
  assert len({(len(one.train), len(one.validation)) for one in made.values()}) == 1
  for number, fold in enumerate(folds):
    np.testing.assert_array_equal(made[number].test, fold.test)
    for new, old in zip(made[number][:2], fold[:2], strict=True):
      values, times = np.unique(new, return_counts=True)
      np.testing.assert_array_equal(values, old)
      assert times.max() - times.min() <= 1


def test_parts_of_one_size_stay_as_they_are():
  parts = {
    seed: grouped.split(np.zeros(30, int), None, seed=seed, method="random") for seed in (0, 1)
  }
  for seed, split in cross_validation.equalised(parts).items():
    for new, old in zip(split, parts[seed], strict=True):
      np.testing.assert_array_equal(new, old)
