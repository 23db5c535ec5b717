"""Objects of a batch, the choice of regions, and masks pasted to a map, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models.mask_rcnn import region_choice
from mlseg.models.mask_rcnn.boxes import REGION_SCALES
from mlseg.models.mask_rcnn.detections import AnchorScores, MaskScores, RegionScores, objects_of
from mlseg.models.mask_rcnn.pasting import paste, semantic_logits

SIZE = (32, 48)


def test_objects_equal_a_plain_loop():
  rng = np.random.default_rng(0)
  instances = rng.integers(0, 12, (3, 9, 7)) * (rng.random((3, 9, 7)) < 0.1)
  masks = np.where(instances > 0, 1 + instances % 3, 0)
  objects = jax.jit(objects_of, static_argnums=2)(instances.astype(np.uint8), masks, 12)
  for image in range(3):
    for index in range(12):
      rows, columns = np.nonzero(instances[image] == index + 1)
      assert objects.present[image, index] == (rows.size > 0)
      if rows.size:
        box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
        assert objects.boxes[image, index].tolist() == box
        assert objects.classes[image, index] == 1 + (index + 1) % 3
      else:
        assert objects.classes[image, index] == 0
  assert 0 < int(objects.present.sum()) < objects.present.size


def test_entries_beyond_the_last_object_are_not_present():
  instances = jnp.array([[[0, 1, 2, 3]]])
  objects = objects_of(instances, instances > 0, 2)
  assert objects.present.tolist() == [[True, True]]


def _anchors(boxes, logits):
  boxes = jnp.asarray(boxes, jnp.float32)[None]
  return AnchorScores(boxes, jnp.asarray(logits, jnp.float32)[None], jnp.zeros_like(boxes))


def test_proposals_are_clipped_and_the_best_that_differ():
  boxes = [[-8, -8, 8, 8], [-7, -8, 8, 8], [10, 10, 20, 20], [40, 0, 50, 9], [0, 0, 30, 40]]
  anchors = _anchors(boxes, [1.0, 2.0, -3.0, 9.0, 0.0])  # the fourth is out of the image
  found, valid = region_choice.proposals(anchors, SIZE, 5, 4, 0.7)
  assert valid.tolist() == [[1, 1, 1, 0]]
  assert found[0, :3].tolist() == [[0, 0, 8, 8], [0, 0, 30, 40], [10, 10, 20, 20]]
  found, valid = region_choice.proposals(anchors, SIZE, 2, 4, 0.7)  # of the two best anchors alone
  assert valid.tolist() == [[1, 0, 0, 0]]


def test_proposals_move_by_their_deltas():
  anchors = _anchors([[0, 0, 10, 10]], [0.0])
  anchors = anchors._replace(deltas=jnp.array([[[0.5, 0.0, 0.0, np.log(2.0)]]], jnp.float32))
  found, _ = region_choice.proposals(anchors, SIZE, 1, 1, 0.7)
  np.testing.assert_allclose(found[0, 0], [5, 0, 15, 15], rtol=1e-6)


def _regions(boxes, probabilities, valid=None):
  boxes = jnp.asarray(boxes, jnp.float32)[None]
  logits = jnp.log(jnp.asarray(probabilities, jnp.float32))[None]
  deltas = jnp.zeros((*boxes.shape[:2], logits.shape[-1] - 1, 4))
  valid = jnp.ones(boxes.shape[:2]) if valid is None else jnp.asarray(valid, jnp.float32)[None]
  return RegionScores(boxes, valid, logits, deltas)


def test_what_is_found_has_the_class_and_the_box_of_its_class():
  boxes = [[0, 0, 10, 10], [0, 0, 10, 11], [20, 20, 30, 30], [0, 30, 10, 40]]
  regions = _regions(
    boxes, [[0.1, 0.7, 0.2], [0.1, 0.3, 0.6], [0.97, 0.02, 0.01], [0.0, 0.0, 1.0]], [1, 1, 1, 0]
  )
  deltas = regions.deltas.at[0, 1, 1].set(jnp.array([5.0, 0, 0, 0]))  # class 2 of the second
  found = region_choice.found(regions._replace(deltas=deltas), SIZE, 4, 0.5, 0.05)
  boxes, valid, scores, classes = (x[0] for x in found)
  # The second's class 1 overlaps the first's; the first's class 2 does not overlap the second's,
  # which is half a height further down; the third is background; the fourth is no region.
  assert valid.tolist() == [1, 1, 1, 0]
  assert classes.tolist() == [1, 2, 2, 0]
  np.testing.assert_allclose(scores, [0.7, 0.6, 0.2, 0], rtol=1e-5)
  shift = 5.0 / REGION_SCALES[0] * 10
  expected = [[0, 0, 10, 10], [shift, 0, 10 + shift, 11], [0, 0, 10, 10], [0, 0, 0, 0]]
  np.testing.assert_allclose(boxes, expected, atol=1e-5)


def test_no_gradient_goes_through_the_choice():
  regions = _regions([[0, 0, 10, 10]], [[0.1, 0.9]])
  gradient = jax.grad(lambda r: sum(x.sum() for x in region_choice.found(r, SIZE, 2, 0.5, 0.05)))(
    regions
  )
  for leaf in jax.tree.leaves(gradient):
    np.testing.assert_array_equal(leaf, 0)


def test_a_pasted_mask_is_that_of_opencv():
  cv2 = pytest.importorskip("cv2")
  mask = np.random.default_rng(0).random((8, 8)).astype(np.float32)
  boxes = jnp.array([[[5.0, 10.0, 25.0, 42.0]]])
  expected = np.zeros(SIZE, np.float32)
  expected[5:25, 10:42] = cv2.resize(mask, (32, 20), interpolation=cv2.INTER_LINEAR)
  np.testing.assert_allclose(paste(mask[None, None], boxes, SIZE)[0, 0], expected, atol=1e-5)


def test_a_box_out_of_the_image_is_cut_and_an_empty_one_leaves_nothing():
  boxes = jnp.array([[[-4.0, -4.0, 4.0, 4.0], [3.0, 3.0, 3.0, 3.0]]])
  pasted = paste(jnp.ones((1, 2, 4, 4)), boxes, SIZE)
  assert pasted[0, 0, :4, :4].min() == 1
  assert pasted[0].sum() == 16


def _masks(boxes, scores, classes, logits):
  boxes = jnp.asarray(boxes, jnp.float32)[None]
  scores, classes = (jnp.asarray(x, jnp.float32)[None] for x in (scores, classes))
  return MaskScores(boxes, (scores > 0).astype(jnp.float32), scores, classes, logits)


def test_the_map_is_of_the_best_object_of_each_class():
  logits = jnp.full((1, 3, 4, 4, 2), 9.0)  # probabilities about 1, of either class
  boxes = [[0, 0, 16, 16], [0, 8, 16, 24], [0, 0, 0, 0]]
  masks = _masks(boxes, [0.9, 0.6, 0.0], [1, 2, 0], logits)
  probabilities = np.exp(semantic_logits(masks, SIZE))[0]
  assert probabilities.shape == (*SIZE, 3)
  for pixel, expected in (((4, 4), (0.1, 0.9, 0)), ((4, 12), (0.1, 0.9, 0.6)),
                          ((4, 20), (0.4, 0, 0.6)), ((20, 4), (1, 0, 0))):  # fmt: skip
    np.testing.assert_allclose(probabilities[pixel], expected, atol=2e-4)


def test_two_classes_have_the_probability_of_the_object():
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, 4, 4, 1)), jnp.float32)
  masks = _masks([[0, 0, 20, 20], [10, 10, 30, 40]], [0.9, 0.7], [1, 1], logits)
  given = semantic_logits(masks, SIZE)
  pasted = paste(jax.nn.sigmoid(logits[..., 0]), masks.boxes, SIZE)
  expected = np.maximum(0.9 * pasted[0, 0], 0.7 * pasted[0, 1])
  np.testing.assert_allclose(jax.nn.softmax(given)[0, ..., 1], expected, atol=2e-6)
  np.testing.assert_array_equal(given[0].argmax(-1) == 1, expected > 0.5)
  assert 0 < (expected > 0.5).sum() < expected.size


def test_scores_may_be_left_out_of_the_map():
  masks = _masks([[0, 0, 9, 9], [0, 20, 9, 40]], [0.1, 0.0], [1, 0], jnp.full((1, 2, 4, 4, 1), 9.0))
  found = semantic_logits(masks, SIZE, score_power=0.0).argmax(-1)
  assert int(found.sum()) == int(found[0, :9, :9].sum()) == 81
  assert not semantic_logits(masks, SIZE).argmax(-1).any()


def test_nothing_found_is_background():
  masks = _masks(np.zeros((2, 4)), [0, 0], [0, 0], jnp.zeros((1, 2, 4, 4, 1)))
  logits = semantic_logits(masks, SIZE)
  assert np.isfinite(logits).all()
  assert not logits.argmax(-1).any()
