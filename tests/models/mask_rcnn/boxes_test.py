"""Boxes, anchors and suppression against torchvision, and against plain loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.losses import detection, matching
from mlseg.models.mask_rcnn import boxes as module
from mlseg.models.mask_rcnn.anchors import grid_anchors
from mlseg.models.mask_rcnn.boxes import non_maximum_suppression
from tests.models import peers

SWAP = [1, 0, 3, 2]  # (top, left, bottom, right) to torchvision's (left, top, right, bottom)
SCALES = [module.ANCHOR_SCALES, module.REGION_SCALES]


def _boxes(seed, count):
  rng = np.random.default_rng(seed)
  corners = rng.uniform(0, 100, (count, 2))
  return np.hstack([corners, corners + rng.uniform(1, 60, (count, 2))]).astype(np.float32)


def _coder(scales):
  peers.torchvision_models()
  from torchvision.models.detection._utils import BoxCoder

  return BoxCoder(tuple(scales[i] for i in SWAP))


def test_overlaps_equal_torchvision():
  peers.torchvision_models()
  from torchvision.ops import box_iou

  one, other = _boxes(0, 30), _boxes(1, 20)
  expected = box_iou(*(peers.torch.from_numpy(b[:, SWAP].copy()) for b in (one, other)))
  assert expected.max() > 0.5
  for function in (module.intersection_over_union, matching.intersection_over_union):
    np.testing.assert_allclose(function(one, other), expected, atol=1e-6)


def test_overlap_of_empty_boxes_is_zero():
  nothing = jnp.zeros((2, 4))
  for function in (module.intersection_over_union, matching.intersection_over_union):
    np.testing.assert_array_equal(function(nothing, nothing), 0)


@pytest.mark.parametrize("scales", SCALES)
def test_deltas_equal_torchvision(scales):
  coder = _coder(scales)
  one, other = _boxes(0, 50), _boxes(1, 50)
  first, second = (peers.torch.from_numpy(b[:, SWAP].copy()) for b in (one, other))
  deltas = matching.encode(one, other, scales)
  expected = coder.encode_single(second, first).numpy()[:, SWAP]
  np.testing.assert_allclose(deltas, expected, rtol=1e-4, atol=1e-4)
  deltas = np.float32(3 * np.random.default_rng(2).normal(size=(50, 4)))
  moved = coder.decode_single(peers.torch.from_numpy(deltas[:, SWAP].copy()), first)
  np.testing.assert_allclose(
    module.decode(one, deltas, scales), moved[:, SWAP], rtol=1e-4, atol=2e-2
  )


def test_the_losses_undo_what_the_network_does():
  # The two packages do not import each other, so each has these numbers.
  assert tuple(SCALES) == (detection._ANCHOR_SCALES, detection._REGION_SCALES)
  one, other = _boxes(0, 50), _boxes(1, 50)
  for scales in SCALES:
    back = module.decode(one, matching.encode(one, other, scales), scales)
    np.testing.assert_allclose(back, other, atol=1e-3)


def test_huge_deltas_stay_finite():
  huge = jnp.full(4, 1e30)
  assert np.isfinite(module.clip(module.decode(_boxes(0, 1)[0], huge, SCALES[0]), (64, 64))).all()


def test_anchors_are_torchvisions_half_a_cell_later():
  peers.torchvision_models()
  from torchvision.models.detection.anchor_utils import AnchorGenerator
  from torchvision.models.detection.image_list import ImageList

  torch, size, strides, ratios = peers.torch, (64, 96), (8, 16), (0.5, 1.0, 2.0)
  generator = AnchorGenerator(((32,), (64,)), (ratios,) * 2)
  features = [torch.zeros(1, 1, size[0] // s, size[1] // s) for s in strides]
  (expected,) = generator(ImageList(torch.zeros(1, 3, *size), [size]), features)
  actual = grid_anchors(size, strides, 4.0, ratios)
  counts = [3 * size[0] * size[1] // s**2 for s in strides]
  halves = np.repeat(np.array(strides) / 2, counts)[:, None]
  assert actual.shape == (sum(counts), 4)
  # It rounds the corners to pixels.
  np.testing.assert_allclose(actual - halves, expected[:, SWAP], atol=0.5)


def _suppressed(boxes, scores, threshold, groups):
  """Returns the boxes that stay, by a plain loop."""
  overlaps = np.asarray(module.intersection_over_union(boxes, boxes))
  kept = []
  for i in np.argsort(-scores, kind="stable"):
    alike = [j for j in kept if groups[j] == groups[i]]
    if np.isfinite(scores[i]) and all(overlaps[i, j] <= threshold for j in alike):
      kept.append(int(i))
  return kept


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("grouped", [True, False])
def test_suppression_equals_a_plain_loop(seed, grouped):
  rng = np.random.default_rng(seed)
  boxes = _boxes(seed, 40)
  scores = rng.integers(0, 30, 40).astype(np.float32)  # with ties
  scores[:3] = -np.inf
  groups = rng.integers(0, 2, 40) if grouped else np.zeros(40, int)
  expected = _suppressed(boxes, scores, 0.3, groups)
  run = jax.jit(non_maximum_suppression, static_argnums=(2, 3))
  kept = run(boxes, scores, 40, 0.3, jnp.asarray(groups) if grouped else None)
  assert kept.indices[kept.valid].tolist() == expected
  assert 3 < len(expected) < 37
  few = run(boxes, scores, 3, 0.3, jnp.asarray(groups) if grouped else None)
  assert few.indices.tolist() == expected[:3]


def test_suppression_of_nothing():
  kept = non_maximum_suppression(jnp.zeros((4, 4)), jnp.full(4, -jnp.inf), 2, 0.5)
  assert kept.valid.tolist() == [False, False]
