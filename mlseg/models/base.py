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
    features: whatever intermediate arrays a model hands to its losses or to a saliency method.
  """

  logits: Any = None
  class_logits: Any = None
  features: Any = None


class Model(NamedTuple):
  """A network as two pure functions.

  Attributes:
    init: `init(key, images) -> variables`, a dict with 'params' and, where there is any, state
      such as 'batch_stats'.
    apply: `apply(variables, images, train) -> (Outputs, state)`, where `state` holds the new value
      of everything in `variables` but 'params'; in evaluation it is the old one.
  """

  init: Callable[[jax.Array, jax.Array], Variables]
  apply: Callable[[Variables, jax.Array, bool], tuple[Outputs, Variables]]


def from_linen(module: nn.Module) -> Model:
  """Returns the two functions of a Linen module whose `__call__` takes (images, train)."""

  def init(key: jax.Array, images: jax.Array) -> Variables:
    return dict(module.init(key, images, False))

  def apply(variables: Variables, images: jax.Array, train: bool) -> tuple[Outputs, Variables]:
    state = {name: value for name, value in variables.items() if name != "params"}
    if not train:
      outputs: Any = module.apply(variables, images, False)
      return outputs, state
    outputs, new_state = module.apply(variables, images, True, mutable=list(state))
    return outputs, dict(new_state)

  return Model(init, apply)
