"""The five losses of Mask R-CNN, one value per image, finite for an image without objects too.

All have the same arguments, `f(detections, objects, instances, *, ...) -> [B]`, which
`mlseg.models.mask_rcnn.detections` describes: `detections` are the outputs of the network, and
`objects` has the true boxes [B, G, 4], classes [B, G] and present [B, G]. Boxes are constants: no
gradient goes to their positions. The papers draw anchors and regions at random; here the loss is
the expected value over the draws (see `matching.expected_weights`). Means over a batch in the
papers are means over an image here.

Sources: Ren et al., "Faster R-CNN", NeurIPS 2015, eq. 1; He et al., "Mask R-CNN", ICCV 2017,
section 3; constants as in torchvision.
"""

from typing import Any

import jax
import jax.numpy as jnp

from mlseg.losses import matching
from mlseg.losses.matching import Matches
from mlseg.losses.probabilities import finite_logits, log_probabilities

_BETA = 1 / 9  # where the loss of a delta changes from quadratic to linear
_ANCHOR_SCALES = (1.0, 1.0, 1.0, 1.0)  # of the network's deltas
_REGION_SCALES = (10.0, 10.0, 5.0, 5.0)


def rpn_objectness(
  detections: Any,
  objects: Any,
  instances: jax.Array,
  *,
  num_sampled: int = 256,
  positive_share: float = 0.5,
  high: float = 0.7,
  low: float = 0.3,
) -> jax.Array:
  """Returns the binary cross-entropy of anchors: does an anchor have an object or not?

    E[mean of -log p(anchor) over positive anchors and of -log(1 - p) over negative ones]

  Args:
    detections: the outputs of the network; reads `anchors`.
    objects: the true objects.
    instances: not read.
    num_sampled: the number of anchors in the mean.
    positive_share: the largest share of positive anchors among them.
    high: the IoU with an object from which an anchor is positive; the anchors with the highest IoU
      of each object are positive, too.
    low: the IoU below which an anchor is negative.

  Returns:
    [B] float32. Without objects: the mean over negative anchors alone.

  Example:
    >>> from types import SimpleNamespace as Record
    >>> anchors = Record(boxes=jnp.ones([1, 2, 4]), logits=jnp.zeros([1, 2]))
    >>> nothing = Record(boxes=jnp.zeros([1, 1, 4]), present=jnp.zeros([1, 1], bool))
    >>> print(f"{rpn_objectness(Record(anchors=anchors), nothing, None)[0]:.4f}")
    0.6931
  """
  del instances

  def of_image(boxes, logits, true, present):
    matches = _match_anchors(boxes, true, present, high, low)
    weights = matching.expected_weights(matches, num_sampled, positive_share)
    return (weights * _binary_cross_entropy(logits, matches.positive)).sum()

  anchors = detections.anchors
  return jax.vmap(of_image)(anchors.boxes, anchors.logits, objects.boxes, objects.present)


def rpn_box(
  detections: Any,
  objects: Any,
  instances: jax.Array,
  *,
  num_sampled: int = 256,
  positive_share: float = 0.5,
  high: float = 0.7,
  low: float = 0.3,
) -> jax.Array:
  """Returns the distance of the deltas of positive anchors from those that lead to their objects.

    E[(1/n) sum_{positive} sum_{4 deltas} smoothL1(delta - delta*)],  n anchors drawn

  with smoothL1(x) = x²/(2β) where |x| < β = 1/9, |x| - β/2 elsewhere.

  Args:
    detections: the outputs of the network; reads `anchors`.
    objects: the true objects.
    instances: not read.
    num_sampled: the number of anchors in the mean; negative ones, which have no delta, count in it.
    positive_share: the largest share of positive anchors among them.
    high: as in `rpn_objectness`.
    low: as in `rpn_objectness`.

  Returns:
    [B] float32. Without objects: 0.

  Example:
    >>> from types import SimpleNamespace as Record
    >>> box = jnp.array([[[0.0, 0.0, 4.0, 4.0]]])
    >>> anchors = Record(boxes=box, deltas=jnp.ones([1, 1, 4]))
    >>> objects = Record(boxes=box, present=jnp.ones([1, 1], bool))
    >>> print(f"{rpn_box(Record(anchors=anchors), objects, None)[0]:.4f}")
    3.7778
  """
  del instances

  def of_image(boxes, deltas, true, present):
    matches = _match_anchors(boxes, true, present, high, low)
    weights = matching.expected_weights(matches, num_sampled, positive_share)
    wanted = matching.encode(boxes, true[matches.objects], _ANCHOR_SCALES)
    return _of_positives(weights, matches, _smooth_l1(deltas, wanted))

  anchors = detections.anchors
  return jax.vmap(of_image)(anchors.boxes, anchors.deltas, objects.boxes, objects.present)


def roi_class(
  detections: Any,
  objects: Any,
  instances: jax.Array,
  *,
  num_sampled: int = 64,
  positive_share: float = 0.25,
  threshold: float = 0.5,
) -> jax.Array:
  """Returns the cross-entropy of regions: which class does a region show, or the background?

    E[mean of -log p_c(region)],  c the class of its object, 0 (the background) if it is negative

  Args:
    detections: the outputs of the network; reads `regions`.
    objects: the true objects.
    instances: not read.
    num_sampled: the number of regions in the mean.
    positive_share: the largest share of positive regions among them.
    threshold: the IoU with an object from which a region is positive.

  Returns:
    [B] float32. Without objects: the mean over regions of the background.

  Example:
    >>> from types import SimpleNamespace as Record
    >>> box = jnp.array([[[0.0, 0.0, 4.0, 4.0]]])
    >>> regions = Record(boxes=box, valid=jnp.ones([1, 1]), logits=jnp.zeros([1, 1, 4]))
    >>> one = jnp.ones([1, 1], int)
    >>> objects = Record(boxes=box, classes=one, present=one > 0)
    >>> print(f"{roi_class(Record(regions=regions), objects, None)[0]:.4f}")
    1.3863
  """
  del instances

  def of_image(boxes, valid, logits, true, classes, present):
    matches = _match_regions(boxes, valid, true, present, threshold)
    weights = matching.expected_weights(matches, num_sampled, positive_share)
    wanted = jnp.where(matches.positive, classes[matches.objects], 0)
    return (weights * -_of_class(log_probabilities(logits), wanted)).sum()

  regions = detections.regions
  return jax.vmap(of_image)(
    regions.boxes, regions.valid, regions.logits, objects.boxes, objects.classes, objects.present
  )


def roi_box(
  detections: Any,
  objects: Any,
  instances: jax.Array,
  *,
  num_sampled: int = 64,
  positive_share: float = 0.25,
  threshold: float = 0.5,
) -> jax.Array:
  """Returns the distance of the deltas of positive regions from those that lead to their objects.

    E[(1/n) sum_{positive} sum_{4 deltas} smoothL1(delta_c - delta*)],  n regions drawn

  with the deltas of the object's class c, and smoothL1 as in `rpn_box`.

  Args:
    detections: the outputs of the network; reads `regions`.
    objects: the true objects.
    instances: not read.
    num_sampled: the number of regions in the mean; negative ones, which have no delta, count in it.
    positive_share: the largest share of positive regions among them.
    threshold: the IoU with an object from which a region is positive.

  Returns:
    [B] float32. Without objects: 0.

  Example:
    >>> from types import SimpleNamespace as Record
    >>> box, one = jnp.array([[[0.0, 0.0, 4.0, 4.0]]]), jnp.ones([1, 1], int)
    >>> regions = Record(boxes=box, valid=jnp.ones([1, 1]), deltas=jnp.ones([1, 1, 1, 4]))
    >>> objects = Record(boxes=box, classes=one, present=one > 0)
    >>> print(f"{roi_box(Record(regions=regions), objects, None)[0]:.4f}")
    3.7778
  """
  del instances

  def of_image(boxes, valid, deltas, true, classes, present):
    matches = _match_regions(boxes, valid, true, present, threshold)
    weights = matching.expected_weights(matches, num_sampled, positive_share)
    own = _of_class(jnp.moveaxis(deltas, 1, -1), classes[matches.objects][:, None] - 1)
    wanted = matching.encode(boxes, true[matches.objects], _REGION_SCALES)
    return _of_positives(weights, matches, _smooth_l1(own, wanted))

  regions = detections.regions
  return jax.vmap(of_image)(
    regions.boxes, regions.valid, regions.deltas, objects.boxes, objects.classes, objects.present
  )


def roi_mask(
  detections: Any, objects: Any, instances: jax.Array, *, threshold: float = 0.5
) -> jax.Array:
  """Returns the binary cross-entropy of the masks of positive regions.

    (1/P) sum_{positive} (1/M²) sum_{cells} BCE(p_c(cell), t(cell))

  with c the class of the region's object and t the share of the cell that the object covers. The
  masks of other classes are not part of it.

  Args:
    detections: the outputs of the network; reads `masks`. The papers draw these regions at random;
      here the network has chosen those that overlap an object most.
    objects: the true objects.
    instances: [B, H, W] integer, g + 1 at the pixels of the object with index g.
    threshold: the IoU with an object from which a region is positive.

  Returns:
    [B] float32. Without objects: 0.

  Example:
    >>> from types import SimpleNamespace as Record
    >>> box, one = jnp.array([[[0.0, 0.0, 4.0, 4.0]]]), jnp.ones([1, 1], int)
    >>> masks = Record(boxes=box, valid=one, logits=jnp.zeros([1, 1, 2, 2, 1]))
    >>> objects = Record(boxes=box, classes=one, present=one > 0)
    >>> loss = roi_mask(Record(masks=masks), objects, jnp.ones([1, 4, 4], int))
    >>> print(f"{loss[0]:.4f}")
    0.6931
  """

  def of_image(boxes, valid, logits, true, classes, present, ids):
    matches = _match_regions(boxes, valid, true, present, threshold)
    inside = ids[None] == matches.objects[:, None, None] + 1
    boxes = jax.lax.stop_gradient(boxes)
    shares = matching.covered_shares(inside.astype(jnp.float32), boxes, logits.shape[1])
    own = _of_class(logits, classes[matches.objects][:, None, None] - 1)
    losses = _binary_cross_entropy(own, shares).mean(axis=(1, 2))
    count = jnp.maximum(matches.positive.sum(), 1)
    return jnp.where(matches.positive, losses, 0).sum() / count

  masks = detections.masks
  return jax.vmap(of_image)(
    masks.boxes,
    masks.valid,
    masks.logits,
    objects.boxes,
    objects.classes,
    objects.present,
    instances,
  )


def _match_anchors(boxes, true, present, high: float, low: float) -> Matches:
  boxes = jax.lax.stop_gradient(boxes)
  valid = jnp.ones(boxes.shape[:1], bool)
  return matching.match(boxes, valid, true, present, high, low, keep_best=True)


def _match_regions(boxes, valid, true, present, threshold: float) -> Matches:
  return matching.match(jax.lax.stop_gradient(boxes), valid, true, present, threshold, threshold)


def _of_class(values: jax.Array, classes: jax.Array) -> jax.Array:
  """Returns [...], of values [..., C] that of one class each; 0 where the class is -1."""
  every = jnp.arange(values.shape[-1]).reshape((1,) * classes.ndim + (-1,))
  own = classes[..., None] == every
  return jnp.where(own, values, 0).sum(axis=-1)


def _of_positives(weights: jax.Array, matches: Matches, losses: jax.Array) -> jax.Array:
  return jnp.where(matches.positive, weights * losses, 0).sum()


def _smooth_l1(deltas: jax.Array, wanted: jax.Array) -> jax.Array:
  """Returns the sum over the four deltas of [N, 4]."""
  distance = jnp.abs(finite_logits(deltas) - wanted)
  square = jnp.minimum(distance, _BETA)
  return (square**2 / (2 * _BETA) + distance - square).sum(axis=-1)


def _binary_cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
  """Returns the cross-entropy of logits and targets in [0, 1], of their shape."""
  logits = finite_logits(logits)
  return jax.nn.softplus(logits) - targets * logits
