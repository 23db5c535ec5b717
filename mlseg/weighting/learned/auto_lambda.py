"""Auto-Lambda: weights that lower the losses of other data after a step of training."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  Weights,
  all_finite,
  num_losses,
  ravel,
  state_dtype,
)
from mlseg.weighting.checks import check_number, per_loss
from mlseg.weighting.gradients import LossFunction
from mlseg.weighting.learned_state import LearnedState, descend, start
from mlseg.weighting.presence import only, ravel_present

PyTree = Any
ADAM = optax.adam(1e-4)  # as in the authors' code for dense prediction


def auto_lambda(
  initial: float = 0.1,
  lowest: float = 0.0,
  highest: float = 10.0,
  optimizer: optax.GradientTransformation = ADAM,
) -> LossWeighting:
  """Learns the weights under which a step of training most lowers losses of validation data.

  Formula: w_k = λ_k; λ descends V(θ'(λ)), θ'(λ) = θ - α Σ_k λ_k ∂L_k/∂θ, whose slope is
  -α ⟨∂V/∂θ(θ'), ∂L_k/∂θ⟩

  V is the sum of the losses that matter, on a batch of other data, after the step. So a loss counts
  as much as its gradient helps there, and an auxiliary loss that does not help fades.

  `update` also takes `slopes=`, ∂V/∂λ as [K] or in the structure of the losses, as
  `validation_slopes` computes it. λ takes its step before it weights. Without slopes the weights
  stay what they were; so they do where a slope or a loss is not finite. Slopes are clipped to
  [-100, 100].

  Needs: slopes on validation data (`slopes=`)

  Use when: some losses are only there to help others, and a second batch and about two more
  backward passes in a step can be paid. In the library alone: a recipe has no second batch.

  Differs: the authors' code has no bounds; there a λ may become negative, which trains against its
  loss, as lowest=-10 does here.

  Differs: the authors' code takes the slopes by finite differences of the losses along ∂V/∂θ, which
  costs two forward passes; mlseg differentiates V through the step, which is exact.

  Source: Liu et al. 2022, TMLR, arXiv 2202.03091.

  Args:
    initial: the first λ, in [lowest, highest].
    lowest: the lower bound of λ.
    highest: the upper bound of λ.
    optimizer: of λ; optax.adam(1e-4) by default.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `update`, where there are not K slopes.

  Example:
    The second loss leads away from what the validation data want:

    >>> from mlseg import weighting as w
    >>> def loss_fn(x, target):
    ...   return {"main": (x - target) ** 2, "other": (x + 1.0) ** 2}, None
    >>> method = w.auto_lambda(optimizer=optax.adam(0.01))
    >>> compute = jax.jit(w.losses_and_gradients(loss_fn, method))
    >>> move = lambda x, gradient: x - 0.1 * gradient  # the step of the optimiser of x
    >>> x = jnp.zeros(())
    >>> state = method.init(loss_fn(x, 0.0)[0])
    >>> for target, validation in ((1.0, 1.1), (0.9, 1.0)):
    ...   slopes = w.validation_slopes(
    ...     loss_fn, x, state.parameters, (target,), (validation,), move=move,
    ...     primary={"main": 1.0, "other": 0.0},
    ...   )
    ...   result, state = compute(x, state, target, slopes=slopes)
    ...   x = move(x, result.gradients)
    >>> {name: round(float(weight), 3) for name, weight in result.weights.items()}
    {'main': 0.12, 'other': 0.08}
  """
  check_number("lowest", lowest, -1e6, 1e6)
  check_number("highest", highest, lowest, 1e6)
  check_number("initial", initial, lowest, highest)

  def init(losses: Losses) -> LearnedState:
    return start(jnp.full(num_losses(losses), initial, state_dtype(losses)), optimizer)

  def update(
    losses, state, *, weights=None, gram=None, key=None, present=None, slopes=None, **extra
  ):
    del weights, gram, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    if slopes is None:
      return unravel(jnp.asarray(state.parameters)), state
    gradient, _ = ravel(slopes)
    if gradient.size != vector.size:
      raise ValueError(f"slopes: must be {vector.size} numbers, one per loss, got {gradient.size}")
    gradient = only(gradient.astype(vector.dtype), mask)
    known = jnp.where(all_finite(gradient), vector, jnp.inf)
    next_state = descend(state, gradient, known, optimizer, lowest, highest, mask)
    return unravel(next_state.parameters), next_state

  return LossWeighting(init, update)


def validation_slopes(
  loss_fn: LossFunction,
  params: PyTree,
  weights: Weights,
  args: tuple,
  validation_args: tuple,
  *,
  move: Callable[[PyTree, PyTree], PyTree],
  primary: Weights | None = None,
) -> jax.Array:
  """Returns how the losses of validation data change with the weights of one step of training.

  Formula: ∂/∂w_k Σ_j c_j L_j(θ'; validation), θ' = move(θ, Σ_k w_k ∂L_k(θ; training)/∂θ)

  The gradient is linear in the weights, so no second derivative of a loss is needed: the cost is
  one step on the training data, one on the validation data, and the product of the former's
  Jacobian with a vector. The derivative goes through `move`, which may be any step of optax.

  Args:
    loss_fn: as in `losses_and_gradients`: `loss_fn(params, *args) -> (losses, aux)`.
    params: θ.
    weights: w, [K] or in the structure of the losses, such as the `parameters` of the state of
      `auto_lambda`.
    args: of the loss function: the training data.
    validation_args: of the loss function: data that the step does not see.
    move: `move(params, gradient) -> params`, the step that the optimiser would take.
    primary: c, the factors of the losses that matter: one number, or K in the order of
      `jax.tree.leaves`, or a pytree like the losses; None for 1. A loss whose factor is 0 may
      have any value, but its derivative has to be finite.

  Returns:
    [K].

  Raises:
    ValueError: where weights or factors do not fit the losses.

  Example:
    >>> loss_fn = lambda x, target: (jnp.stack([(x - target) ** 2, x]), None)
    >>> move = lambda x, gradient: x - 0.5 * gradient
    >>> weights = jnp.array([0.5, 0.0])
    >>> validation_slopes(
    ...   loss_fn, jnp.float32(2.0), weights, (0.0,), (0.0,), move=move, primary=(1.0, 0.0)
    ... ).tolist()  # x' = 2 - 0.5 (0.5 · 4) = 1; -0.5 · 2 x' · (4, 1)
    [-4.0, -1.0]
  """
  losses, pull_back, _ = jax.vjp(lambda p: loss_fn(p, *args), params, has_aux=True)
  vector, unravel = ravel(losses)
  factors = jnp.asarray(per_loss("primary", 1.0 if primary is None else primary, losses))
  factors = factors.astype(vector.dtype)

  def after_step(values):
    (gradient,) = pull_back(unravel(values))
    found, _ = ravel(loss_fn(move(params, gradient), *validation_args)[0])
    return (factors * jnp.where(factors == 0, 0, found)).sum()

  values = ravel(weights)[0].astype(vector.dtype)
  if values.size != vector.size:
    raise ValueError(f"weights: must be {vector.size} numbers, one per loss, got {values.size}")
  return jax.grad(after_step)(values)
