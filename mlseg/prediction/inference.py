"""A trained network on pictures of any size: probabilities, and how far predictions agree."""

import functools
from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np

from mlseg.data import pipeline, preprocessing
from mlseg.io.pictures.picture import to_colour, to_grey
from mlseg.models import Model, gradcam

PyTree = Any
# The axes of [B, H, W, ...] along which a picture is mirrored; the first: not at all.
FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))


class Prediction(NamedTuple):
  """What the network says of B pictures, at its own size; None: it does not say, or was not asked.

  Attributes:
    probabilities: [B, S, S, C] float32, of the classes of each pixel, mean over seeds.
    flip_spread: [B, C], `spread` over the flips of a picture.
    seed_spread: [B, C], `spread` over the seeds.
    diagnoses: [B, L] float32, of the picture's diagnoses, mean over seeds.
    saliency: [B, S, S] float32 in [0, 1], where the head of classes looked for the diagnosis that
      is the most probable by the mean; mean over seeds.
    attention: [B, slices], how much each slice of a volume counts, mean over seeds.
  """

  probabilities: jax.Array | None
  flip_spread: jax.Array | None
  seed_spread: jax.Array | None
  diagnoses: jax.Array | None
  saliency: jax.Array | None
  attention: jax.Array | None = None


def prepare(pixels: np.ndarray, size: int, channels: int, filtering: dict[str, Any]) -> np.ndarray:
  """Returns a picture as training saw its pictures: resized by area, then filtered.

  Args:
    pixels: [H, W] or RGB [H, W, 3], uint8.
    size: side of the network's pictures; 0: the picture keeps its own.
    channels: 1: colours become grey; 3: grey becomes three equal channels.
    filtering: the values of `preprocessing.bilateral_filter`.

  Returns:
    [size, size, channels] uint8, or [H, W, channels].
  """
  pixels = to_grey(pixels) if channels == 1 else to_colour(pixels)
  if size:
    pixels = preprocessing.resize_image(pixels, size)
  filtered = preprocessing.bilateral_filter(pixels, **filtering)
  return filtered.reshape(*pixels.shape[:2], channels)


def make_predict(
  model: Model, flips: bool, saliency: str | None = None, slices: int = 1
) -> Callable[[PyTree, jax.Array], Prediction]:
  """Returns `predict(variables, images) -> Prediction`, to be compiled.

  The variables have a leading axis of seeds; images are [B, S, S, channels] uint8, or of any height
  and width where the network takes them. Memory does not
  grow with the number of seeds, but for their masks.

  Args:
    model: the network.
    flips: whether mirrored pictures are predicted too, for `flip_spread`: four times the work.
      The prediction itself is that of the picture as it is.
    saliency: one of `gradcam.METHODS`, for a network with a head of classes.
    slices: of a volume, one below the other in its picture, which is not to be flipped then.
  """
  chosen, classify = FLIPS if flips else FLIPS[:1], model.classify

  def of_seed(variables: PyTree, images: jax.Array) -> tuple[PyTree, PyTree, PyTree]:
    """Returns the probabilities of pixels [F, B, S, S, C] and of diagnoses [B, L]; attention."""
    views, diagnoses, attention = [], None, None
    for axes in chosen:
      outputs = model.apply(variables, jnp.flip(images, axes), False)[0]
      if outputs.logits is not None:
        views.append(jnp.flip(jax.nn.softmax(outputs.logits, axis=-1), axes))
      if diagnoses is None and outputs.class_logits is not None:
        diagnoses, attention = jax.nn.softmax(outputs.class_logits, axis=-1), outputs.attention
      if not views:  # mirrored pictures are for the masks
        break
    return jnp.stack(views) if views else None, diagnoses, attention

  def look(
    classify: Callable[..., jax.Array], method: str, variables: PyTree, images: jax.Array,
    labels: jax.Array,
  ) -> jax.Array:  # fmt: skip
    features = model.apply(variables, images, False)[0].features
    head = functools.partial(classify, variables)
    looked = gradcam.saliency(head, features, labels, method)
    return gradcam.normalised(looked, images.shape[1:3], slices)

  def predict(variables: PyTree, images: jax.Array) -> Prediction:
    batch = pipeline.to_float(images)
    num_seeds = len(jax.tree.leaves(variables)[0])

    def add(total: PyTree, one: PyTree) -> tuple[PyTree, jax.Array | None]:
      found = of_seed(one, batch)
      masks = None if found[0] is None else found[0][0].argmax(-1).astype(jnp.uint8)
      return jax.tree.map(jnp.add, total, found), masks

    first = jax.tree.map(lambda leaf: leaf[0], variables)
    shapes = jax.eval_shape(of_seed, first, batch)
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape), shapes)
    totals, masks = jax.lax.scan(add, zeros, variables)
    views, diagnoses, attention = jax.tree.map(lambda total: total / num_seeds, totals)
    looked = None
    if saliency and classify is not None:
      of_one = functools.partial(look, classify, saliency)
      labels = diagnoses.argmax(-1)
      looked = jax.lax.map(lambda one: of_one(one, batch, labels), variables).mean(0)
    if views is None or masks is None:
      return Prediction(None, None, None, diagnoses, looked, attention)
    num_classes = views.shape[-1]
    return Prediction(
      probabilities=views[0],
      flip_spread=spread(views.argmax(-1), num_classes) if flips else None,
      seed_spread=spread(masks, num_classes) if num_seeds > 1 else None,
      diagnoses=diagnoses,
      saliency=looked,
      attention=attention,
    )

  return predict


def spread(masks: jax.Array, num_classes: int) -> jax.Array:
  """Returns how far masks of the same picture disagree: 1 - the mean Dice of all pairs.

  0: all are the same; 1: no two of them overlap. Two masks without the class agree on it.

  Args:
    masks: [M, B, H, W] integers, the index of a class; M > 1.
    num_classes: C.

  Returns:
    [B, C] float32.

  Reference: Roy et al., Bayesian QuickNAT, NeuroImage 195 (2019), who measure the agreement of
  samples by the mean Dice of all pairs.

  Example:
    >>> masks = jnp.array([[[[1, 1]]], [[[1, 0]]]])
    >>> print(spread(masks, 2).round(4))
    [[1.     0.3333]]
  """
  regions = jax.nn.one_hot(masks, num_classes)  # [M, B, H, W, C]
  sizes = regions.sum((2, 3))
  scores = []
  for i, j in combinations(range(len(masks)), 2):
    common, sizes_of_both = (regions[i] * regions[j]).sum((1, 2)), sizes[i] + sizes[j]
    dice = 2 * common / jnp.maximum(sizes_of_both, 1)
    scores.append(jnp.where(sizes_of_both > 0, dice, 1.0))
  return 1 - jnp.stack(scores).mean(0)


def restore(probabilities: np.ndarray, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns the classes at the picture's size, and the probability of the class of each pixel.

  Probabilities are interpolated bilinearly, then the largest is taken; of equal ones the first.

  Args:
    probabilities: [S, S, C] float32.
    height: of the picture.
    width: of the picture.

  Returns:
    Classes [H, W] uint8, and probabilities [H, W] float32.
  """
  labels = np.zeros((height, width), np.uint8)
  best = np.full((height, width), -1.0, np.float32)
  for label in range(probabilities.shape[-1]):  # one at a time: pictures can be large
    plane = np.ascontiguousarray(probabilities[..., label])
    plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)
    larger = plane > best
    labels[larger] = label
    best = np.where(larger, plane, best)
  return labels, best
