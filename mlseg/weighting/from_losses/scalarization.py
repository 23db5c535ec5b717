"""Scalarizations: totals F(L) of the losses that are not weighted sums, as weightings.

The gradient of a total F(L) is Σ_k (∂F/∂L_k) g_k, so its weights are w_k = ∂F/∂L_k.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.weighting.base import (
  EmptyState,
  Losses,
  LossWeighting,
  Weights,
  all_finite,
  shrink,
  state_dtype,
  uniform,
)
from mlseg.weighting.checks import check_number, check_per_loss, per_loss
from mlseg.weighting.presence import number_of, only, ravel_present


def geometric() -> LossWeighting:
  """Minimises the geometric mean of the losses.

  Formula: w_k = ∂G/∂L_k = G / (K L_k), G = (Π_j L_j)^(1/K)

  Where a loss is not positive or not finite, or a weight is too large for the dtype, weights are
  1/K.

  Needs: losses

  Use when: positive losses of different units should count by their relative changes, without a
  hyper-parameter; not when a loss comes near 0, since its weight then grows without bound.

  Differs: LibMTL reports L_k / (K Π_j L_j) as its weights, which are not the weights of its
  gradient; mlseg gives the weights of the gradient.

  Source: Chennupati et al. 2019, CVPR workshops, arXiv 1904.08492.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Example:
    >>> weighting = geometric()
    >>> losses = jnp.array([1.0, 4.0])
    >>> weights, _ = weighting.update(losses, weighting.init(losses))
    >>> [round(float(weight), 4) for weight in weights]
    [1.0, 0.25]
  """

  def gradient(losses, equal, present):
    positive = (losses > 0).all()
    logs, number = jnp.log(jnp.where(positive, losses, 1)), number_of(losses, present)
    weights = jnp.exp(only(logs, present).sum() / number - logs) / number
    return jnp.where(positive, weights, equal), equal

  return of_gradient(gradient)


def soft_optimal_uncertainty(temperature: float | None = 1.0) -> LossWeighting:
  """Weights losses by the softmax of their inverses, the optimal weights of uncertainty weighting.

  Formula: w_k = exp(1 / (T L_k)) / Σ_j exp(1 / (T L_j))

  Without a temperature the weights are the inverses themselves, w_k = 1 / L_k, so the total is the
  sum of the logarithms. Where a loss is not positive or not finite, or a weight or 1/L_k is too
  large for the dtype, weights are 1/K.

  Needs: losses

  Use when: the smallest loss is the one to trust most; that loss gets all the weight unless T is of
  the size of 1 / min_k L_k.

  Source: Kirchdorfer et al. 2024, GCPR, arXiv 2408.07985.

  Args:
    temperature: T >= 1e-6, large for uniform weights; None for the inverses without softmax (UW-O).

  Returns:
    A LossWeighting whose weights sum to 1, except without a temperature. In a chain it replaces
    what came before.

  Raises:
    ValueError: where the temperature is out of its range.

  Example:
    >>> weighting = soft_optimal_uncertainty()
    >>> losses = jnp.array([0.5, 1.0])
    >>> weights, _ = weighting.update(losses, weighting.init(losses))
    >>> [round(float(weight), 4) for weight in weights]
    [0.7311, 0.2689]
  """
  if temperature is not None:
    check_number("temperature", temperature, 1e-6)

  def gradient(losses, equal, present):
    inverses = 1 / jnp.where((losses > 0).all(), losses, 1)
    scores = inverses if temperature is None else inverses / temperature
    known = (losses > 0).all() & all_finite(scores)
    weights = scores
    if temperature is not None:
      weights = jax.nn.softmax(jnp.where(known, scores, 0), where=present)
    return jnp.where(known, weights, equal), equal

  return of_gradient(gradient)


def cosmos(preference: Weights | None = None, penalty: float = 1.0) -> LossWeighting:
  """Minimises a weighted sum, minus the cosine between the losses and their preferred ratios.

  Formula: w = ∂/∂L (rᵀL - λ cos(r, L)) = r - λ (r/|r| - cos(r, L) L/|L|) / |L|

  A weight can be negative where a loss is below its preferred share and the losses are small beside
  λ. Where a loss is not finite, all are 0, or a weight is too large for the dtype: w = r.

  Needs: losses

  Use when: the losses should keep given ratios while they fall; not when all of them come near 0,
  where the gradient of the cosine dominates, since it grows as 1/|L|.

  Source: Ruchte & Grabocka 2021, ICDM, arXiv 2103.13392, eq. 5.

  Args:
    preference: r >= 0, one positive: one number for all losses, or K in the order of
      `jax.tree.leaves`, or a pytree like the losses; None for 1/K.
    penalty: λ >= 0, the factor of the cosine.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where the preference does not
      match the losses.

  Example:
    >>> weighting = cosmos((0.5, 0.5))
    >>> losses = jnp.array([1.0, 1.0])
    >>> weights, _ = weighting.update(losses, weighting.init(losses))
    >>> [round(float(weight), 4) for weight in weights]
    [0.5, 0.5]
  """
  check_number("penalty", penalty, 0)

  def gradient(losses, preferred, present):
    (direction, _), (unit, length) = _unit(preferred), _unit(only(losses, present))
    cosine = (direction * unit).sum()
    slope = (direction - cosine * unit) / jnp.where(length > 0, length, 1)
    return jnp.where(length > 0, preferred - penalty * slope, preferred), preferred

  return of_gradient(gradient, preference)


def penalty_boundary_intersection(
  preference: Weights | None = None, theta: float = 5.0
) -> LossWeighting:
  """Minimises the losses along a preferred direction, plus a penalty on their distance from it.

  Formula: w = ∂/∂L (d₁ + θ d₂) = u + θ p / |p|, u = r/|r|, d₁ = uᵀL, p = L - d₁ u, d₂ = |p|

  Weights can be negative: a loss far below its preferred share is raised by the step. The ideal
  point is 0. Where a loss is not finite, or the losses lie on the direction up to rounding: w = u.

  Needs: losses

  Use when: the losses must keep given ratios even if some have to rise; seldom for training, since
  the gradient jumps from one side of the direction to the other.

  Source: Zhang & Li 2007, IEEE TEVC, section II-C.

  Args:
    preference: r >= 0, as in `cosmos`; None for equal losses.
    theta: θ >= 0, the factor of the distance.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range; in `init`, where the preference does not
      match the losses.

  Example:
    >>> weighting = penalty_boundary_intersection((1.0, 0.0))
    >>> losses = jnp.array([3.0, 1.0])
    >>> weighting.update(losses, weighting.init(losses))[0].tolist()
    [1.0, 5.0]
  """
  check_number("theta", theta, 0)

  def gradient(losses, preferred, present):
    (direction, _), (unit, _) = _unit(preferred), _unit(only(losses, present))
    aside, distance = _unit(unit - (direction * unit).sum() * direction)
    on_ray = distance <= 8 * float(jnp.finfo(losses.dtype).eps)
    return direction + theta * jnp.where(on_ray, 0, aside), direction

  return of_gradient(gradient, preference)


def of_gradient(
  gradient: Callable[[jax.Array, jax.Array, jax.Array | None], tuple[jax.Array, jax.Array]],
  preference: Weights | None = None,
) -> LossWeighting:
  """Returns a weighting without state, from the function that gives its weights.

  Args:
    gradient: a function of the losses [K], 1 where absent, of the preference [K], 0 where absent,
      and of the mask of the present losses or None. It returns the weights [K], and the weights [K]
      to use where a loss or a weight is not finite; those of absent losses may be any numbers.
    preference: one number for all losses, or K, or a pytree like the losses; None for 1/K.

  Raises:
    ValueError: where a preference is negative or not finite, or all are 0; in `init`, where they do
      not match the losses.

  Example:
    >>> weighting = of_gradient(lambda losses, preferred, present: (2 * losses, preferred))
    >>> losses = jnp.array([1.0, 3.0])
    >>> weighting.update(losses, weighting.init(losses))[0].tolist()
    [2.0, 6.0]
  """
  check_per_loss("preference", preference, 0)
  if preference is not None and not any(np.any(leaf) for leaf in jax.tree.leaves(preference)):
    raise ValueError(f"preference: must have a positive number, got {preference!r}")

  def init(losses: Losses) -> EmptyState:
    per_loss("preference", preference, losses)
    return EmptyState()

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    decided, neutral = gradient(vector, preferences(preference, losses, present), present)
    useful = all_finite(vector) & all_finite(only(decided, present))
    return unravel(jnp.where(useful, decided, neutral)), state

  return LossWeighting(init, update)


def preferences(
  preference: Weights | None, losses: Losses, present: jax.Array | None = None
) -> jax.Array:
  """Returns the preference of each loss, 0 for an absent one.

  Args:
    preference: one number for all losses, or K, or a pytree like the losses; None for 1/K, where K
      is the number of the present losses.
    losses: a pytree of K scalars, or one array [K].
    present: [K], bool, or None for all.

  Returns:
    [K], in the dtype of `state_dtype`.

  Example:
    >>> preferences(None, jnp.zeros(3), jnp.array([True, False, True])).tolist()
    [0.5, 0.0, 0.5]
  """
  values = jnp.asarray(per_loss("preference", preference, losses), state_dtype(losses))
  if preference is None and present is not None:
    return uniform(values, present)
  return only(values, present)


def _unit(vector: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Returns the vector divided by its length, and the length; zeros where the length is 0."""
  shrunk, factor = shrink(vector)
  largest = jnp.abs(shrunk).max()
  has_length = largest >= float(jnp.finfo(vector.dtype).tiny)
  scaled = jnp.where(has_length, shrunk / jnp.where(has_length, largest, 1), 0)
  norm = jnp.sqrt((scaled**2).sum())
  return scaled / jnp.where(has_length, norm, 1), norm * largest / factor
