"""True and predicted objects of an image, matched as in the gland segmentation challenge.

An object is the set of pixels with one id in a label map; the id 0 means no object. The partner of
an object in the other image is the object with the largest overlap (of equal ones, that with the
smallest id).

Source: Sirinukunwattana et al. 2017, Medical Image Analysis 35, arXiv 1603.00275, section on
evaluation. Published programs deviate from it: an object counts as found if more than, not at
least, half of it is covered, and the background can be the partner with the largest overlap.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mlseg.metrics.surface import lengths_and_missing

_NEIGHBOURS = {4: 1, 8: 2}


class ObjectRecords(NamedTuple):
  """The measures of each object of an image, or of several images."""

  areas: np.ndarray  # [n] float64, in squared units of spacing
  dice: np.ndarray  # [n] float64, with the partner; 0 without one
  hausdorff: np.ndarray  # [n] float64, to the partner; without one, to the nearest object


class ObjectMatches(NamedTuple):
  """The objects of an image, or of several images, and how many of them were found."""

  true: ObjectRecords
  predicted: ObjectRecords
  tp: int  # true objects that are found
  fp: int  # predicted objects that match none
  fn: int  # true objects that are not found


def label_objects(mask: np.ndarray, *, connectivity: int = 8, min_size: int = 0) -> np.ndarray:
  """Returns the connected regions of a mask as objects.

  Args:
    mask: [H, W], nonzero inside objects.
    connectivity: 8, if pixels that touch at a corner are connected, or 4.
    min_size: in pixels; smaller regions are left out.

  Returns:
    [H, W] int32, ids 1, 2, ... in the order of the objects' first pixels, 0 elsewhere. Empty mask:
    all 0.

  Raises:
    ValueError: where mask is not [H, W], connectivity is not 4 or 8, or min_size is negative.

  Example:
    >>> label_objects(np.array([[1, 0, 1], [0, 0, 1]]), min_size=2).tolist()
    [[0, 0, 1], [0, 0, 1]]
  """
  mask = np.asarray(mask) != 0
  if mask.ndim != 2:
    raise ValueError(f"mask: must be [H, W], got {mask.shape}")
  if connectivity not in _NEIGHBOURS:
    raise ValueError(f"connectivity: choose from 4, 8; got {connectivity}")
  if min_size < 0:
    raise ValueError(f"min_size: must be at least 0, got {min_size}")
  structure = ndimage.generate_binary_structure(2, _NEIGHBOURS[connectivity])
  labels, num_objects = ndimage.label(mask, structure)
  keep = np.bincount(labels.ravel(), minlength=num_objects + 1) >= min_size
  keep[0] = False
  return np.where(keep, np.cumsum(keep), 0).astype(np.int32)[labels]


def match_objects(
  prediction: np.ndarray,
  mask: np.ndarray,
  *,
  spacing: Sequence[float] | None = None,
  missing: float | None = None,
) -> ObjectMatches:
  """Finds the partner of each object, and measures how well the two agree.

    Dice(G, S) = 2 |G n S| / (|G| + |S|)
    H(G, S) = max(max_{x in G} min_{y in S} |x - y|, max_{y in S} min_{x in G} |x - y|)

  H is over all pixels of the objects, not only over their boundaries. An object without partner has
  Dice 0, and the smallest H to any object of the other image. A true object is found if a predicted
  object, whose partner it is, covers at least half of it. It is found once: if several predicted
  objects cover half of it, the others are false positives.

  Args:
    prediction: [H, W], integer id of the predicted object at each pixel; 0: none.
    mask: [H, W], integer id of the true object; ids need neither follow each other nor agree with
      those of prediction.
    spacing: [2], length of a pixel along each axis; None: 1.
    missing: H where the other image has no object; None: the diagonal of the image, as in
      `surface_distances` (the challenge's program gives infinity).

  Returns:
    The records of T true and P predicted objects, in the order of their ids, and three counts.

  Raises:
    ValueError: where shapes, dtypes, spacing or missing are not as above.

  Example:
    >>> prediction, mask = np.array([[5, 5, 0, 0, 0]]), np.array([[1, 1, 1, 0, 2]])
    >>> matches = match_objects(prediction, mask)
    >>> matches.true.dice.tolist(), matches.true.hausdorff.tolist(), matches.predicted.dice.tolist()
    ([0.8, 0.0], [1.0, 4.0], [0.8])
    >>> matches.tp, matches.fp, matches.fn
    (1, 0, 1)
  """
  prediction, mask = np.asarray(prediction), np.asarray(mask)
  if prediction.ndim != 2 or prediction.shape != mask.shape:
    raise ValueError(
      f"prediction and mask: must both be [H, W], got {prediction.shape} and {mask.shape}"
    )
  lengths, missing = lengths_and_missing(mask.shape, spacing, missing)
  true, predicted = _objects("mask", mask, lengths), _objects("prediction", prediction, lengths)
  numbers, others, counts = _overlaps(true, predicted)
  of_true = _partners(numbers, others, counts, len(true.areas))
  of_predicted = _partners(others, numbers, counts, len(predicted.areas))
  tp = _num_found(true, of_predicted)
  distance = functools.cache(lambda t, p: _hausdorff(true, t, predicted, p, lengths))
  return ObjectMatches(
    _records(true, predicted, of_true, distance, missing, lengths),
    _records(predicted, true, of_predicted, lambda p, t: distance(t, p), missing, lengths),
    tp,
    len(predicted.areas) - tp,
    len(true.areas) - tp,
  )


class _Objects(NamedTuple):
  """The objects of one image, numbered from 0 in the order of their ids."""

  labels: np.ndarray  # [H, W] int, number + 1, 0 where no object is
  areas: np.ndarray  # [n] int64, pixels
  boxes: list[tuple[slice, ...]]  # [n]
  extents: np.ndarray  # [n, 4] float64, first and last pixel along each axis, in units of spacing


def _objects(name: str, image: np.ndarray, lengths: np.ndarray) -> _Objects:
  if image.dtype.kind not in "iub" or (image < 0).any():
    raise ValueError(f"{name}: must hold integers >= 0, got {image.dtype}, min {image.min()}")
  _, labels = np.unique(image, return_inverse=True)
  labels = labels.reshape(image.shape) + int(not (image == 0).any())
  boxes = ndimage.find_objects(labels)
  ends = [[end for axis in box for end in (axis.start, axis.stop - 1)] for box in boxes]
  extents = np.array(ends, np.float64).reshape(-1, 4) * np.repeat(lengths, 2)
  return _Objects(labels, np.bincount(labels.ravel(), minlength=1)[1:], boxes, extents)


def _overlaps(true: _Objects, predicted: _Objects) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the numbers of true and predicted objects that overlap, and the pixels; [K] each."""
  both = (true.labels > 0) & (predicted.labels > 0)
  num_predicted = max(len(predicted.areas), 1)
  codes = (true.labels[both] - 1) * num_predicted + predicted.labels[both] - 1
  codes, counts = np.unique(codes, return_counts=True)
  return codes // num_predicted, codes % num_predicted, counts


def _partners(own, other, counts, num_own: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns each own object's partner, -1 where it has none, and their overlap; [num_own] each."""
  order = np.lexsort((other, -counts, own))
  owners, first = np.unique(own[order], return_index=True)
  partners, overlaps = np.full(num_own, -1), np.zeros(num_own, int)
  partners[owners], overlaps[owners] = other[order[first]], counts[order[first]]
  return partners, overlaps


def _num_found(true: _Objects, of_predicted: tuple[np.ndarray, np.ndarray]) -> int:
  """Returns how many true objects have a predicted one that covers at least half of them."""
  partners, overlaps = (of_object[of_predicted[0] >= 0] for of_object in of_predicted)
  return np.unique(partners[2 * overlaps >= true.areas[partners]]).size


def _records(
  own: _Objects, other: _Objects, partners_overlaps, distance, missing: float, lengths
) -> ObjectRecords:
  """Returns the records of the own objects; distance(own number, other number) is H."""
  partners, overlaps = partners_overlaps
  partner_areas = np.append(other.areas, 0)[partners]  # -1, no partner, takes the last
  hausdorff = np.full(len(own.areas), missing, np.float64)
  for i, j in enumerate(partners.tolist() if other.areas.size else ()):
    to_own = functools.partial(distance, i)
    hausdorff[i] = to_own(j) if j >= 0 else _nearest(own.extents[i], other.extents, to_own)
  dice = 2 * overlaps / (own.areas + partner_areas)
  return ObjectRecords(own.areas * np.prod(lengths), dice, hausdorff)


def _nearest(extent: np.ndarray, extents: np.ndarray, distance) -> float:
  """Returns the smallest distance(j); H is at least the difference of two objects' extents."""
  bounds = np.abs(extents - extent).max(axis=1)
  best = np.inf
  for j in np.argsort(bounds).tolist():
    if bounds[j] >= best:
      break
    best = min(best, distance(j))
  return best


def _hausdorff(a: _Objects, i: int, b: _Objects, j: int, lengths: np.ndarray) -> float:
  """Returns H of object i of a and object j of b, from the box that holds both."""
  box = tuple(
    slice(min(x.start, y.start), max(x.stop, y.stop))
    for x, y in zip(a.boxes[i], b.boxes[j], strict=True)
  )
  regions = a.labels[box] == i + 1, b.labels[box] == j + 1
  return max(
    float(ndimage.distance_transform_edt(~target, sampling=lengths)[source].max())
    for source, target in (regions, regions[::-1])
  )
