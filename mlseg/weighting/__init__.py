"""Weights for several losses, decided while a model trains, as pure functions.

A `LossWeighting` is two functions, as in optax: `init(losses) -> state` and `update(losses, state)
-> (weights, state)`. A state is a NamedTuple of arrays, so it can be the carry of a scan, it can be
mapped over seeds by `vmap`, and it can be saved in a checkpoint. Weightings can be chained. The
package needs no trainer, and imports jax, numpy, optax and chex only. This example fits a curve
under two losses at once:

>>> import jax, jax.numpy as jnp, optax
>>> from mlseg import weighting as w
>>> x = jnp.linspace(-1.0, 1.0, 32)
>>> def loss_fn(params):
...   error = params["a"] * x + params["b"] * x**3 - jnp.sin(2.0 * x)
...   return {"squared": jnp.mean(error**2), "absolute": jnp.mean(jnp.abs(error))}, None
>>> method = w.chain(w.dynamic_memory_fusion("mad"), w.ema(0.9), w.bounded(0.1, 0.9))
>>> compute = jax.jit(w.losses_and_gradients(loss_fn, method))
>>> params, optimizer = {"a": jnp.zeros(()), "b": jnp.zeros(())}, optax.adam(0.05)
>>> state, opt_state = method.init(loss_fn(params)[0]), optimizer.init(params)
>>> for _ in range(200):
...   result, state = compute(params, state)
...   updates, opt_state = optimizer.update(result.gradients, opt_state)
...   params = optax.apply_updates(params, updates)
>>> print(f"{params['a']:.1f} x, squared loss below {1e-3}: {result.losses['squared'] < 1e-3}")
1.9 x, squared loss below 0.001: True

A weighting can be used by itself, for losses that are computed elsewhere:

>>> losses = {"dice": jnp.float32(0.5), "cross_entropy": jnp.float32(2.0)}
>>> method = w.geometric()
>>> weights, state = method.update(losses, method.init(losses))
>>> {name: float(weight) for name, weight in weights.items()}
{'cross_entropy': 0.25, 'dice': 1.0}

`combine_gradients` turns a weighting into an optax transformation of the gradients of all losses.
Here it is part of an optax chain that is a whole optimiser:

>>> optimizer = optax.chain(w.combine_gradients(w.mgda(), 2), optax.sgd(1.0))
>>> params = jnp.array([2.0, 1.0])
>>> per_loss = jnp.array([[2.0, 0.0], [0.0, 1.0]])  # as jax.jacrev gives them: losses first
>>> updates, _ = optimizer.update(
...   per_loss, optimizer.init(params), params, losses=jnp.array([4.0, 1.0])
... )
>>> print(updates.round(3))
[-0.4 -0.8]
"""

import types
import typing

from mlseg.weighting.adapter import CombineGradientsState as CombineGradientsState
from mlseg.weighting.adapter import combine_gradients as combine_gradients
from mlseg.weighting.base import Losses as Losses
from mlseg.weighting.base import LossWeighting as LossWeighting
from mlseg.weighting.base import State as State
from mlseg.weighting.base import Weights as Weights
from mlseg.weighting.combinators.auxiliary import WithAuxiliaryState as WithAuxiliaryState
from mlseg.weighting.combinators.cadence import EveryState as EveryState
from mlseg.weighting.combinators.cadence import PerEpochState as PerEpochState
from mlseg.weighting.combinators.cadence import WarmUpState as WarmUpState
from mlseg.weighting.combinators.chain import ChainState as ChainState
from mlseg.weighting.combinators.chain import EmaState as EmaState
from mlseg.weighting.combinators.selection import SwitchState as SwitchState
from mlseg.weighting.from_gradients.db_mtl import DbMtlState as DbMtlState
from mlseg.weighting.from_gradients.excess_mtl import ExcessMtlState as ExcessMtlState
from mlseg.weighting.from_gradients.graddrop import GradDropState as GradDropState
from mlseg.weighting.from_gradients.learning_rate_annealing import (
  LearningRateAnnealingState as LearningRateAnnealingState,
)
from mlseg.weighting.from_gradients.moco import MocoState as MocoState
from mlseg.weighting.from_gram.conflict_free import config as config
from mlseg.weighting.from_gram.gradient_surgery import GradVacState as GradVacState
from mlseg.weighting.from_gram.gradnorm import GradNormState as GradNormState
from mlseg.weighting.from_gram.neural_tangent_kernel import (
  NeuralTangentKernelState as NeuralTangentKernelState,
)
from mlseg.weighting.from_gram.neural_tangent_kernel import kernel_traces as kernel_traces
from mlseg.weighting.from_gram.norm_balance import NormBalanceState as NormBalanceState
from mlseg.weighting.from_gram.priority_constrained import (
  PriorityConstrainedState as PriorityConstrainedState,
)
from mlseg.weighting.from_gram.stochastic_descent import SimplexState as SimplexState
from mlseg.weighting.from_losses.coefficient_of_variation import (
  CoefficientOfVariationState as CoefficientOfVariationState,
)
from mlseg.weighting.from_losses.dynamic_memory_fusion import (
  DynamicMemoryFusionState as DynamicMemoryFusionState,
)
from mlseg.weighting.from_losses.dynamic_weight_average import (
  DynamicWeightAverageState as DynamicWeightAverageState,
)
from mlseg.weighting.from_losses.famo import FamoState as FamoState
from mlseg.weighting.from_losses.go4align import Go4AlignState as Go4AlignState
from mlseg.weighting.from_losses.history import RingBuffer as RingBuffer
from mlseg.weighting.from_losses.random_weighting import (
  RandomWeightingState as RandomWeightingState,
)
from mlseg.weighting.from_losses.relobralo import RelobraloState as RelobraloState
from mlseg.weighting.from_losses.residual_attention import (
  ResidualAttentionState as ResidualAttentionState,
)
from mlseg.weighting.from_losses.scheduled import ScheduledState as ScheduledState
from mlseg.weighting.from_losses.smooth_tchebycheff import (
  SmoothTchebycheffState as SmoothTchebycheffState,
)
from mlseg.weighting.from_losses.softadapt import SoftAdaptState as SoftAdaptState
from mlseg.weighting.gradients import LossesAndGradients as LossesAndGradients
from mlseg.weighting.gradients import losses_and_gradients as losses_and_gradients
from mlseg.weighting.instances import (
  instance_losses_and_gradients as instance_losses_and_gradients,
)
from mlseg.weighting.learned.auto_lambda import validation_slopes as validation_slopes
from mlseg.weighting.learned.robust import general_robust as general_robust
from mlseg.weighting.learned_state import LearnedState as LearnedState
from mlseg.weighting.predicted_uncertainty import predicted_uncertainty as predicted_uncertainty
from mlseg.weighting.registry import *  # noqa: F403
from mlseg.weighting.split_loss import FeatureLoss as FeatureLoss
from mlseg.weighting.split_loss import SplitLoss as SplitLoss
from mlseg.weighting.stacked import gram_of as gram_of
from mlseg.weighting.stacked import stacked_zeros as stacked_zeros
from mlseg.weighting.stacked import weighted_sum as weighted_sum

if not typing.TYPE_CHECKING:  # type checkers take the public names from `import name as name`
  __all__ = sorted(
    name
    for name, value in globals().items()
    if not name.startswith("_") and not isinstance(value, types.ModuleType)
  )
