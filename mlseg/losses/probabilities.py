"""From logits to probabilities. All losses use these functions, so that XLA computes them once."""

from typing import Literal

import jax
import jax.numpy as jnp

Activation = Literal["softmax", "sigmoid"]

# So that differences of logits do not overflow: the largest float32 is 3.4e38.
_LARGEST_LOGIT = 1e30


def check_shapes(
  logits: jax.Array, masks: jax.Array, valid: jax.Array | None, activation: str = "softmax"
) -> None:
  """Raises where shapes do not fit, which could otherwise broadcast to a wrong loss.

  Args:
    logits: [B, ..., C].
    masks: [B, ..., C].
    valid: [B, ...], or None.
    activation: 'softmax', for which C is at least 2, or 'sigmoid'.

  Raises:
    ValueError: where a shape is another one, or the activation is unknown.

  Example:
    >>> import jax.numpy as jnp
    >>> check_shapes(jnp.zeros([1, 4, 4, 1]), jnp.zeros([1, 4, 4, 1]), None)
    Traceback (most recent call last):
    ...
    ValueError: logits: must be [B, ..., C], with spatial axes and C >= 2, got (1, 4, 4, 1)
  """
  if activation not in ("softmax", "sigmoid"):
    raise ValueError(f"activation: choose from sigmoid, softmax; got {activation!r}")
  smallest = 2 if activation == "softmax" else 1
  if logits.ndim < 3 or logits.shape[-1] < smallest:
    rule = f"must be [B, ..., C], with spatial axes and C >= {smallest}"
    raise ValueError(f"logits: {rule}, got {logits.shape}")
  if masks.shape != logits.shape:
    raise ValueError(f"masks: must have the shape of logits {logits.shape}, got {masks.shape}")
  if valid is not None and valid.shape != logits.shape[:-1]:
    raise ValueError(f"valid: must be [B, ...] = {logits.shape[:-1]}, got {valid.shape}")


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
  return jax.nn.log_softmax(finite_logits(logits))


def probabilities(logits: jax.Array, activation: Activation = "softmax") -> jax.Array:
  """Returns the softmax over classes or the sigmoid of each, finite for every logit but NaN.

  Args:
    logits: [..., C], any floating dtype.
    activation: 'softmax', if each pixel has one class; 'sigmoid', if it may have any number.

  Returns:
    [..., C] in [0, 1], float32 (float64 where the logits are).

  Example:
    >>> import jax.numpy as jnp
    >>> probabilities(jnp.zeros(4, jnp.bfloat16)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    >>> probabilities(jnp.zeros(4), "sigmoid").tolist()
    [0.5, 0.5, 0.5, 0.5]
  """
  function = jax.nn.softmax if activation == "softmax" else jax.nn.sigmoid
  return function(finite_logits(logits))


def finite_logits(logits: jax.Array) -> jax.Array:
  """Returns the logits in float32 (float64 where they are), infinite ones replaced by ±1e30.

  Args:
    logits: any shape, any floating dtype.

  Example:
    >>> import jax.numpy as jnp
    >>> finite_logits(jnp.array([0.5, -jnp.inf])).tolist()
    [0.5, -1.0000000150474662e+30]
  """
  wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  return jnp.clip(wide, -_LARGEST_LOGIT, _LARGEST_LOGIT)


def foreground(array: jax.Array, include_background: bool) -> jax.Array:
  """Returns the classes that a loss averages over: all, or all but class 0.

  Args:
    array: [..., C].
    include_background: whether class 0 stays.

  Raises:
    ValueError: where no class would be left.

  Example:
    >>> import jax.numpy as jnp
    >>> foreground(jnp.arange(3), False).tolist()
    [1, 2]
  """
  if include_background:
    return array
  if array.shape[-1] < 2:
    raise ValueError("include_background: must be True where there is one class, got False")
  return array[..., 1:]


def power(base: jax.Array, exponent: float) -> jax.Array:
  """Returns base ** exponent for base >= 0, with finite derivatives at 0.

  Args:
    base: any shape, not negative.
    exponent: not negative.

  Example:
    >>> import jax, jax.numpy as jnp
    >>> jax.grad(power)(0.0, 0.5).tolist()
    0.0
  """
  if float(exponent).is_integer():
    return base ** int(exponent)  # much cheaper than a general power, and differentiable at 0
  # The derivative of a fractional power may be infinite at 0, where the loss itself is flat.
  floor = 1e-12
  return jnp.where(base > floor, jnp.maximum(base, floor) ** exponent, jnp.zeros_like(base))
