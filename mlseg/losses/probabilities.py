"""From logits to probabilities, the same way in every loss, so that XLA computes them once."""

import jax
import jax.numpy as jnp

# Differences of logits must not overflow: float32 ends at 3.4e38.
_LARGEST_LOGIT = 1e30


def check_shapes(logits: jax.Array, masks: jax.Array, valid: jax.Array | None) -> None:
  """Refuses arguments that would broadcast to a wrong loss in silence.

  Args:
    logits: [B, H, W, C].
    masks: [B, H, W, C].
    valid: [B, H, W], or None.

  Raises:
    ValueError: where a shape is not that one, or C < 2.

  Example:
    >>> import jax.numpy as jnp
    >>> check_shapes(jnp.zeros([1, 4, 4, 1]), jnp.zeros([1, 4, 4, 1]), None)
    Traceback (most recent call last):
    ...
    ValueError: logits: must be [B, H, W, C] with C >= 2, got (1, 4, 4, 1)
  """
  if logits.ndim != 4 or logits.shape[-1] < 2:
    raise ValueError(f"logits: must be [B, H, W, C] with C >= 2, got {logits.shape}")
  if masks.shape != logits.shape:
    raise ValueError(f"masks: must have the shape of logits {logits.shape}, got {masks.shape}")
  if valid is not None and valid.shape != logits.shape[:3]:
    raise ValueError(f"valid: must be [B, H, W] = {logits.shape[:3]}, got {valid.shape}")


def log_probabilities(logits: jax.Array) -> jax.Array:
  """Returns the logarithm of the softmax over classes, finite for every logit but NaN.

  Args:
    logits: [..., C], any floating dtype.

  Returns:
    [..., C], float32 (float64 where the logits are).

  Example:
    >>> import jax.numpy as jnp
    >>> log_probabilities(jnp.array([jnp.inf, 0.0])).tolist()
    [0.0, -1.0000000150474662e+30]
  """
  return jax.nn.log_softmax(_at_least_float32(logits))


def probabilities(logits: jax.Array) -> jax.Array:
  """Returns the softmax over classes, finite for every logit but NaN.

  Args:
    logits: [..., C], any floating dtype.

  Returns:
    [..., C] in [0, 1], float32 (float64 where the logits are).

  Example:
    >>> import jax.numpy as jnp
    >>> probabilities(jnp.zeros(4, jnp.bfloat16)).tolist()
    [0.25, 0.25, 0.25, 0.25]
  """
  return jax.nn.softmax(_at_least_float32(logits))


def _at_least_float32(logits: jax.Array) -> jax.Array:
  wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  return jnp.clip(wide, -_LARGEST_LOGIT, _LARGEST_LOGIT)
