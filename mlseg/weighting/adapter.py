"""A loss weighting as an optax transformation of per-loss gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlseg.weighting.base import Losses, LossWeighting, State, Weights, num_losses, ravel
from mlseg.weighting.checks import check_integer
from mlseg.weighting.stacked import (
  check_stacked,
  gram_of,
  mask_of,
  only_present,
  weighted_sum,
  wide_dtype,
)


class CombineGradientsState(NamedTuple):
  """The state of the weighting, and the weights that it decided last."""

  weighting_state: State
  weights: Weights  # in the structure of the losses; 1/K before the first update


def combine_gradients(
  weighting: LossWeighting, losses: int | Losses
) -> optax.GradientTransformationExtraArgs:
  """Returns an optax transformation from the gradients of K losses to that of their weighted sum.

  Formula: Σ_k w_k g_k with w = weighting(L, ⟨g_i, g_j⟩)

  The updates that it takes have the structure of the parameters, with the losses along the first
  axis of every leaf, as `jax.jacrev` of a function that returns losses [K] gives them. The updates
  that it returns have the shapes and dtypes of the parameters. `update` needs `losses=`, the K
  losses; the gradients are in the order of `jax.tree.leaves(losses)`. It passes `key=` and other
  extra arguments to the weighting. With `present=`, which losses the step has, as bools in the
  structure of the losses or [K], the gradients of absent losses count as 0, whatever they are. If
  the weighting needs a Gram matrix, it is computed from all leaves, unless one is given as `gram=`.

  A gradient that is not finite makes the sum not finite, but not the state of the weighting. So
  wrap the transformations after this one in `optax.apply_if_finite`, not the whole chain.

  How it works together with other wrappers of optax:

  - `optax.partition` (`multi_transform`): every group has its own weights, from its own gradients.
    So the shared parameters can follow a method that compares gradients, while the heads of single
    losses follow the plain sum. `optax.masked` is not enough: a masked leaf keeps the axis of
    losses.
  - `optax.MultiSteps` after this: each micro-batch is combined with weights from its own losses,
    and the sums are averaged. With weights that do not change this is the whole batch.
  - `optax.MultiSteps` around the chain: the gradients of each loss are averaged, and combined once.
    This equals the whole batch for any weighting, if the `losses` given with the last micro-batch
    are the means over all of them. Its accumulator needs the axis of the losses: see the example.
  - `optax.inject_hyperparams` around a function that makes the chain works for the hyper-parameters
    of the other transformations. Those of a weighting are checked when it is made, so they must be
    Python numbers.

  Args:
    weighting: decides the weights.
    losses: K, where the losses are one array [K]; otherwise a pytree in the structure of the losses
      (its values do not matter). The weighting gets the losses in float32, or in float64 where a
      parameter is float64.

  Returns:
    A GradientTransformationExtraArgs whose state has the last weights, for logs.

  Raises:
    ValueError: where there are no losses; in `update`, where the losses or gradients have another
      structure or another number of losses.

  Example:
    As part of a whole optimiser:

    >>> from mlseg.weighting import fixed
    >>> def losses_of(params):
    ...   return jnp.stack([(params["x"] ** 2).sum(), jnp.abs(params["y"] - 1.0).sum()])
    >>> params = {"x": jnp.array([1.0, 2.0]), "y": jnp.array(0.0)}
    >>> def descend(optimizer, state):
    ...   gradients, losses = jax.jacrev(losses_of)(params), losses_of(params)
    ...   updates, state = optimizer.update(gradients, state, params, losses=losses)
    ...   return {name: update.tolist() for name, update in updates.items()}, state
    >>> combine = combine_gradients(fixed((1.0, 3.0)), 2)
    >>> optimizer = optax.chain(combine, optax.sgd(0.5))
    >>> updates, state = descend(optimizer, optimizer.init(params))
    >>> updates, state[0].weights.tolist()
    ({'x': [-1.0, -2.0], 'y': 1.5}, [1.0, 3.0])

    With other weights for one part of the parameters:

    >>> plain = combine_gradients(fixed(), 2)
    >>> split = optax.partition({"x": combine, "y": plain}, {"x": "x", "y": "y"})
    >>> optimizer = optax.chain(split, optax.sgd(0.5))
    >>> descend(optimizer, optimizer.init(params))[0]
    {'x': [-1.0, -2.0], 'y': 0.5}

    With two micro-batches, combined one by one, and then together:

    >>> accumulated = optax.MultiSteps(optax.sgd(0.5), 2)
    >>> optimizer = optax.chain(combine, accumulated.gradient_transformation())
    >>> _, state = descend(optimizer, optimizer.init(params))
    >>> descend(optimizer, state)[0]
    {'x': [-1.0, -2.0], 'y': 1.5}

    >>> from mlseg.weighting import stacked_zeros
    >>> optimizer = optax.MultiSteps(optax.chain(combine, optax.sgd(0.5)), 2)
    >>> state = optimizer.init(params)._replace(acc_grads=stacked_zeros(params, 2))
    >>> _, state = descend(optimizer, state)
    >>> descend(optimizer, state)[0]
    {'x': [-1.0, -2.0], 'y': 1.5}

    With a learning rate that can be changed in the state:

    >>> make = lambda learning_rate: optax.chain(combine, optax.sgd(learning_rate))
    >>> optimizer = optax.inject_hyperparams(make)(learning_rate=0.5)
    >>> state = optimizer.init(params)
    >>> state.hyperparams["learning_rate"] = 0.25
    >>> descend(optimizer, state)[0]
    {'x': [-0.5, -1.0], 'y': 0.75}
  """
  if isinstance(losses, int):
    check_integer("losses", losses, 1)
    losses = np.zeros(losses)
  number, shapes = num_losses(losses), jax.tree.map(np.shape, losses)

  def init(params):
    dtype = wide_dtype(params)
    uniform = jax.tree.map(lambda loss: jnp.full(np.shape(loss), 1 / number, dtype), losses)
    return CombineGradientsState(weighting.init(uniform), uniform)

  def update(updates, state, params=None, *, losses, gram=None, key=None, present=None, **extra):
    del params
    check_stacked(updates, number)
    given = jax.tree.map(np.shape, losses)
    if given != shapes:
      raise ValueError(f"losses: must have shapes {shapes}, got {given}")
    losses = jax.tree.map(lambda loss: jnp.asarray(loss, wide_dtype(updates)), losses)
    updates = only_present(updates, mask_of(number, losses, present))
    if weighting.needs_gram and gram is None:
      gram = gram_of(updates)
    weights, weighting_state = weighting.update(
      losses, state.weighting_state, gram=gram, key=key, present=present, **extra
    )
    combined = weighted_sum(ravel(weights)[0], updates)
    return combined, CombineGradientsState(weighting_state, weights)

  return optax.GradientTransformationExtraArgs(init, update)
