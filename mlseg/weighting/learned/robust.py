"""The general robust loss as a weighting: losses that are outliers count less, as is learned."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlseg.weighting.base import Losses, LossWeighting, all_finite, num_losses, state_dtype
from mlseg.weighting.checks import check_number
from mlseg.weighting.learned_state import ADAM, MAX_LOG, LearnedState, descend, start
from mlseg.weighting.presence import ravel_present

_SHAPES = (0.001, 1.999)  # the range of a learned shape; at its ends the density has no derivative
_MAX_LOGIT = math.log(_SHAPES[1] / _SHAPES[0])
_MAX_RATIO = 1e30  # of a loss to c², so that it can still be divided by |α - 2|


def robust(
  shape: float = 1.0,
  scale: float = 1.0,
  learn_shape: bool = True,
  learn_scale: bool = True,
  optimizer: optax.GradientTransformation = ADAM,
) -> LossWeighting:
  """Minimises the general robust loss of each loss, read as a square, and learns its parameters.

  Formula: minimise Σ_k ρ(L_k; α_k, c_k) + log c_k + log Z(α_k) over α and c, so w_k = ∂ρ/∂L_k =
  (L_k / (c_k² |α_k - 2|) + 1)^(α_k/2 - 1) / (2 c_k²), ρ as in `general_robust`, Z = ∫ exp(-ρ(x²;
  α, 1)) dx

  So a loss far above c², such as that of a batch with a wrong mask, has a weight below 1/(2c²), and
  the smaller α is, the smaller is the weight. With α fixed at 2 this is `uncertainty`. For each
  loss it learns α = 2 sigmoid(a), in [0.001, 1.999], and log c², in [-20, 20]. Z is integrated
  once, and the derivative of log Z is interpolated in a.

  The weights of a step are those before the step of the optimiser, which needs only the losses.
  Gradients are clipped to [-100, 100]. A negative loss counts as 0. A step with a loss that is not
  finite changes nothing, and its weights are 1/(2c²), as for losses of 0.

  Needs: losses

  Use when: single batches have losses far above the rest; `general_robust` per pixel or per image
  does more, since outliers are lost in the mean over a batch.

  Differs: the author transforms every residual before averaging; a weighting can act on the K means
  only.

  Differs: the author's code fits a spline to log Z, and bounds c below at 1e-5; here log Z is
  integrated numerically, and c is in [e^-10, e^10].

  Source: Barron 2019, CVPR, arXiv 1701.03077, eqs. 8, 16 and 17.

  Args:
    shape: the first value of α: 2 for no robustness, 1 for the root of squares, 0 for their
      logarithm, -2 for Geman & McClure's loss. In [0.001, 1.999]; if not learned, in [0, 2], and if
      the scale is not learned either, in [-10, 2].
    scale: the first value of c, in [1e-4, 1e4]: the size of a usual residual, the root of a loss.
    learn_shape: whether α is learned.
    learn_scale: whether c is learned.
    optimizer: of a and log c²; optax.adam(0.025) by default.

  Returns:
    A LossWeighting. In a chain it replaces what came before.

  Raises:
    ValueError: where an argument is out of its range.

  Example:
    >>> weighting = robust(shape=0.0, learn_shape=False, learn_scale=False)
    >>> losses = jnp.array([0.0, 2.0, 198.0])
    >>> weights, _ = weighting.update(losses, weighting.init(losses))
    >>> [round(float(weight), 4) for weight in weights]
    [0.5, 0.25, 0.005]
  """
  lower, upper = _SHAPES if learn_shape else (0.0 if learn_scale else -10.0, 2.0)
  check_number("shape", shape, lower, upper)
  check_number("scale", scale, 1e-4, 1e4)
  # Parameters that are not learned are clipped to their first value.
  begin = [math.log(shape / (2 - shape)) if learn_shape else 0.0, 2 * math.log(scale)]
  limits = [_MAX_LOGIT if learn_shape else 0.0, MAX_LOG]
  lowest = [-limits[0], -limits[1] if learn_scale else begin[1]]
  highest = [limits[0], limits[1] if learn_scale else begin[1]]

  def init(losses: Losses) -> LearnedState:
    dtype = state_dtype(losses)
    column = jnp.asarray(begin, dtype)[:, None]
    return start(jnp.broadcast_to(column, (2, num_losses(losses))), optimizer)

  def update(losses, state, *, weights=None, gram=None, key=None, present=None, **extra):
    del weights, gram, key, extra
    vector, unravel, present = ravel_present(losses, present)
    logits, log_squares = state.parameters
    shapes = 2 * jax.nn.sigmoid(logits) if learn_shape else jnp.full_like(logits, shape)
    squares = jnp.where(all_finite(vector), jnp.maximum(vector, 0), 0)
    ratios = jnp.minimum(squares * jnp.exp(-log_squares), _MAX_RATIO)
    slopes = _slope(ratios, shapes)
    by_logit = jnp.zeros_like(logits)
    if learn_shape:
      by_logit = _shape_slope(ratios, shapes) * shapes * (1 - shapes / 2) + _partition_slope(logits)
    gradient = jnp.stack([by_logit, 0.5 - ratios * slopes])
    low, high = (jnp.asarray(ends, vector.dtype)[:, None] for ends in (lowest, highest))
    next_state = descend(state, gradient, vector, optimizer, low, high, present)
    return unravel(jnp.exp(-log_squares) * slopes), next_state

  return LossWeighting(init, update, decides_first=True)


def general_robust(
  squares: jax.Array, shape: float | jax.Array, scale: float | jax.Array
) -> jax.Array:
  """Returns the general robust loss of squared residuals x².

  Formula: ρ(x²; α, c) = |α - 2| / α ((x² / (c² |α - 2|) + 1)^(α/2) - 1)

  For α = 2 it is the limit x² / (2c²), and for α = 0 the limit log(x² / (2c²) + 1). It can be
  differentiated with respect to all three arguments, but at these two values not to α.

  Source: Barron 2019, CVPR, arXiv 1701.03077, eq. 8.

  Args:
    squares: x² >= 0, [...].
    shape: α, a number or an array that broadcasts.
    scale: c > 0, a number or an array that broadcasts.

  Example:
    >>> squares = jnp.array([1.0, 8.0])
    >>> for shape in (2.0, 1.0, 0.0):
    ...   print(general_robust(squares, shape, 2.0).round(4))
    [0.125 1.   ]
    [0.118  0.7321]
    [0.1178 0.6931]
  """
  return _rho(squares / scale**2, jnp.asarray(shape, jnp.result_type(squares)), jnp)


def log_partition(shapes: np.ndarray) -> np.ndarray:
  """Returns log Z(α) = log ∫ exp(-ρ(x²; α, 1)) dx.

  Source: Barron 2019, CVPR, arXiv 1701.03077, eq. 17.

  Args:
    shapes: α, [...], in [0, 2].

  Returns:
    [...], float64.

  Example:
    >>> np.exp(log_partition(np.array([0.0, 2.0]))).round(4).tolist()  # π sqrt(2), sqrt(2 π)
    [4.4429, 2.5066]
  """
  # With x = exp(π/2 sinh(u)) the integrand falls as exp(-exp(|u|)), however it falls with x.
  nodes = np.linspace(-4.5, 4.5, 361)
  residuals = np.exp(np.pi / 2 * np.sinh(nodes))
  steps = residuals * np.pi / 2 * np.cosh(nodes) * (nodes[1] - nodes[0])
  densities = np.exp(-_rho(residuals**2, np.asarray(shapes)[..., None], np))
  return np.log(2 * (densities * steps).sum(axis=-1))


@functools.cache
def _partition_table() -> tuple[np.ndarray, np.ndarray]:
  """Returns a grid of logits a of the shape, and d log Z / da there, both [257]."""
  logits, step = np.linspace(-_MAX_LOGIT, _MAX_LOGIT, 257), 1e-4
  above, below = (log_partition(2 / (1 + np.exp(-logits - sign * step))) for sign in (1, -1))
  return logits, (above - below) / (2 * step)


def _partition_slope(logits: jax.Array) -> jax.Array:
  """Returns d log Z / da."""
  grid, slopes = (jnp.asarray(column, logits.dtype) for column in _partition_table())
  return jnp.interp(logits, grid, slopes)


def _rho(ratios: Any, shapes: Any, xp: Any) -> Any:
  """Returns ρ for x²/c²; `xp` is numpy or jax.numpy."""
  is_square, is_logarithm = shapes == 2, shapes == 0
  width = xp.abs(xp.where(is_square, 1, shapes) - 2)
  power = xp.where(is_logarithm, 1, shapes)
  general = width / power * xp.expm1(power / 2 * xp.log1p(ratios / width))
  limit = xp.where(is_square, ratios / 2, xp.log1p(ratios / 2))
  return xp.where(is_square | is_logarithm, limit, general)


def _slope(ratios: jax.Array, shapes: jax.Array) -> jax.Array:
  """Returns ∂ρ/∂(x²/c²)."""
  width = jnp.maximum(jnp.abs(shapes - 2), 1e-6)
  return jnp.exp((shapes / 2 - 1) * jnp.log1p(ratios / width)) / 2


def _shape_slope(ratios: jax.Array, shapes: jax.Array) -> jax.Array:
  """Returns ∂ρ/∂α, for α between 0 and 2."""
  width = 2 - shapes
  base, logs = ratios / width + 1, jnp.log1p(ratios / width)
  grown = jnp.expm1(shapes / 2 * logs)
  within = width / (2 * shapes) * logs + (1 - 1 / base) / 2
  return (grown + 1) * within - 2 / shapes**2 * grown
