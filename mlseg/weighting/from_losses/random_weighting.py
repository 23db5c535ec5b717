"""Weights drawn at random at every step."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, LossWeighting, normalize, num_losses
from mlseg.weighting.checks import check_integer
from mlseg.weighting.presence import only, ravel_present


class RandomWeightingState(NamedTuple):
  """The number of steps, from which the keys of the draws follow."""

  num_updates: jax.Array  # [], int32: those with a loss


def random_weighting(
  distribution: Literal[
    "normal", "uniform", "dirichlet", "bernoulli", "constrained_bernoulli"
  ] = "normal",
  seed: int = 0,
) -> LossWeighting:
  """Weights losses by random numbers, drawn anew at every step.

  Formula: w = softmax(z), z_k ~ N(0, 1)

  The other distributions: 'uniform', the softmax of numbers from [0, 1); 'dirichlet', uniform over
  all weights that sum to 1; 'bernoulli', equal weights for a random non-empty subset of the losses,
  all subsets being equally likely; 'constrained_bernoulli', one loss alone.

  The weights do not depend on the losses, so a loss may have any value, NaN too.

  Models that are trained side by side under `vmap` need a key each. Without a key, the seed and the
  number of the step decide the weights, which are then the same for all models.

  Needs: losses, key

  Use when: a baseline is wanted for methods that adapt weights: a method that is not better than
  random weights does not help.

  Differs: the authors' code takes the softmax of Dirichlet draws too, and does not normalise
  Bernoulli draws; here Dirichlet draws are the weights, and Bernoulli draws are divided by their
  sum.

  Source: Lin et al. 2022, TMLR, arXiv 2111.10603.

  Args:
    distribution: 'normal', 'uniform', 'dirichlet', 'bernoulli' or 'constrained_bernoulli'.
    seed: of the draws where `update` is given no key.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = random_weighting("constrained_bernoulli")
    >>> losses = jnp.zeros(3)
    >>> weights, state = weighting.update(losses, weighting.init(losses), key=jax.random.key(1))
    >>> sorted(weights.tolist())
    [0.0, 0.0, 1.0]

    Four models side by side, with one state for all, without keys and with a key for each:

    >>> draw = lambda key: weighting.update(losses, state, key=key)[0].argmax()
    >>> jax.vmap(lambda model: draw(None))(jnp.arange(4)).tolist()
    [2, 2, 2, 2]
    >>> jax.vmap(draw)(jax.random.split(jax.random.key(0), 4)).tolist()
    [1, 2, 0, 0]
  """
  if distribution not in _DRAWS:
    raise ValueError(f"distribution: choose from {', '.join(_DRAWS)}; got {distribution!r}")
  check_integer("seed", seed, 0)
  draw = _DRAWS[distribution]

  def init(losses: Losses) -> RandomWeightingState:
    num_losses(losses)
    return RandomWeightingState(jnp.zeros((), jnp.int32))

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, extra
    vector, unravel, present = ravel_present(losses, present)
    drawn = draw(step_key(key, seed, state.num_updates), vector.size, vector.dtype, present)
    counted = 1 if present is None else present.any().astype(jnp.int32)
    return unravel(drawn), RandomWeightingState(state.num_updates + counted)

  return LossWeighting(init, update)


def step_key(key: jax.Array | None, seed: int, step: jax.Array) -> jax.Array:
  """Returns the given key, or where it is None, a key for the step.

  Args:
    key: a random key or None.
    seed: of the keys of all steps.
    step: [], integer.

  Example:
    >>> key = jax.random.key(3)
    >>> bool(step_key(key, 0, jnp.int32(5)) == key)
    True
  """
  return jax.random.fold_in(jax.random.key(seed), step) if key is None else key


def _normal(key, size, dtype, present):
  return jax.nn.softmax(jax.random.normal(key, (size,), dtype), where=present)


def _uniform(key, size, dtype, present):
  return jax.nn.softmax(jax.random.uniform(key, (size,), dtype), where=present)


def _dirichlet(key, size, dtype, present):
  # Exponential variables over their sum are uniform over the simplex.
  return normalize(jax.random.exponential(key, (size,), dtype), present)


def _bernoulli(key, size, dtype, present):
  # The lowest index of the subset is drawn first, so that no draw has to be repeated.
  first_key, rest_key = jax.random.split(key)
  indices, _ = _number(size, present)
  logits = -jnp.log(2.0) * indices.astype(jnp.float32)
  first = indices[jax.random.categorical(first_key, only(logits, present, -jnp.inf))]
  rest = jax.random.bernoulli(rest_key, shape=(size,))
  is_in_subset = (indices == first) | ((indices > first) & rest)
  return normalize(is_in_subset.astype(dtype), present)


def _constrained_bernoulli(key, size, dtype, present):
  indices, number = _number(size, present)
  return (indices == jax.random.randint(key, (), 0, number)).astype(dtype)


def _number(size, present):
  """Returns the index of each loss among the present ones, -1 if absent, and their number."""
  if present is None:
    return jnp.arange(size), size
  number = present.astype(int)  # the dtype of the draws
  return jnp.where(present, jnp.cumsum(number) - 1, -1), jnp.maximum(number.sum(), 1)


_DRAWS: dict[str, Callable] = {
  "normal": _normal,
  "uniform": _uniform,
  "dirichlet": _dirichlet,
  "bernoulli": _bernoulli,
  "constrained_bernoulli": _constrained_bernoulli,
}
