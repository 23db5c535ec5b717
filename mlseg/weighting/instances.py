"""One loss for every example, or group of examples: hundreds, each with a weight of its own."""

from collections.abc import Callable
from typing import Any

import jax

from mlseg.weighting.base import LossWeighting
from mlseg.weighting.gradients import LossesAndGradients
from mlseg.weighting.stacked import gram_of

PyTree = Any


def instance_losses_and_gradients(
  loss_fn: Callable[..., jax.Array], weighting: LossWeighting
) -> Callable[..., tuple[LossesAndGradients, PyTree]]:
  """Returns a function that weights the loss of every example and differentiates their sum.

  The K losses are those of K examples, so a method that compares gradients, such as `upgrad`, finds
  a step that is no conflict for any example, or, as `krum`, leaves out examples that do not fit the
  others. The gradients of the examples are computed side by side, one example each, and the
  weighted sum by a further backward pass of the batch. The time of `upgrad` and `cagrad` grows with
  the cube of K, so they are for some hundred examples; `mgda` and `krum` are tested with 1,024.

  A network must treat examples independently: a batch normalisation that is trained does not.

  Args:
    loss_fn: `loss_fn(params, example, *args) -> loss`, a scalar; an example is a pytree without
      the axis of the batch. Of groups of examples it is the loss of a group.
    weighting: decides K weights, for losses that are one array [K].

  Returns:
    `compute(params, weighting_state, batch, *args, key=None, present=None, **extra) ->
    (LossesAndGradients, weighting_state)`, the examples along the first axis of the batch. `losses`
    and `weights` are [K], and `aux` is None. `weighting.init` takes an array [K].

  Example:
    >>> import jax.numpy as jnp
    >>> from mlseg import weighting as w
    >>> def loss_fn(params, example):
    ...   return (params @ example["x"] - example["y"]) ** 2
    >>> batch = {"x": jnp.eye(3), "y": jnp.array([1.0, 1.1, 50.0])}  # the last label is wrong
    >>> method = w.krum(num_selected=2)
    >>> compute = jax.jit(instance_losses_and_gradients(loss_fn, method))
    >>> result, _ = compute(jnp.zeros(3), method.init(jnp.zeros(3)), batch)
    >>> result.weights.tolist()
    [0.5, 0.5, 0.0]
  """

  def compute(params, weighting_state, batch, *args, key=None, **extra):
    def losses_of(params):
      return jax.vmap(lambda example: loss_fn(params, example, *args))(batch)

    losses, pull_back = jax.vjp(losses_of, params)
    gram = None
    if weighting.needs_gram:
      gradient = jax.grad(loss_fn)
      each = jax.vmap(lambda example: gradient(params, example, *args))(batch)
      gram = gram_of(each)
    weights, state = weighting.update(losses, weighting_state, gram=gram, key=key, **extra)
    (gradients,) = pull_back(weights.astype(losses.dtype))
    return LossesAndGradients(losses, weights, gradients, None), state

  return compute
