"""Every metric of masks that another project has, on 500 images and 500 volumes.

The table is in `metric_peer_table`. `python -m tests.metrics.metric_peers_test` prints how far each
metric is from its peers.
"""

import functools

import numpy as np
import pytest

from tests.metrics.metric_peer_table import ROWS
from tests.metrics.metric_peers import Masks
from tests.metrics.random_masks import random_pair

pytestmark = [
  pytest.mark.slow,
  pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning"),
  pytest.mark.filterwarnings("ignore:.*scipy.ndimage:DeprecationWarning"),
]
BATCHES = {  # shape, number of classes, spacing
  "images": (
    ((16, 13), 2, (1.0, 1.0)),
    ((11, 14), 3, (0.7, 1.9)),
    ((9, 17), 4, (1.5, 0.6)),
    ((13, 12), 5, (1.0, 1.0)),
  ),
  "volumes": (
    ((6, 7, 8), 2, (1.0, 1.0, 1.0)),
    ((5, 9, 6), 3, (2.3, 0.7, 1.1)),
    ((4, 8, 9), 4, (1.0, 0.5, 2.0)),
    ((7, 5, 6), 5, (1.0, 1.0, 1.0)),
  ),
}
IN_A_PAIR, NUM_PAIRS = 5, 25  # 125 images in each batch


@functools.cache
def batches(rank):
  """Returns the batches of a rank, in which each kind of mask meets each kind of prediction."""
  made = []
  for shape, num_classes, spacing in BATCHES[rank]:
    seeds = num_classes + 7 * np.arange(NUM_PAIRS)
    pairs = [
      random_pair(int(s), num_classes=num_classes, batch=IN_A_PAIR, shape=shape) for s in seeds
    ]
    predictions, masks = map(np.concatenate, zip(*pairs, strict=True))
    made.append(Masks(predictions, masks, num_classes, spacing))
  return made


def _deviation(row, batch, ours, theirs):
  """Returns the largest difference, relative to numbers above 1, and the number of values."""
  ours, theirs = np.asarray(ours, float), np.asarray(theirs, float)
  assert ours.shape == theirs.shape
  known = ~np.isnan(theirs)
  if row.undefined != "any":
    right = batch.counts[..., [1, 2]].sum(-1) == 0
    right = right if ours.ndim > 1 else right.all(1)
    expected = right if row.undefined == "1 if right" else ~right
    np.testing.assert_array_equal(ours[~known], expected[~known])
  size = np.maximum(np.abs(theirs[known]), 1)
  return float((np.abs(ours[known] - theirs[known]) / size).max()), known.sum()


def deviations(name, rank):
  """Returns how far a metric is from each peer, and on how many numbers."""
  row, found = ROWS[name], {}
  for project, peer in row.peers.items():
    each = [_deviation(row, one, row.metric(one), peer(one)) for one in batches(rank)]
    largest, numbers = zip(*each, strict=True)
    found[project] = np.max(largest), sum(numbers)
  return found


CASES = [(name, rank) for name, row in ROWS.items() for rank in row.ranks]


@pytest.mark.parametrize(("name", "rank"), CASES)
def test_agrees_with_its_peers(name, rank):
  for project, (largest, number) in deviations(name, rank).items():
    assert largest < ROWS[name].tolerance, project
    assert number > 0


if __name__ == "__main__":
  for row_name, row_rank in CASES:
    for peer_name, (largest, number) in deviations(row_name, row_rank).items():
      print(f"{row_name:35} {peer_name:8} {row_rank:8} {largest:8.1e} {number}", flush=True)
