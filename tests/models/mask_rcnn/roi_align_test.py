"""ROIAlign on cases computed by hand, and against torchvision's."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models.mask_rcnn import roi_align as module
from mlseg.models.mask_rcnn.roi_align import level_of, pyramid_align, roi_align
from tests.models import peers

SIXTEEN = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)  # row r, column c: 4 r + c


def _align(box, size, features=SIXTEEN, stride=1, **options):
  boxes = jnp.asarray(box, jnp.float32).reshape(1, 1, 4)
  return np.asarray(roi_align(jnp.asarray(features), boxes, stride, size, **options))[0, 0, ..., 0]


def test_the_whole_image_at_its_own_size_is_itself():
  np.testing.assert_allclose(_align([0, 0, 4, 4], 4, samples=1), SIXTEEN[0, ..., 0], atol=1e-5)


def test_by_hand_aligned():
  # Bins of 1 × 2 pixels, one point each: rows 1.5 and 2.5, columns 1 and 3 in pixels; cells stand
  # half a pixel later, so these are rows 1 and 2, columns 0.5 and 2.5 of the array.
  np.testing.assert_allclose(_align([1, 0, 3, 4], 2, samples=1), [[4.5, 6.5], [8.5, 10.5]])


def test_by_hand_not_aligned():
  # The same points, without the half pixel: rows 1.5 and 2.5, columns 1 and 3.
  actual = _align([1, 0, 3, 4], 2, samples=1, aligned=False)
  np.testing.assert_allclose(actual, [[7.0, 9.0], [11.0, 13.0]])


def test_by_hand_with_four_points_in_a_bin():
  # One bin; rows and columns at 0.75 and 2.25 of the array; 4 r + c is linear, so the mean of the
  # points is its value at (1.5, 1.5). Of its square, it is the mean of the interpolated squares.
  np.testing.assert_allclose(_align([0.5, 0.5, 3.5, 3.5], 1), [[7.5]])
  square = np.zeros_like(SIXTEEN)
  square[0, 1, 2] = 1  # weight of a point (r, c): max(0, 1 - |r - 1|) max(0, 1 - |c - 2|)
  np.testing.assert_allclose(_align([0.5, 0.5, 3.5, 3.5], 1, square), [[0.75 * 0.75 / 4]])


def test_by_hand_at_a_stride():
  # Pixels 0 to 8 at stride 2 are cells 0 to 4.
  np.testing.assert_allclose(
    _align([0, 0, 8, 8], 2, stride=2, samples=1), _align([0, 0, 4, 4], 2, samples=1)
  )


def test_by_hand_at_the_border():
  # Points at rows -0.9, 0.3, 1.5: the first is moved to row 0. Points at rows -3.5 ...: nothing.
  features = np.repeat(np.float32([[10, 20, 30, 40]]).T, 4, axis=1).reshape(1, 4, 4, 1)
  rows = _align([-1.0, 0, 2.6, 4], 3, features, samples=1)[:, 0]
  np.testing.assert_allclose(rows, [10, 13, 25], rtol=1e-6)
  np.testing.assert_allclose(_align([-9, 0, -3, 4], 3, features), 0)
  rows = _align([2.5, 0, 6.5, 4], 2, features, samples=1)[:, 0]  # at rows 3 and 5 of 0 to 3
  np.testing.assert_allclose(rows, [40, 0])


def test_small_boxes_count_as_one_cell_where_not_aligned():
  actual = _align([1, 1, 1, 1], 1, samples=1, aligned=False)
  np.testing.assert_allclose(actual, [[4 * 1.5 + 1.5]])
  np.testing.assert_allclose(_align([1, 1, 1, 1], 1, samples=1), [[4 * 0.5 + 0.5]])


def test_levels():
  sides = np.array([0, 1, 55, 56, 111.9, 112, 223, 224, 448, 9999], np.float32)
  boxes = jnp.stack([0 * sides, 0 * sides, sides, sides], axis=-1)
  assert level_of(boxes, 4, 4).tolist() == [0, 0, 0, 0, 0, 1, 1, 2, 3, 3]


def _boxes(rng, batch, count, size):
  """Returns boxes inside a square image; out of it torchvision's two programs do not agree."""
  corners = rng.uniform(0, size, (batch, count, 2, 2))
  return np.sort(corners, axis=2).reshape(batch, count, 4).astype(np.float32)


def _to_torch(boxes):
  return [peers.torch.from_numpy(b[:, [1, 0, 3, 2]].copy()) for b in boxes]


@pytest.fixture
def ops(monkeypatch):
  """Returns torchvision's operations; where their compiled part is missing, without a compiler."""
  peers.torchvision_models()
  from torchvision import ops

  module = sys.modules["torchvision.ops.roi_align"]
  plain = getattr(module._roi_align, "__wrapped__", module._roi_align)
  monkeypatch.setattr(module, "_roi_align", plain)
  return ops


@pytest.mark.slow
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("at_once", [True, False])
def test_equals_torchvision(ops, aligned, samples, at_once, monkeypatch):
  monkeypatch.setattr(module, "images_at_once", lambda: at_once)
  rng = np.random.default_rng(samples)
  features = rng.normal(size=(2, 12, 9, 3)).astype(np.float32)
  boxes, weights = _boxes(rng, 2, 20, 32), rng.normal(size=(2, 20, 5, 5, 3)).astype(np.float32)
  given = peers.torch.from_numpy(features).permute(0, 3, 1, 2).requires_grad_()
  expected = ops.roi_align(given, _to_torch(boxes), 5, 1 / 4, samples, aligned)
  expected = expected.permute(0, 2, 3, 1).reshape(weights.shape)
  (expected * peers.torch.from_numpy(weights)).sum().backward()

  @jax.jit
  def run(features):
    actual = roi_align(features, boxes, 4, 5, samples, aligned)
    return (actual * weights).sum(), actual

  gradient, actual = jax.grad(run, has_aux=True)(features)
  assert np.abs(actual).max() > 0.1
  np.testing.assert_allclose(actual, expected.detach(), atol=1e-5)
  np.testing.assert_allclose(gradient, given.grad.permute(0, 2, 3, 1), atol=1e-4)


def test_levels_equal_torchvision(ops):
  rng = np.random.default_rng(0)
  boxes = _boxes(rng, 1, 500, 700)
  mapper = ops.poolers.initLevelMapper(2, 5)
  expected = mapper(_to_torch(boxes)).numpy()
  assert set(expected) == {0, 1, 2, 3}
  np.testing.assert_array_equal(level_of(jnp.asarray(boxes[0]), 4, 4), expected)


def test_a_pyramid_equals_torchvision(ops):
  rng = np.random.default_rng(0)
  size, strides = 256, (4, 8, 16)
  boxes = _boxes(rng, 2, 30, size)
  levels = [rng.normal(size=(2, size // s, size // s, 2)).astype(np.float32) for s in strides]
  pooler = ops.MultiScaleRoIAlign([str(s) for s in strides], 3, 2)
  named = {
    str(s): peers.torch.from_numpy(x).permute(0, 3, 1, 2)
    for s, x in zip(strides, levels, strict=True)
  }
  expected = pooler(named, _to_torch(boxes), [(size, size)] * 2).permute(0, 2, 3, 1)
  actual = jax.jit(lambda x: pyramid_align(x, boxes, strides, 3, aligned=False))(levels)
  np.testing.assert_allclose(actual.reshape(expected.shape), expected, atol=1e-5)
