"""Priority-constrained descent: a primary loss leads, and the others get a share of progress."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import (
  Losses,
  LossWeighting,
  all_finite,
  num_losses,
  state_dtype,
  uniform,
)
from mlseg.weighting.checks import check_integer, check_number
from mlseg.weighting.from_gram.gram import is_finite, normalize, require, some, unit
from mlseg.weighting.from_gram.quadratic import definite, dot, minimize_quadratic
from mlseg.weighting.presence import only, ravel_present


class PriorityConstrainedState(NamedTuple):
  """The moving averages of the squared lengths of the gradients."""

  squares: jax.Array  # [K]
  num_seen: jax.Array  # [K], int32: steps in which the loss was present


def priority_constrained(
  primary: int | str = 0, tau: float = 0.02, decay: float = 0.999, epsilon: float = 1e-8
) -> LossWeighting:
  """Follows the gradient of one loss as closely as the progress of the others allows (PCD).

  Formula: Σ_k w_k g_k = ‖g_1‖ d / ‖d‖, d = argmin ‖d - h_1‖² subject to ⟨h_j, d⟩ ≥ τ ‖h_j‖² for
  all j ≠ 1, h_k = g_k / √(v_k + ε), v_k the moving average of ‖g_k‖² without its bias

  So every other loss gets a share τ of the progress that a step along its own gradient would give,
  and the step is as long as the gradient of the primary loss. Where the constraints contradict each
  other they are dropped: the weight of the primary loss is 1, and the others have 0. All weights
  are 0 where the primary gradient or d is 0. Where an inner product or a loss is not finite, the
  weight of the primary loss is 1. In a step without the primary loss weights are 1/K.

  Needs: Gram matrix

  Use when: one loss is what counts, such as the Dice of the lesion, and others, such as boundary or
  consistency, must not be neglected altogether.

  Differs: TorchJD solves the program in float64 by active sets; here an interior-point method does,
  in the dtype of the losses, and a ridge on the cosines bounds the multipliers.

  Source: "Not all objectives are born equal: priority-constrained descent for hierarchical
  multi-objective optimization", TMLR 2026, arXiv 2606.29521; as in TorchJD's PCD.

  Args:
    primary: the primary loss: its key in a dict of losses, or its index in the order of
      `jax.tree.leaves`.
    tau: τ, in [0, 1].
    decay: of the moving average, in [0, 1).
    epsilon: ε >= 0.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where there is no such loss.

  Example:
    >>> weighting = priority_constrained(tau=0.5)
    >>> losses, gram = jnp.ones(2), jnp.array([[4.0, -1.0], [-1.0, 1.0]])
    >>> weights, _ = weighting.update(losses, weighting.init(losses), gram=gram)
    >>> [round(float(weight), 3) for weight in weights]  # h_1 + h_2 has the cosine 1/2 with h_2
    [1.0, 2.0]
  """
  if not isinstance(primary, str):
    check_integer("primary", primary, 0)
  check_number("tau", tau, 0, 1)
  check_number("decay", decay, 0, 1)
  check_number("epsilon", epsilon, 0)
  if decay == 1:
    raise ValueError("decay: must be below 1, got 1")

  def index_of(losses: Losses) -> int:
    names = sorted(losses) if isinstance(losses, dict) else []
    if isinstance(primary, str):
      if primary not in names:
        raise ValueError(f"primary: losses must be a dict with {primary!r}, got {names or losses}")
      return names.index(primary)
    if primary >= num_losses(losses):
      raise ValueError(f"primary: must be below K = {num_losses(losses)}, got {primary}")
    return primary

  def init(losses: Losses) -> PriorityConstrainedState:
    index_of(losses)
    zeros = jnp.zeros(num_losses(losses), state_dtype(losses))
    return PriorityConstrainedState(zeros, jnp.zeros(zeros.shape, jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, key, extra
    vector, unravel, mask = ravel_present(losses, present)
    first = index_of(losses)
    gram = require(gram, vector, mask)
    enters = is_finite(gram) & all_finite(vector)
    gram = jnp.where(enters, gram, 0)
    next_state = _averaged(state, jnp.diagonal(gram), decay, only(jnp.broadcast_to(
      enters, vector.shape), mask, False))  # fmt: skip
    decided = _decide(gram, _scales(next_state, decay, epsilon), first, tau, some(mask))
    alone = (jnp.arange(vector.size) == first).astype(vector.dtype)
    decided = jnp.where(enters & all_finite(decided), decided, alone)
    if mask is not None:
      decided = jnp.where(mask[first], decided, uniform(vector, mask))
    return unravel(decided), next_state

  return LossWeighting(init, update, needs_gram=True)


def _averaged(
  state: PriorityConstrainedState, squares: jax.Array, decay: float, enters: jax.Array
) -> PriorityConstrainedState:
  moved = decay * state.squares + (1 - decay) * squares
  return PriorityConstrainedState(
    jnp.where(enters, moved, state.squares), state.num_seen + enters.astype(jnp.int32)
  )


def _scales(state: PriorityConstrainedState, decay: float, epsilon: float) -> jax.Array:
  """Returns 1 / √(v_k + ε), [K]; 0 for a gradient that has always been 0."""
  steps = jnp.maximum(state.num_seen, 1).astype(state.squares.dtype)
  bias = -jnp.expm1(steps * jnp.log(jnp.asarray(max(decay, 1e-38), steps.dtype)))
  roots = jnp.sqrt(state.squares / bias + epsilon)
  return jnp.where(roots > 0, 1 / jnp.where(roots > 0, roots, 1), 0)


def _decide(
  gram: jax.Array, scales: jax.Array, first: int, tau: float, present: jax.Array | None
) -> jax.Array:
  """Returns the weights [K], which may be not finite where the gradients are of extreme lengths."""
  eps = float(jnp.finfo(gram.dtype).eps)
  scaled, factor = normalize(gram)
  cosines, lengths = unit(scaled)
  sizes = lengths / jnp.sqrt(factor) * scales  # of the h_k
  sizes = sizes / jnp.where(sizes.max() > 0, sizes.max(), 1)
  others = only((jnp.arange(len(gram)) != first) & (sizes > 0), present, False)
  # The multipliers of unit gradients solve the dual program.
  both = others[:, None] & others[None]
  wanted = jnp.where(others, tau * sizes - sizes[first] * cosines[first], 0)
  some_other = jnp.where(others.any(), others, True)
  parts = minimize_quadratic(definite(jnp.where(both, cosines, 0)), -wanted, present=some_other)
  parts = jnp.where(others, parts, 0)
  reached = dot(jnp.where(both, cosines, 0), parts)
  possible = (reached >= wanted - 0.1 * tau * sizes - 1e-4).all()
  parts = jnp.where(possible, parts, 0).at[first].set(sizes[first])
  squared, largest = (parts * dot(cosines, parts)).sum(), parts.sum() ** 2
  known = (squared > 10 * eps * largest) & (lengths[first] > 0)
  ratio = jnp.where(known, lengths[first] / jnp.sqrt(jnp.where(known, squared, 1)), 0)
  return jnp.where(lengths > 0, parts * ratio / jnp.where(lengths > 0, lengths, 1), 0)
