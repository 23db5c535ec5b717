"""Applies a trained network to pictures: probabilities, saliency maps, and spreads of masks."""

import functools
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.data import pipeline, preprocessing
from mlseg.io.pictures.picture import to_colour, to_grey
from mlseg.models import Model, class_probabilities, gradcam
from mlseg.models.averaging import FLIPS, ONE, VIEWS
from mlseg.postprocessing.temperature import Temperatures, scaled, scaled_findings

PyTree = Any
SIZE_STEP = 64  # sizes of pictures that are predicted in tiles are rounded up to multiples of this


class Prediction(NamedTuple):
  """The predictions for B pictures at the network's size S; None for what was not computed.

  Attributes:
    probabilities: [B, S, S, C] float32, probabilities of the classes of each pixel, averaged over
      seeds and over the views that are asked for.
    flip_spread: [B, C], `spread` over the flips of a picture.
    seed_spread: [B, C], `spread` over the seeds.
    diagnoses: [B, L] float32, probabilities of the diagnoses, or of findings, averaged likewise.
    saliency: [B, S, S] float32 in [0, 1], the saliency map of the diagnosis or finding with the
      largest averaged probability; the map is averaged over seeds.
    attention: [B, slices], weights of the slices of a volume, averaged likewise.
    disagreement: [B, S, S] float32 in [0, 1], how far seeds and views disagree about each pixel:
      the entropy of their mean minus their mean entropy, divided by log C.
  """

  probabilities: jax.Array | None
  flip_spread: jax.Array | None
  seed_spread: jax.Array | None
  diagnoses: jax.Array | None
  saliency: jax.Array | None
  attention: jax.Array | None = None
  disagreement: jax.Array | None = None


def prepare(pixels: np.ndarray, size: int, channels: int, filtering: dict[str, Any]) -> np.ndarray:
  """Returns a picture prepared as in training: resized by area averaging, then filtered.

  Args:
    pixels: [H, W] or RGB [H, W, 3], uint8.
    size: side of the network's pictures; 0: the picture keeps its size.
    channels: 1: colours become grey; 3: grey becomes three equal channels.
    filtering: the arguments of `preprocessing.bilateral_filter`.

  Returns:
    [size, size, channels] uint8, or [H, W, channels].
  """
  pixels = to_grey(pixels) if channels == 1 else to_colour(pixels)
  if size:
    pixels = preprocessing.resize_image(pixels, size)
  filtered = preprocessing.bilateral_filter(pixels, **filtering)
  return filtered.reshape(*pixels.shape[:2], channels)


def stack(images: Sequence[np.ndarray], batch_size: int, step: int = 1) -> np.ndarray:
  """Returns images as one batch of a fixed number and of few sizes, so that few programs compile.

  Images are mirrored at their lower and right borders up to a common size, and the batch is filled
  up with black images.

  Args:
    images: [H, W, channels] each, at most `batch_size`.
    batch_size: B.
    step: the common height and width are rounded up to multiples of this.

  Returns:
    [B, H', W', channels].

  Example:
    >>> stack([np.ones((5, 3, 1), np.uint8), np.ones((4, 4, 1), np.uint8)], 3, step=4).shape
    (3, 8, 4, 1)
  """
  sides = np.max([image.shape[:2] for image in images], axis=0)
  sides = -(-sides // step) * step
  batch = np.stack([_mirrored(image, sides) for image in images])
  return np.pad(batch, [(0, batch_size - len(images)), (0, 0), (0, 0), (0, 0)])


def _mirrored(image: np.ndarray, sides: np.ndarray) -> np.ndarray:
  """Returns an image, mirrored at its lower and right borders to reach a height and a width."""
  missing = sides - image.shape[:2]
  return np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")


def make_predict(
  model: Model,
  flips: bool,
  saliency: str | None = None,
  slices: int = 1,
  views: str = ONE,
  disagreement: bool = False,
) -> Callable[..., Prediction]:
  """Returns `predict(variables, images, covariates=None) -> Prediction`, a function for `jax.jit`.

  The variables have a leading axis of seeds. The images are [B, S, S, channels] uint8, or of any
  height and width that the network takes; the covariates are [B, K], where it reads them. The
  seeds run one after the other, so that only their masks take memory for each seed.

  Args:
    model: the network.
    flips: whether all mirrored pictures are predicted, for `flip_spread`, which takes four times as
      long. Which of them count in the probabilities is said by `views` alone.
    saliency: one of `gradcam.METHODS`, for a network with a classification head; None: no maps.
    slices: number of slices of a volume, which lie one below the other in its picture. Such a
      picture must not be flipped up and down.
    views: over which views of a picture the probabilities are averaged, one of `averaging.VIEWS`.
    disagreement: whether that of the seeds and the views that count is computed.

  Source: of the disagreement, Depeweg et al., Decomposition of uncertainty in Bayesian deep
  learning, ICML 2018, eq. 5: the mutual information of the class and the model.
  """
  counted, classify = len(VIEWS[views]), model.classify

  def of_seed(
    variables: PyTree, images: jax.Array, covariates: jax.Array | None
  ) -> tuple[PyTree, PyTree, PyTree, PyTree]:
    """Returns those of pixels [F, B, S, S, C], of diagnoses [B, L], attention, and entropies."""
    pixels: list[jax.Array] = []
    diagnoses: list[jax.Array] = []
    attention: list[jax.Array] = []
    for n, axes in enumerate(FLIPS if flips else VIEWS[views]):
      if n >= counted and not pixels:  # without masks, further views are not needed
        break
      outputs = model.predict(variables, jnp.flip(images, axes), covariates)
      if outputs.logits is not None:
        pixels.append(jnp.flip(jax.nn.softmax(outputs.logits, axis=-1), axes))
      if n < counted and outputs.class_logits is not None:
        diagnoses.append(class_probabilities(outputs.class_logits, model.has_findings))
      if n < counted and outputs.attention is not None:
        attention.append(outputs.attention)
    entropies = [entropy_of(one) for one in pixels[:counted]] if disagreement else []
    parts = (pixels, diagnoses, attention, entropies)
    means = [_mean(values) if values else None for values in parts]
    if pixels:
      means[0] = jnp.stack(pixels if flips else [_mean(pixels)])
    return means[0], means[1], means[2], means[3]

  def averaged(pixels: jax.Array) -> jax.Array:
    """Returns the mean over the views that count, of what `of_seed` returns."""
    return pixels[:counted].mean(0) if flips and counted > 1 else pixels[0]

  def saliency_map(
    classify: Callable[..., jax.Array], method: str, variables: PyTree, images: jax.Array,
    covariates: jax.Array | None, labels: jax.Array,
  ) -> jax.Array:  # fmt: skip
    features = model.predict(variables, images, covariates).features
    head = functools.partial(classify, variables)
    small = gradcam.saliency(head, features, labels, method)
    return gradcam.normalised(small, images.shape[1:3], slices)

  def predict(
    variables: PyTree, images: jax.Array, covariates: jax.Array | None = None
  ) -> Prediction:
    batch = pipeline.to_float(images)
    num_seeds = len(jax.tree.leaves(variables)[0])

    def add(total: PyTree, one: PyTree) -> tuple[PyTree, jax.Array | None]:
      found = of_seed(one, batch, covariates)
      masks = None if found[0] is None else averaged(found[0]).argmax(-1).astype(jnp.uint8)
      return jax.tree.map(jnp.add, total, found), masks

    first = jax.tree.map(lambda leaf: leaf[0], variables)
    shapes = jax.eval_shape(of_seed, first, batch, covariates)
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape), shapes)
    totals, masks = jax.lax.scan(add, zeros, variables)
    pixels, diagnoses, attention, entropies = jax.tree.map(lambda x: x / num_seeds, totals)
    maps = None
    if saliency and classify is not None:
      map_of = functools.partial(saliency_map, classify, saliency)
      labels = diagnoses.argmax(-1)
      maps = jax.lax.map(lambda one: map_of(one, batch, covariates, labels), variables).mean(0)
    if pixels is None or masks is None:
      return Prediction(None, None, None, diagnoses, maps, attention)
    num_classes, probabilities = pixels.shape[-1], averaged(pixels)
    between = None if entropies is None else entropy_of(probabilities) - entropies
    return Prediction(
      probabilities=probabilities,
      flip_spread=spread(pixels.argmax(-1), num_classes) if flips else None,
      seed_spread=spread(masks, num_classes) if num_seeds > 1 else None,
      diagnoses=diagnoses,
      saliency=maps,
      attention=attention,
      disagreement=None if between is None else jnp.maximum(between, 0.0),
    )

  return predict


def _mean(arrays: Sequence[jax.Array]) -> jax.Array:
  """Returns the mean of arrays of one shape."""
  return arrays[0] if len(arrays) == 1 else sum(arrays[1:], arrays[0]) / len(arrays)


def spread(masks: jax.Array, num_classes: int) -> jax.Array:
  """Returns how far masks of the same picture disagree: 1 - the mean Dice of all pairs.

  It is 0 if all masks are the same, and 1 if no two of them overlap. The Dice of two masks without
  the class is 1.

  Args:
    masks: [M, B, H, W] integers, class indices; M > 1.
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
  apart = []
  for i, j in combinations(range(len(masks)), 2):
    common, sizes_of_both = (regions[i] * regions[j]).sum((1, 2)), sizes[i] + sizes[j]
    dice = 2 * common / jnp.maximum(sizes_of_both, 1)
    apart.append(jnp.where(sizes_of_both > 0, 1 - dice, 0.0))
  return jnp.stack(apart).mean(0)


def calibrated(prediction: Any, temperatures: Temperatures, has_findings: bool = False) -> Any:
  """Returns a `Prediction` on the host, with diagnoses, or findings, at their temperature."""
  if prediction.diagnoses is None:
    return prediction
  scale = scaled_findings if has_findings else scaled
  diagnoses = scale(np.asarray(prediction.diagnoses), temperatures.diagnoses)
  return prediction._replace(diagnoses=diagnoses)


def entropy_of(probabilities: Any) -> jax.Array:
  """Returns the entropy of the classes of each pixel, as a share of the largest there can be.

    -1 / log C sum_c p_c log p_c

  Args:
    probabilities: [..., C] float32, C > 1.

  Returns:
    [...] float32 in [0, 1].

  Example:
    >>> entropy_of(jnp.array([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
  """
  total = jax.scipy.special.entr(probabilities).sum(-1) / np.log(probabilities.shape[-1])
  return jnp.clip(total, 0.0, 1.0)
