"""Loss weighting as pure, jittable state transformations that compose with each other.

A `LossWeighting` is two functions: `init(losses) -> state` and `update(losses, state) -> (weights,
state)`. It needs nothing else of mlseg, and no trainer:

>>> import jax.numpy as jnp
>>> weighting = chain(dynamic_memory_fusion("variance", min_history=2), bounded(0.2, 0.8))
>>> losses = {"dice": jnp.float32(0.5), "cross_entropy": jnp.float32(2.0)}
>>> state = weighting.init(losses)
>>> weights, state = weighting.update(losses, state)
>>> {name: float(weight) for name, weight in weights.items()}
{'cross_entropy': 0.5, 'dice': 0.5}
"""

from mlseg.weighting.auxiliary import WithAuxiliaryState, with_auxiliary
from mlseg.weighting.base import Losses, LossWeighting, State, Weights
from mlseg.weighting.combinators import ChainState, EmaState, bounded, chain, ema
from mlseg.weighting.dynamic_memory_fusion import (
  DynamicMemoryFusionState,
  dynamic_memory_fusion,
)
from mlseg.weighting.fixed import fixed
from mlseg.weighting.gradients import LossesAndGradients, SplitLoss, losses_and_gradients
from mlseg.weighting.history import RingBuffer

__all__ = [
  "ChainState",
  "DynamicMemoryFusionState",
  "EmaState",
  "LossWeighting",
  "Losses",
  "LossesAndGradients",
  "RingBuffer",
  "SplitLoss",
  "State",
  "Weights",
  "WithAuxiliaryState",
  "bounded",
  "chain",
  "dynamic_memory_fusion",
  "ema",
  "fixed",
  "losses_and_gradients",
  "with_auxiliary",
]
