"""Weights for several losses, decided while a model trains, as pure functions.

A `LossWeighting` is two functions, as optax has them: `init(losses) -> state` and `update(losses,
state) -> (weights, state)`. States are NamedTuples of arrays: they are scan carries, they `vmap`
over seeds, they checkpoint. Weightings chain, and nothing here needs a trainer, or anything but
jax, numpy, optax and chex. A curve, fitted under two losses at once:

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

Weights alone, for losses that something else computed:

>>> losses = {"dice": jnp.float32(0.5), "cross_entropy": jnp.float32(2.0)}
>>> method = w.geometric()
>>> weights, state = method.update(losses, method.init(losses))
>>> {name: float(weight) for name, weight in weights.items()}
{'cross_entropy': 0.25, 'dice': 1.0}

A method that compares gradients takes them as an optax transformation does, here in a chain that is
a whole optimiser:

>>> optimizer = optax.chain(w.combine_gradients(w.mgda(), 2), optax.sgd(1.0))
>>> params = jnp.array([2.0, 1.0])
>>> per_loss = jnp.array([[2.0, 0.0], [0.0, 1.0]])  # as jax.jacrev gives them: losses first
>>> updates, _ = optimizer.update(
...   per_loss, optimizer.init(params), params, losses=jnp.array([4.0, 1.0])
... )
>>> print(updates.round(3))
[-0.4 -0.8]
"""

from mlseg.weighting.adapter import CombineGradientsState, combine_gradients
from mlseg.weighting.base import Losses, LossWeighting, State, Weights
from mlseg.weighting.combinators.auxiliary import WithAuxiliaryState, with_auxiliary
from mlseg.weighting.combinators.cadence import (
  EveryState,
  PerEpochState,
  WarmUpState,
  every,
  per_epoch,
  warm_up,
)
from mlseg.weighting.combinators.chain import ChainState, EmaState, bounded, chain, ema
from mlseg.weighting.combinators.scaling import rescale, with_prior
from mlseg.weighting.combinators.selection import SwitchState, subset, switch
from mlseg.weighting.from_gradients.excess_annealing import (
  ExcessMtlState,
  LearningRateAnnealingState,
  excess_mtl,
  learning_rate_annealing,
)
from mlseg.weighting.from_gradients.graddrop import GradDropState, graddrop
from mlseg.weighting.from_gradients.moco_db_mtl import DbMtlState, MocoState, db_mtl, moco
from mlseg.weighting.from_gram.aligned_mtl import aligned_mtl
from mlseg.weighting.from_gram.cagrad import cagrad
from mlseg.weighting.from_gram.conflict_free import config
from mlseg.weighting.from_gram.gradient_surgery import GradVacState, gradvac, pcgrad
from mlseg.weighting.from_gram.gradnorm import GradNormState, gradnorm
from mlseg.weighting.from_gram.impartial_gradients import impartial_gradients
from mlseg.weighting.from_gram.mgda import mgda
from mlseg.weighting.from_gram.nash_mtl import fairgrad, nash_mtl
from mlseg.weighting.from_gram.stochastic_descent import SimplexState, modo, sdmgrad
from mlseg.weighting.from_gram.upgrad import dual_projection, upgrad
from mlseg.weighting.from_losses.coefficient_of_variation import (
  CoefficientOfVariationState,
  coefficient_of_variation,
)
from mlseg.weighting.from_losses.dynamic_memory_fusion import (
  DynamicMemoryFusionState,
  dynamic_memory_fusion,
)
from mlseg.weighting.from_losses.dynamic_weight_average import (
  DynamicWeightAverageState,
  dynamic_weight_average,
)
from mlseg.weighting.from_losses.famo import FamoState, famo
from mlseg.weighting.from_losses.fixed import fixed
from mlseg.weighting.from_losses.history import RingBuffer
from mlseg.weighting.from_losses.random_weighting import RandomWeightingState, random_weighting
from mlseg.weighting.from_losses.relobralo import RelobraloState, relobralo
from mlseg.weighting.from_losses.scalarization import (
  cosmos,
  geometric,
  penalty_boundary_intersection,
  soft_optimal_uncertainty,
)
from mlseg.weighting.from_losses.smooth_tchebycheff import (
  SmoothTchebycheffState,
  smooth_tchebycheff,
)
from mlseg.weighting.from_losses.softadapt import SoftAdaptState, softadapt
from mlseg.weighting.gradients import LossesAndGradients, SplitLoss, losses_and_gradients
from mlseg.weighting.learned.impartial_losses import impartial_losses
from mlseg.weighting.learned.robust import general_robust, robust
from mlseg.weighting.learned.uncertainty import revised_uncertainty, uncertainty
from mlseg.weighting.learned_state import LearnedState
from mlseg.weighting.stacked import gram_of, stacked_zeros, weighted_sum

__all__ = [
  "ChainState",
  "CoefficientOfVariationState",
  "CombineGradientsState",
  "DbMtlState",
  "DynamicMemoryFusionState",
  "DynamicWeightAverageState",
  "EmaState",
  "EveryState",
  "ExcessMtlState",
  "FamoState",
  "GradDropState",
  "GradNormState",
  "GradVacState",
  "LearnedState",
  "LearningRateAnnealingState",
  "LossWeighting",
  "Losses",
  "LossesAndGradients",
  "MocoState",
  "PerEpochState",
  "RandomWeightingState",
  "RelobraloState",
  "RingBuffer",
  "SimplexState",
  "SmoothTchebycheffState",
  "SoftAdaptState",
  "SplitLoss",
  "State",
  "SwitchState",
  "WarmUpState",
  "Weights",
  "WithAuxiliaryState",
  "aligned_mtl",
  "bounded",
  "cagrad",
  "chain",
  "coefficient_of_variation",
  "combine_gradients",
  "config",
  "cosmos",
  "db_mtl",
  "dual_projection",
  "dynamic_memory_fusion",
  "dynamic_weight_average",
  "ema",
  "every",
  "excess_mtl",
  "fairgrad",
  "famo",
  "fixed",
  "general_robust",
  "geometric",
  "graddrop",
  "gradnorm",
  "gradvac",
  "gram_of",
  "impartial_gradients",
  "impartial_losses",
  "learning_rate_annealing",
  "losses_and_gradients",
  "mgda",
  "moco",
  "modo",
  "nash_mtl",
  "pcgrad",
  "penalty_boundary_intersection",
  "per_epoch",
  "random_weighting",
  "relobralo",
  "rescale",
  "revised_uncertainty",
  "robust",
  "sdmgrad",
  "smooth_tchebycheff",
  "soft_optimal_uncertainty",
  "softadapt",
  "stacked_zeros",
  "subset",
  "switch",
  "uncertainty",
  "upgrad",
  "warm_up",
  "weighted_sum",
  "with_auxiliary",
  "with_prior",
]
