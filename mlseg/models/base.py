"""What the rest of mlseg sees of a network: its outputs, and two functions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax

Variables = dict[str, Any]


class Outputs(NamedTuple):
  """What a network gives for a batch of images.

  Attributes:
    logits: [B, H, W, C], one score per pixel and class; None for a pure classifier.
    class_logits: [B, N], one score per image and class; None without a classification head.
    features: what the network's head of classes, or its decoder, reads: [B, h, w, F].
    detections: of a detector; see `mask_rcnn.Detections`.
    regions: [B, H, W, R], one score per pixel and label, where a pixel may have several labels; a
      class's score is then the sum of those of its labels. None where each class has its own.
    attention: [B, S], how much each slice of a volume counts; they sum to 1.
    embeddings: [B, D], of length 1, what losses of embeddings compare.
    texture_logits: [B, T], one score per volume and class of texture.
  """

  logits: Any = None
  class_logits: Any = None
  features: Any = None
  detections: Any = None
  regions: Any = None
  attention: Any = None
  embeddings: Any = None
  texture_logits: Any = None


class Model(NamedTuple):
  """A network as two pure functions.

  Attributes:
    init: `init(key, images) -> variables`, a dict with 'params' and, where there is any, state
      such as 'batch_stats'.
    apply: `apply(variables, images, train, *truth) -> (Outputs, state)`, where `state` holds the
      new value of everything in `variables` but 'params'; in evaluation it is the old one. `truth`
      is for networks that read it in training: a detector's objects.
    classify: `classify(variables, features) -> [B, N]`, the head of classes alone, on the features
      of the outputs; None for a network without.
  """

  init: Callable[[jax.Array, jax.Array], Variables]
  apply: Callable[..., tuple[Outputs, Variables]]
  classify: Callable[[Variables, jax.Array], jax.Array] | None = None


def from_linen(module: nn.Module, classify: Callable[..., jax.Array] | None = None) -> Model:
  """Returns the functions of a Linen module whose `__call__` takes (images, train).

  Args:
    module: the network.
    classify: its method that takes features, where it has a head of classes.
  """

  def init(key: jax.Array, images: jax.Array) -> Variables:
    return dict(module.init(key, images, False))

  def apply(
    variables: Variables, images: jax.Array, train: bool, *truth: Any
  ) -> tuple[Outputs, Variables]:
    state = {name: value for name, value in variables.items() if name != "params"}
    if not train:
      outputs: Any = module.apply(variables, images, False)
      return outputs, state
    outputs, new_state = module.apply(variables, images, True, *truth, mutable=list(state))
    return outputs, dict(new_state)

  def head(variables: Variables, features: jax.Array) -> jax.Array:
    logits: Any = module.apply(variables, features, method=classify)
    return logits

  return Model(init, apply, None if classify is None else head)
