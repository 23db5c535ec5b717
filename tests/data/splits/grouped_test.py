"""Splits: exact sizes, strata, groups that never cross, and what counts as a duplicate."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlseg.data import cases
from mlseg.data.splits import grouped
from mlseg.errors import UserError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  return cases.load("busi", cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def pairs(data):
  return grouped.near_duplicates(data.hashes)


def test_known_duplicates_are_found(data, pairs):
  found = {(data.ids[i], data.ids[j]): distance for i, j, distance in pairs}
  assert found["benign (433)", "malignant (145)"] == 0
  assert len(found) == 172
  assert max(found.values()) <= grouped.THRESHOLD


def test_the_distances_are_those_of_the_hashes(data, pairs):
  i, j, distance = pairs[100]
  assert distance == (data.hashes[i] != data.hashes[j]).sum()
  assert pairs == sorted(pairs, key=lambda pair: pair[2])


def test_the_hash_keeps_through_what_saving_again_does_and_no_further(data):
  plain = data.images[5, ..., 0]
  hashed = grouped.perceptual_hash(plain)
  bright = np.clip(plain.astype(int) + 10, 0, 255).astype(np.uint8)
  larger = cv2.resize(plain, (300, 300), interpolation=cv2.INTER_LINEAR)
  written = cv2.putText(plain.copy(), "RT", (4, 120), 0, 0.4, 255, 1)
  for changed in (bright, larger, written):
    assert (grouped.perceptual_hash(changed) != hashed).sum() <= grouped.THRESHOLD
  for other in (plain[:, ::-1], plain[::-1], data.images[6, ..., 0]):
    assert (grouped.perceptual_hash(other) != hashed).sum() > grouped.THRESHOLD


def test_groups_are_what_chains_of_pairs_connect():
  group = grouped.groups(6, [(1, 2, 0), (4, 5, 0), (2, 5, 0)])
  assert group[1] == group[2] == group[4] == group[5]
  assert len(set(group.tolist())) == 3


def test_groups_are_connected_by_patients_too():
  patients = np.array([3, 1, 3, 2, 1, 0])
  group = grouped.groups(6, [(3, 5, 0), (0, 4, 9)], patients)
  assert group[0] == group[1] == group[2] == group[4]
  assert group[3] == group[5] != group[0]
  np.testing.assert_array_equal(grouped.groups(6, [], np.arange(6)[::-1]), np.arange(6))


@pytest.mark.parametrize("method", grouped.METHODS)
@pytest.mark.parametrize("seed", range(10))
def test_sizes_and_strata_are_the_same_for_every_seed(data, pairs, method, seed):
  group = grouped.groups(647, pairs)
  split = grouped.split(data.labels, group, seed=seed, method=method)
  assert [len(part) for part in split] == [451, 98, 98]
  assert sorted(np.concatenate(split).tolist()) == list(range(647))
  assert [np.bincount(data.labels[part]).tolist() for part in split] == [
    [305, 146], [66, 32], [66, 32],
  ]  # fmt: skip
  crossing = [(i, j) for i, j, _ in pairs if sum({i, j} <= set(part) for part in split) == 0]
  assert (crossing == []) == (method == "grouped")


def test_the_seed_decides(data, pairs):
  group = grouped.groups(647, pairs)
  first, again, other = (grouped.split(data.labels, group, seed=seed) for seed in (1, 1, 2))
  for part, same, different in zip(first, again, other, strict=True):
    np.testing.assert_array_equal(part, same)
    assert set(part.tolist()) != set(different.tolist())


def test_a_split_needs_cases_and_a_group_for_each():
  with pytest.raises(UserError, match="no cases to split"):
    grouped.split(np.zeros(0, int), None, seed=0)
  with pytest.raises(UserError, match="one group per case, not 3 for 40"):
    grouped.split(np.arange(40) % 2, np.zeros(3, int), seed=0)


def test_groups_go_to_every_part(data, pairs):
  group = grouped.groups(647, pairs)
  many = np.isin(group, np.flatnonzero(np.bincount(group) > 1))
  shares = np.zeros(3)
  for seed in range(20):
    split = grouped.split(data.labels, group, seed=seed)
    shares += [many[part].sum() / many.sum() / 20 for part in split]
  np.testing.assert_allclose(shares, (0.7, 0.15, 0.15), atol=0.05)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=20, max_size=60), st.integers(1, 3))
def test_patients_of_many_cases_are_split_with_sizes_near_the_fractions(counts, num_labels):
  patients = np.repeat(np.arange(len(counts)), counts)
  labels = patients % num_labels
  group = grouped.groups(len(patients), [], patients)
  sizes = set()
  for seed in range(3):
    split = grouped.split(labels, group, seed=seed)
    assert sorted(np.concatenate(split).tolist()) == list(range(len(patients)))
    assert sum(len(set(patients[part].tolist())) for part in split) == len(counts)
    sizes.add(tuple(map(len, split)))
  (only,) = sizes  # the same for every seed
  wanted = np.array([0.7, 0.15, 0.15]) * len(patients)
  assert np.abs(np.array(only) - wanted).max() <= num_labels * max(counts)


def test_patients_of_equal_counts_change_sides_from_seed_to_seed():
  patients = np.repeat(np.arange(40), 3)
  group = grouped.groups(120, [], patients)
  parts = [grouped.split(np.zeros(120, int), group, seed=seed).test for seed in range(10)]
  assert len({tuple(part.tolist()) for part in parts}) == 10
  assert len(set(np.concatenate(parts).tolist())) > 80


def test_one_large_group_goes_where_it_has_room():
  group = np.repeat(np.arange(60), [100, 60, 50, *[5] * 57])
  split = grouped.split(np.zeros(len(group), int), group, seed=0)
  assert 0 in group[split.train]
  wanted = np.array([0.7, 0.15, 0.15]) * len(group)
  assert np.abs([len(part) for part in split] - wanted).max() <= 5


def test_too_few_patients_for_three_parts_are_refused():
  patients = np.repeat(np.arange(2), 30)
  group = grouped.groups(60, [], patients)
  with pytest.raises(UserError, match="no part with room for a group of 30 cases that belong"):
    grouped.split(np.zeros(60, int), group, seed=0)


def _patients_of_mixed_labels(made):
  """Returns labels [N] and groups [N]: 30 patients with images of several of five labels."""
  rng = np.random.default_rng(made)
  needs = rng.integers(0, 3, (30, 5))
  needs[needs.sum(axis=1) < 2, :2] = 1
  labels = [np.repeat(np.arange(5), need) for need in needs]
  group = [np.full(len(own), n) for n, own in enumerate(labels)]
  singles = np.arange(20)
  return np.concatenate([*labels, singles % 5]), np.concatenate([*group, 100 + singles])


def _first_draws_that_fail(labels, group, num_seeds):
  """Returns how many seeds would find no part for a group in their first draw."""
  room, failed = grouped._sizes(labels, (0.7, 0.15, 0.15)), 0
  for seed in range(num_seeds):
    rng = np.random.default_rng(seed)
    in_groups = grouped.shuffled_groups(group, len(labels), rng)
    failed += grouped._draw(grouped.needs_of(labels, in_groups), room, rng) is None
  return failed


@pytest.mark.slow
def test_groups_of_mixed_labels_are_split_for_every_seed():
  failed, num_seeds = 0, 60
  for made in range(12):
    labels, group = _patients_of_mixed_labels(made)
    sizes = set()
    for seed in range(num_seeds):
      split = grouped.split(labels, group, seed=seed)
      assert sorted(np.concatenate(split).tolist()) == list(range(len(group)))
      assert sum(len(set(group[part].tolist())) for part in split) == len(set(group.tolist()))
      sizes.add(tuple(map(len, split)))
    assert len(sizes) == 1  # models side by side need the same number of cases
    failed += _first_draws_that_fail(labels, group, num_seeds)
  assert failed > 25


def test_where_no_draw_succeeds_groups_are_packed(monkeypatch):
  labels, group = _patients_of_mixed_labels(0)
  monkeypatch.setattr(grouped, "NUM_DRAWS", 0)
  splits = [grouped.split(labels, group, seed=seed) for seed in range(20)]
  assert len({tuple(map(len, split)) for split in splits}) == 1
  for split in splits:
    assert sum(len(set(group[part].tolist())) for part in split) == len(set(group.tolist()))
    wanted = np.array([0.7, 0.15, 0.15]) * len(group)
    assert np.abs([len(part) for part in split] - wanted).max() <= 6


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=60, max_size=100), st.integers(0, 2**31))
def test_a_grouped_split_holds_for_any_groups_or_says_why(group, seed):
  group = np.array(group)
  labels = np.arange(len(group)) % 2
  try:
    split = grouped.split(labels, group, seed=seed)
  except UserError:
    assert np.bincount(group).max() > 1  # single cases always fit
    return
  assert sorted(np.concatenate(split).tolist()) == list(range(len(group)))
  for a, b in ((0, 1), (0, 2), (1, 2)):
    assert not set(group[split[a]]) & set(group[split[b]])


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"method": "rnd"}, "unknown split 'rnd': choose from grouped, random"),
    ({"fractions": (0.7, 0.2, 0.2)}, "sum to 1"),
    ({"fractions": (1.0, 0.0, 0.0)}, "positive"),
    ({"fractions": (0.98, 0.01, 0.01)}, "without a case"),
  ],
)
def test_wrong_arguments_are_named(options, message):
  with pytest.raises(UserError, match=message):
    grouped.split(np.arange(20) % 2, None, seed=0, **options)


def test_near_duplicates_are_the_same_in_blocks(monkeypatch):
  hashes = np.random.default_rng(0).random((50, 12)) < 0.5
  pairs = grouped.near_duplicates(hashes, 3)
  expected = [
    (i, j, int((hashes[i] != hashes[j]).sum())) for i in range(50) for j in range(i + 1, 50)
  ]
  assert sorted(pairs) == [pair for pair in expected if pair[2] <= 3]
  monkeypatch.setattr(grouped, "BLOCK", 7)
  assert grouped.near_duplicates(hashes, 3) == pairs
  assert grouped.near_duplicates(hashes, -1) == []
