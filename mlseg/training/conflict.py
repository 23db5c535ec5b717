"""The cosines between the gradients of the losses, measured while a model trains."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mlseg.metrics import gradient_cosines
from mlseg.training.step import Scalars, TrainState
from mlseg.weighting.base import LossWeighting
from mlseg.weighting.gradients import LossFunction, losses_and_gradients

PyTree = Any


def make_cosines(
  loss_fn: LossFunction,
  num_microbatches: int = 1,
  present: Callable[[PyTree], Scalars] | None = None,
) -> Callable[[TrainState, PyTree], jax.Array]:
  """Returns `cosines(state, batch) -> [K, K]`, the cosines between the gradients of K losses.

  The gradients are those that the next step of training would have on this batch: of the unweighted
  losses, in training mode, with respect to all parameters of the network, wherever the weighting
  compares gradients, and whether it does. A parameter that one loss alone depends on, as in a head
  of its own, makes that loss' gradient longer: cosines come nearer to 0, and keep their sign. It
  costs a forward pass, K backward passes, and the memory of K gradients.

  Args:
    loss_fn: as in `make_step`.
    num_microbatches: parts in which a batch goes through the network; the gradients are those of
      the whole batch.
    present: which losses a batch has, bool scalars in the structure of the losses; None: all.

  Returns:
    The function; its losses are in the order of `jax.tree.leaves`, for a dict that of sorted names.
    Its values are nan where the batch does not have a loss, or a gradient is not finite.
  """
  compute = losses_and_gradients(loss_fn, _GRAM, num_microbatches=num_microbatches)

  def cosines(state: TrainState, batch: PyTree) -> jax.Array:
    model_state = {name: v for name, v in state.variables.items() if name != "params"}
    _, gram = compute(state.variables["params"], None, model_state, batch)
    known = jnp.isfinite(jnp.diagonal(gram))
    if present is not None:
      known &= jnp.stack(jax.tree.leaves(present(batch)))
    return jnp.where(known[:, None] & known[None, :], gradient_cosines(gram), jnp.nan)

  return cosines


def _update(losses: PyTree, state: None, *, gram: jax.Array, **_: Any) -> tuple[PyTree, jax.Array]:
  """Returns weights of 1, whose gradient nothing reads, and the Gram matrix as the next state."""
  return jax.tree.map(jnp.ones_like, losses), gram


# `losses_and_gradients` gives the Gram matrix to the weighting alone, so this one hands it on.
_GRAM = LossWeighting(lambda losses: None, _update, needs_gram=True)
