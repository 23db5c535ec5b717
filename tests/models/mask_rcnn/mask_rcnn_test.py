"""Mask R-CNN as a whole: shapes, gradients, several models at once, and that it learns."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import metrics
from mlseg.errors import UserError
from mlseg.losses import detection
from mlseg.metrics.detection import ImageBoxes, summarize_boxes
from mlseg.models.base import from_linen
from mlseg.models.encoders.encoder import make_encoder
from mlseg.models.layers import blocks
from mlseg.models.layers.normalisation import BatchNorm
from mlseg.models.mask_rcnn.detections import best_overlaps, objects_of, predictions_of
from mlseg.models.mask_rcnn.mask_rcnn import MaskRCNN
from mlseg.models.mask_rcnn.roi_align import pyramid_align

LOSSES = (
  detection.rpn_objectness,
  detection.rpn_box,
  detection.roi_class,
  detection.roi_box,
  detection.roi_mask,
)
SIZE, MAX_OBJECTS = 64, 3


def _pictures(count, size=SIZE):
  """Returns images with one or two bright ellipses of either class, their objects and classes."""
  rng = np.random.default_rng(0)
  rows, columns = np.mgrid[:size, :size] + 0.5
  images = rng.normal(0.3, 0.05, (count, size, size, 1)).astype(np.float32)
  instances = np.zeros((count, size, size), np.int32)
  for image in range(count):
    for index in range(1 + image % 2):
      centre = size * np.array([rng.uniform(0.3, 0.7), (0.25, 0.75)[index] + rng.normal(0, 0.03)])
      radii = size * rng.uniform(0.1, 0.2, 2)
      inside = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2 <= 1
      instances[image][inside] = index + 1
      images[image, inside] += 0.3 + 0.3 * index
  return images, instances, instances  # the second object is of class 2


class TinyEncoder(nn.Module):
  """An encoder that compiles fast."""

  @property
  def strides(self):
    return 2, 4, 8, 16, 32

  @nn.compact
  def __call__(self, images, train):
    features, activations = [], images
    for _ in self.strides:
      batch, height, width, channels = activations.shape
      halves = activations.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))
      activations = BatchNorm(momentum=0.9)(blocks.Conv(8, size=3)(halves), train)
      features.append(activations)
    return tuple(features)


def _net():
  return MaskRCNN(
    TinyEncoder(), 3, filters=16, units=32, mask_convs=1, num_proposals=16, num_detections=4
  )


def _loss_vector(net, variables, params, images, instances, masks):
  objects = objects_of(instances, masks, MAX_OBJECTS)
  outputs, state = net.apply(
    {**variables, "params": params}, images, True, objects, mutable=["batch_stats"]
  )
  losses = [loss(outputs.detections, objects, instances).mean() for loss in LOSSES]
  return jnp.stack(losses), (outputs, state)


@pytest.fixture(scope="module")
def trained():
  """Returns a small network, its variables and a batch of two images."""
  net, (images, instances, masks) = _net(), _pictures(2)
  variables = jax.jit(net.init, static_argnums=2)(jax.random.key(0), images, False)
  return net, variables, (images, instances, masks)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "channels"), [("vgg16", 3), ("mobilenet_v2", 1)])
@pytest.mark.parametrize("train", [True, False])
def test_shapes(name, channels, train):
  net = MaskRCNN(make_encoder(name, "keras"), 4)
  images = jax.ShapeDtypeStruct((2, 128, 96, channels), jnp.float32)
  shapes = jax.eval_shape(lambda x: net.init(jax.random.key(0), x, False), images)
  instances = jax.ShapeDtypeStruct((2, 128, 96), jnp.int32)

  def run(variables, images, instances):
    objects = objects_of(instances, instances, 5)
    state = [key for key in variables if key != "params"] if train else False
    return net.apply(variables, images, train, objects, mutable=state)

  outputs = jax.eval_shape(run, shapes, images, instances)
  outputs = outputs[0] if train else outputs
  anchors, regions, masks = outputs.detections
  num_anchors, num_regions = 3 * (32 * 24 + 16 * 12 + 8 * 6 + 4 * 3), 64 + 5 * train
  num_masks = 8 if train else 16
  assert anchors.boxes.shape == anchors.deltas.shape == (2, num_anchors, 4)
  assert anchors.logits.shape == (2, num_anchors)
  assert regions.logits.shape == (2, num_regions, 4)
  assert regions.deltas.shape == (2, num_regions, 3, 4)
  assert masks.boxes.shape == (2, num_masks, 4)
  assert masks.logits.shape == (2, num_masks, 28, 28, 3)
  assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {jnp.dtype(jnp.float32)}
  if train:
    assert outputs.logits is None
  else:
    assert outputs.logits.shape == (2, 128, 96, 4)


def test_a_size_that_does_not_fit_is_refused():
  with pytest.raises(UserError) as caught:
    jax.eval_shape(lambda: _net().init(jax.random.key(0), jnp.zeros((1, 64, 80, 1)), False))
  rule = "images: height and width must be multiples of 32, not (64, 80)"
  assert str(caught.value) == rule


def test_parameters_are_those_of_the_parts(trained):
  _, variables, _ = trained
  parts = {"encoder", "pyramid", "proposal_head", "box_head", "mask_head"}
  assert set(variables["params"]) == parts
  assert set(variables["batch_stats"]) == {"encoder"}


@pytest.mark.slow
def test_true_boxes_are_regions_in_training_alone(trained):
  net, variables, (images, instances, masks) = trained
  objects = objects_of(instances, masks, MAX_OBJECTS)
  run = jax.jit(lambda train: net.apply(
    variables, images, train, objects, mutable=["batch_stats"])[0], static_argnums=0)  # fmt: skip
  regions = run(True).detections.regions
  np.testing.assert_array_equal(regions.boxes[:, -MAX_OBJECTS:], objects.boxes)
  np.testing.assert_array_equal(regions.valid[:, -MAX_OBJECTS:], objects.present)
  # The mask head sees the regions that overlap an object most, the true boxes first.
  given = run(True).detections.masks
  overlaps = np.asarray(best_overlaps(regions.boxes, regions.valid, objects))
  expected = -np.sort(-overlaps, axis=1)[:, : given.boxes.shape[1]]
  np.testing.assert_allclose(best_overlaps(given.boxes, given.valid, objects), expected, atol=1e-6)
  assert (expected[:, 0] > 0.999).all()
  assert run(False).detections.regions.boxes.shape[1] == net.num_proposals


@pytest.mark.slow
def test_one_backward_pass_reaches_all_parameters(trained):
  net, variables, batch = trained

  @jax.jit
  def run(params):
    losses, pull_back, _ = jax.vjp(
      lambda p: _loss_vector(net, variables, p, *batch), params, has_aux=True
    )
    return losses, jax.vmap(pull_back)(jnp.eye(len(LOSSES)))[0]

  losses, gradients = run(variables["params"])
  assert np.isfinite(losses).all()
  assert (losses > 0).all()
  norms = jax.tree.map(lambda g: np.abs(g).reshape(len(LOSSES), -1).max(axis=1), gradients)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(norms))
  reached = {part: np.max(jax.tree.leaves(tree), axis=0) > 0 for part, tree in norms.items()}
  assert reached["encoder"].all()
  assert reached["pyramid"].all()
  assert reached["proposal_head"].tolist() == [True, True, False, False, False]
  assert reached["box_head"].tolist() == [False, False, True, True, False]
  assert reached["mask_head"].tolist() == [False, False, False, False, True]


@pytest.mark.slow
def test_images_without_objects_give_finite_losses_and_gradients(trained):
  net, variables, (images, instances, _) = trained

  @jax.jit
  def run(params):
    def total(params):
      nothing = 0 * instances
      losses, _ = _loss_vector(net, variables, params, images, nothing, nothing)
      return losses.sum(), losses

    return jax.grad(total, has_aux=True)(params)

  gradient, losses = run(variables["params"])
  assert np.isfinite(losses).all()
  np.testing.assert_array_equal(losses[jnp.array([1, 3, 4])], 0)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.slow
def test_losses_pull_back_to_what_the_network_gives(trained):
  """Losses are differentiated with respect to all of the outputs, which must be floats."""
  net, variables, (images, instances, masks) = trained
  _, (outputs, _) = jax.jit(functools.partial(_loss_vector, net))(
    variables, variables["params"], images, instances, masks
  )
  objects = objects_of(instances, masks, MAX_OBJECTS)

  @jax.jit
  def run(outputs):
    _, pull_back = jax.vjp(
      lambda o: [loss(o.detections, objects, instances).mean() for loss in LOSSES], outputs
    )
    return pull_back([jnp.ones(())] * len(LOSSES))[0]

  given = run(outputs)
  detections = given.detections
  for boxes in (detections.anchors.boxes, detections.regions.boxes, detections.masks.boxes):
    np.testing.assert_array_equal(boxes, 0)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(given))


@pytest.mark.slow
def test_several_models_at_once_equal_each(trained):
  net, variables, (images, instances, masks) = trained
  other = jax.tree.map(lambda x: 1.1 * x, variables)
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), variables, other)

  def run(variables):
    losses, _ = _loss_vector(net, variables, variables["params"], images, instances, masks)
    return losses, net.apply(variables, images, False).logits

  actual = jax.jit(jax.vmap(run))(stacked)
  single = jax.jit(run)
  for index, one in enumerate((variables, other)):
    for own, expected in zip(actual, single(one), strict=True):
      np.testing.assert_allclose(own[index], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_region_sees_the_same_wherever_the_pyramid_is_read(trained):
  """The level that a region is read from has the stride of its features."""
  net, *_ = trained
  rows = [jnp.arange(SIZE // s) * s + s / 2 for s in net.strides]  # the pixel of a cell's centre
  levels = [jnp.broadcast_to(r[None, :, None, None], (1, len(r), len(r), 1)) for r in rows]
  boxes = jnp.array([[[8.0, 8, 24, 24], [16, 16, 32, 48]]])
  for first in range(2):
    seen = pyramid_align(levels[first:], boxes, net.strides[first:], 4)[0, :, :, 0, 0]
    expected = [[10, 14, 18, 22], [18, 22, 26, 30]]
    np.testing.assert_allclose(seen, expected, rtol=1e-5)


def _summary(outputs, instances, masks):
  """Returns the AP of boxes and the Dice of the foreground, by this project's metrics."""
  found = predictions_of(outputs.detections)
  true = objects_of(instances, masks, MAX_OBJECTS)
  records = []
  for image in range(len(instances)):
    own, present = np.asarray(found.present[image]), np.asarray(true.present[image])
    parts = [np.asarray(x[image])[own] for x in (found.boxes, found.classes, found.scores)]
    parts += [np.asarray(x[image])[present] for x in (true.boxes, true.classes)]
    records.append(ImageBoxes(*parts))
  counts = metrics.confusion_counts(outputs.logits.argmax(-1), masks, outputs.logits.shape[-1])
  return summarize_boxes(records), np.asarray(metrics.dice(counts))  # [N, C]


@pytest.mark.slow
def test_it_overfits_eight_images(short_encoder):
  images, instances, masks = _pictures(8)
  model = from_linen(MaskRCNN(make_encoder("mobilenet_v2", "torchvision", 0.35), 3))
  variables = jax.jit(model.init)(jax.random.key(0), images)
  optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, 80))

  @jax.jit
  def step(variables, state):
    def total(params):
      objects = objects_of(instances, masks, MAX_OBJECTS)
      outputs, rest = model.apply({**variables, "params": params}, images, True, objects)
      losses = [loss(outputs.detections, objects, instances).mean() for loss in LOSSES]
      return sum(losses), rest

    gradient, rest = jax.grad(total, has_aux=True)(variables["params"])
    updates, state = optimizer.update(gradient, state)
    return {"params": optax.apply_updates(variables["params"], updates), **rest}, state

  state = optimizer.init(variables["params"])
  for _ in range(80):
    variables, state = step(variables, state)
  outputs, _ = jax.jit(model.apply, static_argnums=2)(variables, images, False)
  boxes, dice = _summary(outputs, instances, masks)
  assert boxes["box_ap50"] >= 0.95
  assert boxes["box_ap"] >= 0.8
  present = np.stack([(masks == c).any(axis=(1, 2)) for c in (1, 2)], axis=1)
  assert dice[:, 1:][present].mean() >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18", "convnext_tiny"])
def test_encoders_fit_where_they_have_the_strides(name):
  encoder = make_encoder(name, "auto")
  image = jax.ShapeDtypeStruct((1, 64, 64, 1), jnp.float32)

  def shapes(net):
    return jax.eval_shape(lambda x: net.init_with_output(jax.random.key(0), x, False)[0], image)

  assert shapes(MaskRCNN(encoder, 2)).logits.shape == (1, 64, 64, 2)
  if 2 not in encoder.strides:
    with pytest.raises(UserError) as caught:
      shapes(MaskRCNN(encoder, 2, strides=(2, 4, 8, 16, 32)))
    assert str(caught.value) == (
      "strides of the pyramid must be among the encoder's (4, 8, 16, 32), not (2, 4, 8, 16, 32)"
    )
