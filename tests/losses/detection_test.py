"""The losses of Mask R-CNN: laws, plain formulas, and torchvision's."""

import itertools
from types import SimpleNamespace as Record

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.losses import detection, matching
from tests.losses.matcher import torchvision_matcher
from tests.models import peers

NAMES = ("rpn_objectness", "rpn_box", "roi_class", "roi_box", "roi_mask")
SIZE, NUM_CLASSES = 32, 3


def _instances():
  """Returns two objects in the first image, one in the second, none in the third."""
  instances = np.zeros((3, SIZE, SIZE), np.int32)
  instances[0, 3:12, 4:20] = 1
  instances[0, 16:30, 18:28] = 3
  instances[1, 8:24, 6:22] = 2
  return instances


def _objects():
  boxes = np.zeros((3, 3, 4), np.float32)
  boxes[0, 0], boxes[0, 2], boxes[1, 1] = (3, 4, 12, 20), (16, 18, 30, 28), (8, 6, 24, 22)
  present = boxes.any(axis=-1)
  classes = np.where(present, [[1, 0, 2], [0, 2, 0], [0, 0, 0]], 0)
  return Record(boxes=boxes, classes=classes, present=present)


def _near(rng, count):
  """Returns boxes [3, count, 4] about the objects, and anywhere."""
  true = _objects().boxes[[0, 0, 1], [0, 2, 1]][rng.integers(0, 3, (3, count))]
  return np.float32(true + rng.integers(-3, 4, (3, count, 4)) * rng.integers(0, 2, (3, count, 1)))


def _detections(seed=0, scale=1.0):
  rng = np.random.default_rng(seed)

  def draw(*shape):
    return jnp.asarray(scale * rng.normal(size=(3, *shape)), jnp.float32)

  valid = np.float32(np.arange(12) < 10)[None].repeat(3, axis=0)
  return Record(
    anchors=Record(boxes=_near(rng, 40), logits=draw(40), deltas=draw(40, 4)),
    regions=Record(
      boxes=_near(rng, 12),
      valid=valid,
      logits=draw(12, NUM_CLASSES),
      deltas=draw(12, NUM_CLASSES - 1, 4),
    ),
    masks=Record(
      boxes=_near(rng, 5), valid=valid[:, :5], logits=draw(5, 6, 6, NUM_CLASSES - 1)
    ),
  )  # fmt: skip


PARTS = {"rpn": "anchors", "roi_class": "regions", "roi_box": "regions", "roi_mask": "masks"}
FIELDS = {"rpn_box": "deltas", "roi_box": "deltas"}


def _with(name, detections, values):
  """Returns the detections with other values of what the loss reads."""
  part = PARTS.get(name) or PARTS["rpn"]
  field = FIELDS.get(name, "logits")
  record = Record(**{**vars(getattr(detections, part)), field: values})
  return Record(**{**vars(detections), part: record})


def _read(name, detections):
  return getattr(getattr(detections, PARTS.get(name) or PARTS["rpn"]), FIELDS.get(name, "logits"))


def _value_and_gradient(name, detections, objects=None, instances=None):
  loss = getattr(detection, name)
  objects = objects or _objects()
  instances = _instances() if instances is None else instances

  @jax.jit
  def run(values):
    losses = loss(_with(name, detections, values), objects, instances)
    return losses.sum(), losses

  gradient, losses = jax.grad(run, has_aux=True)(_read(name, detections))
  return losses, gradient


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4, 1e30, np.inf])
def test_finite_with_finite_gradients(name, scale):
  drawn = _detections()
  values = jnp.where(scale == 0, 0, _read(name, drawn) * scale)
  losses, gradient = _value_and_gradient(name, _with(name, drawn, values))
  assert losses.shape == (3,)
  assert losses.dtype == jnp.float32
  assert np.isfinite(losses).all()
  assert (losses >= 0).all()
  assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", NAMES)
def test_without_objects(name):
  nothing = Record(
    boxes=np.zeros((3, 3, 4), np.float32),
    classes=np.zeros((3, 3), int),
    present=np.zeros((3, 3), bool),
  )
  losses, gradient = _value_and_gradient(name, _detections(), nothing, 0 * _instances())
  detections = _detections()
  if name == "rpn_objectness":
    expected = np.log1p(np.exp(detections.anchors.logits)).mean(axis=1)
  elif name == "roi_class":
    logits = np.asarray(detections.regions.logits)[:, :10]
    expected = (np.log(np.exp(logits).sum(-1)) - logits[..., 0]).mean(axis=1)
  else:
    expected = np.zeros(3)
    np.testing.assert_array_equal(gradient, 0)
  np.testing.assert_allclose(losses, expected, rtol=1e-5)
  assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", NAMES)
def test_without_any_region(name):
  detections = _detections()
  for part in (detections.regions, detections.masks):
    part.valid = 0 * part.valid
  losses, gradient = _value_and_gradient(name, detections)
  assert np.isfinite(gradient).all()
  if name.startswith("roi"):
    np.testing.assert_array_equal(losses, 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_that_of_differences(name):
  detections = _detections()
  _, gradient = _value_and_gradient(name, detections)
  values = np.asarray(_read(name, detections))
  direction = np.float32(np.random.default_rng(1).normal(size=values.shape))
  step = 1e-2
  ends = [
    float(_value_and_gradient(name, _with(name, detections, values + s * direction))[0].sum())
    for s in (-step, step)
  ]
  np.testing.assert_allclose(
    (ends[1] - ends[0]) / (2 * step), (np.asarray(gradient) * direction).sum(), rtol=2e-2
  )
  assert np.abs(gradient).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_goes_to_boxes(name):
  def total(boxes):
    detections = _detections()
    for part, own in zip(vars(detections).values(), boxes, strict=True):
      part.boxes = own
    return getattr(detection, name)(detections, _objects(), _instances()).sum()

  boxes = [jnp.asarray(part.boxes) for part in vars(_detections()).values()]
  for gradient in jax.grad(total)(boxes):
    np.testing.assert_array_equal(gradient, 0)


def test_regions_equal_torchvision_where_all_are_drawn():
  peers.torchvision_models()
  from torchvision.models.detection.roi_heads import fastrcnn_loss

  torch, detections, objects = peers.torch, _detections(), _objects()
  peer = torchvision_matcher(0.5, 0.5, False)
  # With more places than regions, and a share of 1, the sample is all of them.
  options = {"num_sampled": 99, "positive_share": 1.0}
  of_class = detection.roi_class(detections, objects, None, **options)
  of_box = detection.roi_box(detections, objects, None, **options)
  for image in range(2):
    present, regions = objects.present[image], detections.regions
    boxes, true = regions.boxes[image, :10], objects.boxes[image][present]
    found = peer(boxes, true)
    labels = np.where(found >= 0, objects.classes[image][present][found], 0)
    assert 0 < (labels > 0).sum() < 10
    deltas = matching.encode(boxes, true[np.maximum(found, 0)], detection._REGION_SCALES)
    moves = np.zeros((10, NUM_CLASSES, 4), np.float32)  # torchvision's have the background's too
    moves[:, 1:] = regions.deltas[image, :10]
    given = np.array(regions.logits[image, :10]), moves.reshape(10, -1)
    expected = fastrcnn_loss(
      *map(torch.from_numpy, given), [torch.from_numpy(labels)], [torch.tensor(np.array(deltas))]
    )
    np.testing.assert_allclose(of_class[image], expected[0], rtol=1e-5)
    np.testing.assert_allclose(of_box[image], expected[1], rtol=1e-5)


def test_anchors_by_plain_formulas():
  detections, objects = _detections(), _objects()
  losses = detection.rpn_objectness(detections, objects, None, num_sampled=10)
  distances = detection.rpn_box(detections, objects, None, num_sampled=10)
  peer = torchvision_matcher(0.7, 0.3, True)
  for image in range(2):
    true, anchors = objects.boxes[image][objects.present[image]], detections.anchors
    found = peer(anchors.boxes[image], true)
    positive, negative = found >= 0, found == -1
    drawn = min(positive.sum(), 5)
    others = min(negative.sum(), 10 - drawn)
    assert drawn > 0
    assert others > 0
    p = 1 / (1 + np.exp(-np.asarray(anchors.logits[image], np.float64)))
    means = -np.log(p[positive]).mean(), -np.log(1 - p[negative]).mean()
    expected = (drawn * means[0] + others * means[1]) / (drawn + others)
    np.testing.assert_allclose(losses[image], expected, rtol=1e-5)
    wanted = matching.encode(
      anchors.boxes[image][positive], true[found[positive]], detection._ANCHOR_SCALES
    )
    off = np.abs(np.asarray(anchors.deltas[image])[positive] - np.asarray(wanted))
    rows = np.where(off < 1 / 9, off**2 * 4.5, off - 1 / 18).sum(axis=1)
    np.testing.assert_allclose(distances[image], drawn * rows.mean() / (drawn + others), rtol=1e-5)


def test_masks_by_a_plain_formula():
  detections, objects, instances = _detections(), _objects(), _instances()
  losses = detection.roi_mask(detections, objects, instances)
  peer = torchvision_matcher(0.5, 0.5, False)
  for image in range(2):
    places = np.flatnonzero(objects.present[image])
    found = peer(detections.masks.boxes[image], objects.boxes[image][places])
    expected = []
    for region in np.flatnonzero(found >= 0):
      place = places[found[region]]
      fine = np.repeat(np.repeat(instances[image] == place + 1, 12, axis=0), 12, axis=1)
      fine = np.pad(fine, 120)  # 12 times finer: the six cells have whole numbers of pixels
      top, left, bottom, right = np.int64(detections.masks.boxes[image, region]) * 12 + 120
      rows = np.linspace(top, bottom, 7).astype(int)
      columns = np.linspace(left, right, 7).astype(int)
      share = np.array([
        [fine[a:b, c:d].mean() for c, d in itertools.pairwise(columns)]
        for a, b in itertools.pairwise(rows)
      ])  # fmt: skip
      logits = np.asarray(detections.masks.logits, np.float64)
      p = 1 / (1 + np.exp(-logits[image, region, ..., objects.classes[image, place] - 1]))
      expected.append(-(share * np.log(p) + (1 - share) * np.log(1 - p)).mean())
    assert expected
    np.testing.assert_allclose(losses[image], np.mean(expected), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_right_answer_costs_less(name):
  detections, objects, instances = _detections(), _objects(), _instances()
  boxes = np.concatenate([objects.boxes, np.full_like(objects.boxes, 31)], axis=1)
  classes = np.concatenate([objects.classes, 0 * objects.classes], axis=1)
  valid = np.float32(boxes.any(axis=-1))
  labels = 30 * jax.nn.one_hot(classes, NUM_CLASSES)
  inside = (instances[:, None] == np.arange(1, 7)[:, None, None]).astype(np.float32)
  shares = jax.vmap(lambda m, b: matching.covered_shares(m, b, 8))(inside, boxes)
  logits = 30 * (2 * jnp.stack([shares] * 2, axis=-1) - 1)
  right = Record(
    anchors=Record(boxes=boxes, logits=60.0 * (classes > 0) - 30, deltas=jnp.zeros_like(boxes)),
    regions=Record(
      boxes=boxes, valid=valid, logits=labels, deltas=jnp.zeros((3, 6, NUM_CLASSES - 1, 4))
    ),
    masks=Record(boxes=boxes, valid=valid, logits=logits),
  )
  loss = getattr(detection, name)
  np.testing.assert_allclose(loss(right, objects, instances), 0, atol=1e-5)
  wrong = _with(name, right, 1 - _read(name, right))
  assert (loss(wrong, objects, instances)[:2] > 0.5).all()
  assert (loss(detections, objects, instances)[:2] > 1e-3).all()


@pytest.mark.parametrize("name", NAMES)
def test_permuting_the_batch_permutes_the_result(name):
  loss, order = getattr(detection, name), np.array([2, 0, 1])

  def turned(record):
    return Record(**{k: v[order] for k, v in vars(record).items()})

  detections, objects, instances = _detections(), _objects(), _instances()
  other = Record(**{k: turned(v) for k, v in vars(detections).items()})
  np.testing.assert_allclose(
    loss(other, turned(objects), instances[order]),
    loss(detections, objects, instances)[order],
    rtol=1e-6,
  )
