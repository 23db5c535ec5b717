"""Means of probabilities: over mirrored views of an image, and over several models."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from mlseg.models.base import Outputs

# `predict(variables, images [B, H, W, I], *covariates) -> Outputs`, where `covariates` is one array
# [B, K] for a network that reads them, and nothing for others.
Predict = Callable[..., Outputs]

# The axes of [B, H, W, ...] along which an image is mirrored; the first view is the image itself.
FLIPS: tuple[tuple[int, ...], ...] = ((), (2,), (1,), (1, 2))
ONE, HORIZONTAL, ALL_FLIPS = "one", "horizontal", "flips"
VIEWS = {ONE: FLIPS[:1], HORIZONTAL: FLIPS[:2], ALL_FLIPS: FLIPS}


def over_views(predict: Predict, views: str, has_findings: bool = False) -> Predict:
  """Returns a function that averages the probabilities of an image and of its mirror images.

    p(x) = 1/V sum_v m_v(softmax f(m_v(x)))

  where m_v is the mirroring of view v, which undoes itself. The logits that are returned are the
  logarithms of p, so that their softmax is p and their largest is the most probable class. The
  views run one after the other, so that they take the memory of one; they are compiled once.

  Args:
    predict: a `Predict`.
    views: one of `VIEWS`. 'one': `predict` itself is returned.
    has_findings: of the `Model`; then `class_logits` are those whose sigmoid is p.

  Returns:
    A function as `predict`, whose outputs have `logits`, `class_logits` and `attention`, as far as
    `predict` gives them, and nothing else.

  Source: Isensee et al., nnU-Net, Nature Methods 18 (2021), test time augmentation by mirroring.

  Example:
    >>> left = jnp.array([[9.0, 0.0], [0.0, 9.0]])  # class 0 in the left column, 1 in the right
    >>> predict = lambda _, images: Outputs(logits=left + 0 * images)
    >>> logits = over_views(predict, "horizontal")(None, jnp.zeros((1, 2, 2, 1)))
    >>> print(jax.nn.softmax(logits.logits)[0, 0].round(2))
    [[0.5 0.5]
     [0.5 0.5]]
  """
  axes = VIEWS[views]
  if len(axes) == 1:
    return predict
  turned = jnp.array([[1 in own, 2 in own] for own in axes])  # [V, 2]: up-down, left-right

  def mirrored(array: jax.Array, view: jax.Array) -> jax.Array:
    array = jnp.where(view[0], jnp.flip(array, 1), array)
    return jnp.where(view[1], jnp.flip(array, 2), array)

  def predict_views(variables: Any, images: jax.Array, *covariates: jax.Array) -> Outputs:
    def of_view(view: jax.Array) -> Outputs:
      outputs = predict(variables, mirrored(images, view), *covariates)
      found = _probabilities(outputs, has_findings)
      return found if found.logits is None else found._replace(logits=mirrored(found.logits, view))

    return _mean(of_view, turned, has_findings)

  return predict_views


def over_models(predict: Predict, has_findings: bool = False) -> Callable[..., Outputs]:
  """Returns a function that averages the probabilities of several models.

  The models run one after the other, so that their outputs take the memory of one model's.

  Args:
    predict: a `Predict`, of one model.
    has_findings: as in `over_views`.

  Returns:
    `predict(variables of each model, images, *covariates) -> Outputs`, with the outputs of
    `over_views`: the logits are the logarithms of the mean probabilities.

  Example:
    >>> predict = lambda shift, images: Outputs(class_logits=jnp.array([[0.0, shift]]))
    >>> models = [jnp.array(-2.0), jnp.array(2.0)]
    >>> print(jax.nn.softmax(over_models(predict)(models, None).class_logits))
    [[0.5 0.5]]
  """

  def predict_models(
    variables: Sequence[Any], images: jax.Array, *covariates: jax.Array
  ) -> Outputs:
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *variables)

    def of_model(one: Any) -> Outputs:
      return _probabilities(predict(one, images, *covariates), has_findings)

    return _mean(of_model, stacked, has_findings)

  return predict_models


def _probabilities(outputs: Outputs, has_findings: bool) -> Outputs:
  """Returns probabilities in the place of logits; what has no mean is left out.

  Of findings these are [B, L, 2], that each is absent and that it is there, since the first cannot
  be had from a second that float32 rounds to 1.
  """

  def softmax(logits: jax.Array | None) -> jax.Array | None:
    return None if logits is None else jax.nn.softmax(logits.astype(jnp.float32), axis=-1)

  class_logits = outputs.class_logits
  if has_findings and class_logits is not None:
    class_logits = jnp.stack([jnp.zeros_like(class_logits), class_logits], axis=-1)
  return Outputs(
    logits=softmax(outputs.logits),
    class_logits=softmax(class_logits),
    attention=outputs.attention,
  )


def _mean(function: Callable[[Any], Outputs], stacked: Any, has_findings: bool) -> Outputs:
  """Returns the logarithms of the mean probabilities over the leading axis of an argument."""
  count = len(jax.tree.leaves(stacked)[0])
  shapes = jax.eval_shape(function, jax.tree.map(lambda leaf: leaf[0], stacked))
  zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

  def add(total: Outputs, one: Any) -> tuple[Outputs, None]:
    return jax.tree.map(jnp.add, total, function(one)), None

  totals, _ = jax.lax.scan(add, zeros, stacked)
  mean: Outputs = jax.tree.map(lambda total: total / count, totals)
  logits, class_logits = jax.tree.map(jnp.log, (mean.logits, mean.class_logits))
  if has_findings and class_logits is not None:
    class_logits = class_logits[..., 1] - class_logits[..., 0]
  return mean._replace(logits=logits, class_logits=class_logits)
