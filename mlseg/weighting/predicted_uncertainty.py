"""Uncertainty weighting with a variance for every example, which the network predicts."""

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.weighting.base import Weights, state_dtype
from mlseg.weighting.checks import check_number
from mlseg.weighting.learned.uncertainty import check_kind, factors_of
from mlseg.weighting.learned_state import MAX_LOG


def predicted_uncertainty(
  losses: jax.Array,
  log_variances: jax.Array,
  kind: Weights = "regression",
  *,
  limit: float = MAX_LOG,
  valid: jax.Array | None = None,
) -> jax.Array:
  """Returns K losses of a batch, each example weighted by the variance that is predicted for it.

  Formula: L_k = mean_i (e^(-s_ik) L_ik / 2 + s_ik / 2), with s_ik = log σ_ik² from the network

  This is `uncertainty` with a variance per example instead of one for all. The s are outputs of the
  network, such as those of one more head, and are learned with it: an example whose loss stays
  large, as that of a doubtful label, gets a large σ and counts less. For 'regression' the smallest
  value is at σ_ik² = L_ik. The other kinds are those of `uncertainty`: 'classification', e^-s L +
  s/2, and 'doubled', e^-s L + s.

  The K results are losses of `losses_and_gradients`, under `fixed` or any other weighting. They may
  be negative.

  An s beyond the limit counts as the limit, and its derivative there is 0 if it leads further out,
  so a prediction can come back and does not run away. Losses up to 1e29 with any s give finite
  values and derivatives. Where the mean over pixels is wanted, L and s are of pixels: all axes but
  the last are examples.

  Args:
    losses: L, [..., K]: of each example, not reduced.
    log_variances: s, [..., K], in the shape of the losses.
    kind: 'regression', 'classification' or 'doubled': one for all losses, or K.
    limit: of |s|, in (0, 20].
    valid: [...] or [..., K]: which losses count, as bools or as factors; None: all. Those that do
      not count may have any value.

  Returns:
    [K], float32 (float64 where the losses are): the means over the losses that count; 0 where none
    does.

  Raises:
    ValueError: where an argument is out of its range or shapes do not fit.

  Source: Kendall & Gal 2017, NeurIPS, arXiv 1703.04977, for one loss; as an extension of weights
  for several losses it is named by BenTaieb & Hamarneh 2017, "Uncertainty Driven Multi-Loss Fully
  Convolutional Networks for Histopathology".

  Example:
    >>> losses = jnp.array([[1.0], [4.0]])  # two examples, one loss
    >>> log_variances = jnp.log(jnp.array([[1.0], [4.0]]))
    >>> value = predicted_uncertainty(losses, log_variances)
    >>> print(value.round(4))  # 1/2 + (log 4) / 4
    [0.8466]
    >>> slopes = jax.grad(lambda s: predicted_uncertainty(losses, s).sum())(log_variances)
    >>> slopes.tolist()  # the variances are the best already
    [[0.0], [0.0]]

    With two heads, one for the answer and one for its variance:

    >>> from mlseg import weighting as w
    >>> def loss_fn(params, x, y):
    ...   squares = (x @ params["answer"] - y) ** 2
    ...   return w.predicted_uncertainty(squares, x @ params["log_variance"]), None
    >>> compute = jax.jit(w.losses_and_gradients(loss_fn, w.fixed()))
    >>> params = {"answer": jnp.zeros((3, 2)), "log_variance": jnp.zeros((3, 2))}
    >>> result, _ = compute(params, w.fixed().init(jnp.zeros(2)), jnp.eye(3), jnp.ones((3, 2)))
    >>> result.losses.tolist()
    [0.5, 0.5]
  """
  check_number("limit", limit, 1e-3, MAX_LOG)
  losses, log_variances = jnp.asarray(losses), jnp.asarray(log_variances)
  if losses.ndim < 1 or losses.shape != log_variances.shape:
    raise ValueError(
      "log_variances: must have the shape of the losses [..., K], got"
      f" {log_variances.shape} for {losses.shape}"
    )
  check_kind(kind)
  axes, number = tuple(range(losses.ndim - 1)), losses.shape[-1]
  dtype = state_dtype(jnp.ravel(losses))
  counts = _counts(valid, losses.shape, dtype)
  factor, penalty = (
    jnp.broadcast_to(values, losses.shape) for values in factors_of(kind, np.zeros(number), dtype)
  )
  # Replaced before anything is computed from them, so that their derivatives are 0.
  values = jnp.where(counts > 0, losses.astype(dtype), 1)
  s = jnp.where(counts > 0, log_variances.astype(dtype), 0)
  s = _limited(s, factor, penalty, jax.lax.stop_gradient(values), limit)
  attenuated = factor * jnp.exp(-s) * values + penalty * s
  # Each is divided before the sum, which would be infinite for huge losses.
  totals = counts.sum(axes)
  shares = counts / jnp.broadcast_to(jnp.where(totals > 0, totals, 1), counts.shape)
  return (shares * attenuated).sum(axes)


def _counts(valid: jax.Array | None, shape: tuple[int, ...], dtype: np.dtype) -> jax.Array:
  """Returns how much each loss counts, in the shape of the losses."""
  if valid is None:
    return jnp.ones(shape, dtype)
  counts = jnp.asarray(valid).astype(dtype)
  if counts.shape not in (shape, shape[:-1]):
    raise ValueError(f"valid: must have the shape {shape} or {shape[:-1]}, got {counts.shape}")
  counts = counts if counts.shape == shape else counts[..., None]
  return jnp.broadcast_to(counts, shape)


def _limited(
  s: jax.Array, factor: jax.Array, penalty: jax.Array, losses: jax.Array, limit: float
) -> jax.Array:
  """Returns s within its limit; beyond it, it can be moved inwards alone."""
  inside = jax.lax.stop_gradient(jnp.clip(s, -limit, limit))
  slope = penalty - factor * jnp.exp(-inside) * losses
  outwards = ((s < -limit) & (slope > 0)) | ((s > limit) & (slope < 0))
  # Its value is that of the limit, its derivative that of s; an infinite s has none.
  movable = inside + (s - jax.lax.stop_gradient(s))
  return jnp.where(outwards | jnp.isinf(s), inside, movable)
