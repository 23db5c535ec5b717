"""Krum: the gradient that is nearest to most of the others, so that wrong ones do not count."""

import jax
import jax.numpy as jnp

from mlseg.weighting.base import Losses, LossWeighting, num_losses
from mlseg.weighting.checks import check_integer
from mlseg.weighting.from_gram.gram import Given, from_gram
from mlseg.weighting.presence import number_of, only


def krum(num_wrong: int = 0, num_selected: int = 1, squared: bool = True) -> LossWeighting:
  """Selects the gradients that are nearest to their neighbours, and averages these.

  Formula: w_k = 1/m for the m gradients of the least scores, else 0; the score of k is
  Σ_j ‖g_k - g_j‖² over its K - f - 2 nearest gradients j

  With f = `num_wrong` at least f + 3 gradients are needed, so that those of f wrong losses cannot
  decide; with f = 0 and fewer losses the nearest gradient counts. Of equal scores the first is
  taken. Weights are 1/K where an inner product or a loss is not finite.

  Needs: Gram matrix

  Use when: losses are alike, as those of single examples or of several annotators, and a few may be
  wrong; not for losses of different kinds, of which it would train one alone.

  Differs: TorchJD sums the distances themselves, with squared=False; the paper their squares.

  Source: Blanchard et al. 2017, NeurIPS, "Machine learning with adversaries: Byzantine tolerant
  gradient descent" (Multi-Krum for m > 1).

  Args:
    num_wrong: f >= 0, how many gradients may be wrong.
    num_selected: m >= 1, how many gradients are averaged; at most those that are present.
    squared: whether the score sums squares of distances.

  Returns:
    A LossWeighting whose weights sum to 1. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where there are fewer than
      num_wrong + 3 losses and num_wrong is not 0.

  Example:
    >>> rows = jnp.array([[1.0, 0.0], [1.1, 0.1], [0.9, 0.0], [-9.0, 5.0]])  # the last is wrong
    >>> weighting = krum(num_wrong=1, num_selected=2)
    >>> losses = jnp.ones(4)
    >>> weighting.update(losses, weighting.init(losses), gram=rows @ rows.T)[0].tolist()
    [0.5, 0.0, 0.5, 0.0]
  """
  check_integer("num_wrong", num_wrong, 0)
  check_integer("num_selected", num_selected, 1)

  def neutral(losses: Losses) -> None:
    number = num_losses(losses)
    if num_wrong and number < num_wrong + 3:
      raise ValueError(f"num_wrong: needs {num_wrong + 3} losses for {num_wrong}, got {number}")

  def solve(given: Given) -> jax.Array:
    norms = jnp.diagonal(given.gram)
    squares = jnp.maximum(norms[:, None] + norms[None] - 2 * given.gram, 0)
    distances = squares if squared else jnp.sqrt(squares)
    others = only(~jnp.eye(norms.size, dtype=bool), given.present, False)
    ordered = jnp.sort(jnp.where(others, distances, jnp.inf), axis=1)
    number = number_of(norms, given.present)
    places = jnp.arange(norms.size, dtype=norms.dtype)
    nearest = places < jnp.maximum(number - num_wrong - 2, 1)
    near = nearest[None] & jnp.isfinite(ordered)
    scores = only(jnp.where(near, ordered, 0).sum(axis=1), given.present, jnp.inf)
    ranks = jnp.argsort(jnp.argsort(scores)).astype(norms.dtype)
    selected = jnp.minimum(jnp.asarray(num_selected, norms.dtype), number)
    return jnp.where(ranks < selected, 1 / selected, 0)

  return from_gram(solve, neutral)
