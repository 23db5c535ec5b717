"""The convolutions of oneDNN as functions of JAX arrays, with gradients of every order."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.models.layers.onednn import library
from mlseg.process_pool import usable_cpus

Padding = tuple[tuple[int, int], tuple[int, int]]
_IMAGES, _KERNEL, _RESULT = range(3)  # which of the three arrays of a convolution is computed
_LARGEST = 3  # side of the largest depthwise kernel whose gradient oneDNN computes fast
_ROUNDED = ("bfloat16", "fastest")  # values of `jax.default_matmul_precision`
_UNUSED: ContextVar[bool] = ContextVar("_UNUSED", default=False)


class _Options(NamedTuple):
  """What a convolution is, besides its arrays."""

  stride: int
  padding: Padding
  groups: int
  bfloat16: bool  # whether the factors of products are rounded


@contextlib.contextmanager
def unused() -> Iterator[None]:
  """Traces programs without oneDNN, such as those that are written into files."""
  token = _UNUSED.set(True)
  try:
    yield
  finally:
    _UNUSED.reset(token)


def is_used(*arrays: jax.Array) -> bool:
  """Returns whether convolutions of these arrays are computed by oneDNN.

  Args:
    *arrays: images and kernel. They must be float32; wider and narrower types are left to XLA.
  """
  if _UNUSED.get() or any(array.dtype != jnp.float32 for array in arrays):
    return False
  return _is_possible() and library.load().is_used


def describe(num_devices: int = 1) -> str:
  """Returns the version of oneDNN, why it is not used, or '' where nobody asked for it.

  Args:
    num_devices: number of devices among which the batch of a model is divided.
  """
  if jax.default_backend() != "cpu":
    return ""
  found = library.load()
  if found.is_used and num_devices > 1:
    return "oneDNN not used: a batch is divided among devices"
  return found.words


def matmul_precision() -> str | None:
  """Returns what `jax.default_matmul_precision` is here; None where nobody set it."""
  config: Any = jax.config
  return config.jax_default_matmul_precision


def _is_possible() -> bool:
  """Returns whether the arrays of a program that is traced here lie on one CPU device.

  So it is with one device, and within a mesh where each device computes its own part of the arrays,
  as with the strategy 'map'. XLA cannot divide oneDNN's convolutions among devices.
  """
  mesh = jax.sharding.get_abstract_mesh()
  divided = {name for name, size in mesh.shape.items() if size > 1}
  local = bool(mesh.shape) and divided <= set(mesh.manual_axes)
  return jax.default_backend() == "cpu" and (local or jax.device_count() == 1)


def convolve(
  images: jax.Array, kernel: jax.Array, padding: Padding, *, stride: int = 1, groups: int = 1
) -> jax.Array:
  """Returns the cross-correlation of images with a kernel; ask `is_used` first.

  Equal to `lax.conv_general_dilated`, also under `jax.vmap`, one model after the other. Under
  `jax.default_matmul_precision("bfloat16")` the factors of products, also of those of the
  gradients, are rounded to bfloat16, and sums are float32.

  Args:
    images: [B, H, W, I] float32.
    kernel: [kh, kw, I / groups, O] float32.
    padding: ((above, below), (left, right)), numbers of rows and columns of zeros.
    stride: distance of neighbouring results, in pixels.
    groups: number of groups of channels; as many as there are channels: a depthwise convolution.

  Returns:
    [B, H', W', O] float32 with H' = (H + above + below - kh) // stride + 1, and W' likewise.
  """
  rounded = groups == 1 and matmul_precision() in _ROUNDED
  options = _Options(stride, padding, groups, rounded)
  return (_rounded if rounded else _result)(images, kernel, options)


def convolve_transposed(images: jax.Array, kernel: jax.Array) -> jax.Array:
  """Returns the stride-2 'SAME' transposed convolution; ask `is_used` first.

  Equal to `lax.conv_transpose(images, kernel, (2, 2), 'SAME')`: it is the gradient of a convolution
  of stride 2 by its images. Products are rounded as by `convolve`.

  Args:
    images: [B, H, W, I] float32.
    kernel: [k, k, I, O] float32 with k of 2 or 3.

  Returns:
    [B, 2H, 2W, O] float32.
  """
  batch, height, width, _ = images.shape
  side, out = kernel.shape[0], kernel.shape[-1]
  padding = ((0, side - 2), (0, side - 2))
  options = _Options(2, padding, 1, matmul_precision() in _ROUNDED)
  turned = kernel[::-1, ::-1].swapaxes(2, 3)
  return _transposed(images, turned, (batch, 2 * height, 2 * width, out), options)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _transposed(
  images: jax.Array, kernel: jax.Array, shape: tuple[int, ...], options: _Options
) -> jax.Array:
  """Returns `_images_gradient`, whose cotangent is `images` here; both are rounded once."""
  return _images_gradient(kernel, _factor(images, options), shape, options)


def _factor(array: jax.Array, options: _Options) -> jax.Array:
  return array.astype(jnp.bfloat16) if options.bfloat16 else array


def _transposed_forward(images, kernel, shape, options):
  images = _factor(images, options)
  return _images_gradient(kernel, images, shape, options), (images, kernel)


def _transposed_backward(shape, options, residuals, cotangent):
  del shape
  images, kernel = residuals
  cotangent = _factor(cotangent, options)
  return (
    _result(cotangent, kernel, options),
    _kernel_gradient(cotangent, images, kernel.shape, options),
  )


_transposed.defvjp(_transposed_forward, _transposed_backward)


# The sum of cotangent × convolution is linear in images, kernel and cotangent, so that the
# derivatives of each of the three functions below are the other two.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _result(images: jax.Array, kernel: jax.Array, options: _Options) -> jax.Array:
  return _call(images, kernel, _result_shape(images, kernel, options), _RESULT, options)


def _result_backward(options, residuals, cotangent):
  images, kernel = residuals
  return (
    _images_gradient(kernel, cotangent, images.shape, options).astype(images.dtype),
    _kernel_gradient(images, cotangent, kernel.shape, options),
  )


_result.defvjp(lambda *args: (_result(*args), args[:2]), _result_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _rounded(images: jax.Array, kernel: jax.Array, options: _Options) -> jax.Array:
  """Returns `_result` of rounded images, which are kept; the cotangent is rounded once too."""
  return _result(images.astype(jnp.bfloat16), kernel, options)


def _rounded_forward(images, kernel, options):
  images = images.astype(jnp.bfloat16)
  return _result(images, kernel, options), (images, kernel)


def _rounded_backward(options, residuals, cotangent):
  images, kernel = residuals
  cotangent = cotangent.astype(jnp.bfloat16)
  return (
    _images_gradient(kernel, cotangent, images.shape, options),
    _kernel_gradient(images, cotangent, kernel.shape, options),
  )


_rounded.defvjp(_rounded_forward, _rounded_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _images_gradient(
  kernel: jax.Array, cotangent: jax.Array, shape: tuple[int, ...], options: _Options
) -> jax.Array:
  return _call(kernel, cotangent, shape, _IMAGES, options)


def _images_gradient_backward(shape, options, residuals, images):
  del shape
  kernel, cotangent = residuals
  return (
    _kernel_gradient(images, cotangent, kernel.shape, options),
    _result(images, kernel, options).astype(cotangent.dtype),
  )


_images_gradient.defvjp(
  lambda *args: (_images_gradient(*args), args[:2]), _images_gradient_backward
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _kernel_gradient(
  images: jax.Array, cotangent: jax.Array, shape: tuple[int, ...], options: _Options
) -> jax.Array:
  if options.groups > 1 and options.stride == 1 and shape[0] > _LARGEST:
    return _gradient_in_blocks(images, cotangent, shape, options)
  return _call(images, cotangent, shape, _KERNEL, options)


def _kernel_gradient_backward(shape, options, residuals, kernel):
  del shape
  images, cotangent = residuals
  return (
    _images_gradient(kernel, cotangent, images.shape, options).astype(images.dtype),
    _result(images, kernel, options).astype(cotangent.dtype),
  )


_kernel_gradient.defvjp(
  lambda *args: (_kernel_gradient(*args), args[:2]), _kernel_gradient_backward
)


def _gradient_in_blocks(
  images: jax.Array, cotangent: jax.Array, shape: tuple[int, ...], options: _Options
) -> jax.Array:
  """Returns the gradient of a large kernel of a depthwise convolution, by blocks of 3×3 taps."""
  side, (height, width) = _LARGEST, cotangent.shape[1:3]
  starts = [range(0, size, side) for size in shape[:2]]
  margins = [
    (before, after + own[-1] + side - size)
    for size, own, (before, after) in zip(shape[:2], starts, options.padding, strict=True)
  ]
  padded = jnp.pad(images, ((0, 0), *margins, (0, 0)))
  block = options._replace(padding=((0, 0), (0, 0)))

  def taps(row: int, column: int) -> jax.Array:
    seen = padded[:, row : row + height + side - 1, column : column + width + side - 1]
    return _call(seen, cotangent, (side, side, *shape[2:]), _KERNEL, block)

  rows = [jnp.concatenate([taps(r, c) for c in starts[1]], axis=1) for r in starts[0]]
  return jnp.concatenate(rows)[: shape[0], : shape[1]]


def _call(
  first: jax.Array, second: jax.Array, shape: Sequence[int], wanted: int, options: _Options
) -> jax.Array:
  """Returns one of images, kernel and result from the other two."""
  call = jax.ffi.ffi_call(
    library.TARGET, jax.ShapeDtypeStruct(tuple(shape), jnp.float32), vmap_method="sequential"
  )
  return call(
    first,
    second,
    wanted=np.int64(wanted),
    stride=np.int64(options.stride),
    padding=np.array(options.padding, np.int64).ravel(),
    groups=np.int64(options.groups),
    bfloat16=options.bfloat16,
    threads=np.int64(_threads()),
  )


def _threads() -> int:
  """Returns the number of threads of one device's call; 0 leaves it to OpenMP."""
  devices = jax.local_device_count()
  return 0 if devices == 1 else max(1, usable_cpus() // devices)


def _result_shape(images: jax.Array, kernel: jax.Array, options: _Options) -> tuple[int, ...]:
  rows, columns = (
    (images.shape[1 + i] + sum(options.padding[i]) - kernel.shape[i]) // options.stride + 1
    for i in range(2)
  )
  return images.shape[0], rows, columns, kernel.shape[-1]
