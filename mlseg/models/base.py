"""The interface of a network: its outputs, and the pure functions that the rest of mlseg calls."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

Variables = dict[str, Any]


class Outputs(NamedTuple):
  """The outputs of a network for a batch of images.

  Attributes:
    logits: [B, H, W, C], one score per pixel and class; None for a pure classifier.
    class_logits: [B, N], one score per image and class; None without a classification head.
    features: [B, h, w, F], the encoder's last features, which the decoder and the classification
      head read.
    detections: the outputs of a detector; see `mask_rcnn.Detections`.
    regions: [B, H, W, R], one score per pixel and label, for networks in which a pixel may have
      several labels; the score of a class is then the sum over its labels. None for others.
    attention: [B, S], the weight of each slice of a volume; the weights of a volume sum to 1.
    embeddings: [B, D], vectors of norm 1 that losses on embeddings compare.
    texture_logits: [B, T], one score per volume and texture class.
    deep_logits: a tuple of [B, H / 2**s, W / 2**s, C] with s = 1, 2, ..., the scores of coarser
      levels of a decoder under deep supervision, in training alone; () for others.
  """

  logits: Any = None
  class_logits: Any = None
  features: Any = None
  detections: Any = None
  regions: Any = None
  attention: Any = None
  embeddings: Any = None
  texture_logits: Any = None
  deep_logits: tuple[Any, ...] = ()


class Model(NamedTuple):
  """A network as two pure functions.

  Attributes:
    init: `init(key, images) -> variables`, a dict with 'params' and the network's state, such as
      'batch_stats', if it has any.
    apply: `apply(variables, images, train, *truth, key=None, covariates=None) -> (Outputs, state)`.
      `state` holds the new values of everything in `variables` except 'params'; in evaluation
      nothing in it changes. `truth` is for networks that read the true objects in training, as a
      detector does; `key` for those that draw random numbers in training, as dropout does;
      `covariates` [B, K], of patients, for those that read them, in training and evaluation.
    classify: `classify(variables, features) -> [B, N]`, the classification head alone, applied to
      `Outputs.features`; None for a network without one.
    has_findings: whether `class_logits` are of findings, of which a case may have several, so that
      the sigmoid of each is its probability; False: of diagnoses, of which it has one, under a
      softmax.
  """

  init: Callable[[jax.Array, jax.Array], Variables]
  apply: Callable[..., tuple[Outputs, Variables]]
  classify: Callable[[Variables, jax.Array], jax.Array] | None = None
  has_findings: bool = False

  def predict(
    self, variables: Variables, images: jax.Array, covariates: jax.Array | None = None
  ) -> Outputs:
    """Returns the outputs in evaluation.

    Args:
      variables: of the network.
      images: [B, H, W, I] float32.
      covariates: [B, K], where the network reads them.
    """
    return self.apply(variables, images, False, **_given(covariates))[0]


def class_probabilities(class_logits: jax.Array, has_findings: bool) -> jax.Array:
  """Returns the probabilities of diagnoses, which sum to 1, or those of findings, each by itself.

  Args:
    class_logits: [..., N].
    has_findings: as in `Model`.

  Returns:
    [..., N].

  Example:
    >>> logits = jax.numpy.zeros(4)
    >>> [class_probabilities(logits, several)[0].item() for several in (False, True)]
    [0.25, 0.5]
  """
  return jax.nn.sigmoid(class_logits) if has_findings else jax.nn.softmax(class_logits, axis=-1)


def from_linen(module: nn.Module, classify: Callable[..., jax.Array] | None = None) -> Model:
  """Returns the functions of a Linen module whose `__call__` takes (images, train).

  Args:
    module: the network. One with an attribute `num_covariates` above 0 takes covariates too.
    classify: the method of the module that applies its classification head to features, or None.
  """
  num_covariates = getattr(module, "num_covariates", 0)

  def init(key: jax.Array, images: jax.Array) -> Variables:
    zeros = jnp.zeros((len(images), num_covariates)) if num_covariates else None
    return dict(module.init(key, images, False, **_given(zeros)))

  def apply(
    variables: Variables,
    images: jax.Array,
    train: bool,
    *truth: Any,
    key: jax.Array | None = None,
    covariates: jax.Array | None = None,
  ) -> tuple[Outputs, Variables]:
    state = {name: value for name, value in variables.items() if name != "params"}
    if not train:
      outputs: Any = module.apply(variables, images, False, **_given(covariates))
      return outputs, state
    draws = None if key is None else {"dropout": key}
    outputs, new_state = module.apply(
      variables,
      images,
      True,
      *truth,
      mutable=list(state),
      rngs=draws,
      **_given(covariates),
    )
    return outputs, dict(new_state)

  def head(variables: Variables, features: jax.Array) -> jax.Array:
    logits: Any = module.apply(variables, features, method=classify)
    return logits

  return Model(init, apply, None if classify is None else head)


def _given(covariates: jax.Array | None) -> dict[str, Any]:
  """Returns the named argument of a network that reads covariates; none for others."""
  return {} if covariates is None else {"covariates": covariates}


def with_matmul_precision(model: Model, precision: str) -> Model:
  """Returns the model whose matrix products and convolutions are computed with a precision.

  Arrays stay float32; on devices that have faster products of narrower numbers, the factors are
  rounded to them, forward and backward, and sums are float32.

  Args:
    model: from `from_linen`.
    precision: of `jax.default_matmul_precision`, such as 'bfloat16' or 'tensorfloat32'.

  Example:
    >>> model = with_matmul_precision(from_linen(nn.Dense(2)), "bfloat16")
  """

  def precisely(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
      with jax.default_matmul_precision(precision):
        return function(*args, **options)

    return call

  classify = None if model.classify is None else precisely(model.classify)
  return model._replace(apply=precisely(model.apply), classify=classify)
