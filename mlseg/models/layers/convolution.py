"""Stride-1 convolutions that stay fast in a compiled loop and under `jax.vmap` over models.

A network mapped over models has one kernel per model. JAX turns that into a grouped convolution,
which is slow on CPUs and, according to reports, on GPUs (jax issues 13800, 26568). Here a
convolution and its gradients are made of two functions, `_correlate` and `_correlate_over_batch`,
each with its own rule for `jax.vmap`.

`materialised`, which other layers use for their results, decides what XLA on the CPU may fuse.
"""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from mlseg.models.layers import onednn

Padding = tuple[tuple[int, int], tuple[int, int]]

_LAYOUT = ("NHWC", "HWIO", "NHWC")


def batched_formulation() -> str:
  """Returns how a convolution runs over several models with different kernels on this platform.

  - 'loop': one model after the other, on a CPU, whose cores one model keeps busy.
  - 'columns': as one matrix product with the model as batch dimension, of the patches of the images
    and the kernels, so that small models fill an accelerator together. It temporarily needs kh kw
    times the memory of the layer's input. A sum of one product per tap would need less memory, but
    read and write the result kh kw times. The choice follows from these counts; it was not measured
    on a GPU.
  """
  return "loop" if jax.default_backend() == "cpu" else "columns"


def convolve(images: jax.Array, kernel: jax.Array, padding: Padding) -> jax.Array:
  """Returns the stride-1 cross-correlation of images with a kernel.

  Equal to `lax.conv_general_dilated`, also under `jax.vmap` of either argument or both.

  Args:
    images: [B, H, W, I].
    kernel: [kh, kw, I, O].
    padding: ((above, below), (left, right)), numbers of rows and columns of zeros.

  Returns:
    [B, H', W', O] with H' = H + above + below - kh + 1, and W' likewise.
  """
  if onednn.is_used(images, kernel):
    return onednn.convolve(images, kernel, padding)
  return _convolve(images, kernel, padding, onednn.matmul_precision())


# The gradients are computed with the precision of the convolution, wherever they are asked for.


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(
  images: jax.Array, kernel: jax.Array, padding: Padding, precision: str | None
) -> jax.Array:
  """Returns `convolve` by XLA."""
  with jax.default_matmul_precision(precision):
    return _correlate(padding)(images, kernel)


def _convolve_forward(images, kernel, padding, precision):
  return _convolve(images, kernel, padding, precision), (images, kernel)


def _convolve_backward(padding, precision, residuals, cotangent):
  images, kernel = residuals
  images_gradient = _images_gradient(cotangent, kernel, padding, precision)
  return images_gradient, _kernel_gradient(images, cotangent, padding, precision)


_convolve.defvjp(_convolve_forward, _convolve_backward)


def _images_gradient(
  cotangent: jax.Array, kernel: jax.Array, padding: Padding, precision: str | None
) -> jax.Array:
  flipped = kernel[::-1, ::-1].swapaxes(2, 3)
  return _convolve(cotangent, flipped, _turned(kernel.shape[:2], padding), precision)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _kernel_gradient(
  images: jax.Array, cotangent: jax.Array, padding: Padding, precision: str | None
) -> jax.Array:
  with jax.default_matmul_precision(precision):
    return _correlate_over_batch(padding)(images, cotangent)


def _kernel_gradient_backward(padding, precision, residuals, kernel):
  # The sum of cotangent × convolution is linear in images, kernel and cotangent, so the derivatives
  # of one of the three functions are the other two.
  images, cotangent = residuals
  return (
    _images_gradient(cotangent, kernel, padding, precision),
    _convolve(images, kernel, padding, precision),
  )


_kernel_gradient.defvjp(
  lambda images, cotangent, *options: (
    _kernel_gradient(images, cotangent, *options),
    (images, cotangent),
  ),
  _kernel_gradient_backward,
)


@functools.cache
def _correlate(padding: Padding) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """Returns the function of (images, kernel) behind `convolve`, with a rule for `jax.vmap`."""

  @jax.custom_batching.custom_vmap
  def correlate(images, kernel):
    return lax.conv_general_dilated(images, kernel, (1, 1), padding, dimension_numbers=_LAYOUT)

  @correlate.def_vmap
  def rule(size, mapped, images, kernel):
    if mapped == [True, False]:  # one kernel: the images of all models become one batch
      out = correlate(images.reshape(-1, *images.shape[2:]), kernel)
      return out.reshape(size, -1, *out.shape[1:]), True
    if mapped == [False, True]:  # the same images: the kernels become one with more channels
      out = correlate(images, _models_into_channels(kernel))
      return _models_out_of_channels(out, size), True
    if batched_formulation() == "loop":
      return lax.map(lambda pair: correlate(*pair), (images, kernel)), True
    columns = jax.vmap(lambda x: _columns(x, kernel.shape[1:3], padding))(images)
    flat = kernel.reshape(size, 1, 1, -1, kernel.shape[-1])
    return jnp.matmul(columns, flat), True

  return correlate


@functools.cache
def _correlate_over_batch(padding: Padding) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """Returns the function of (images, cotangent) that gives the gradient of the kernel."""

  @jax.custom_batching.custom_vmap
  def kernel_gradient(images, cotangent):
    if images.shape[-1] <= cotangent.shape[-1]:
      gradient = _convolve_over_batch(images, cotangent, padding)
      return gradient.transpose(1, 2, 0, 3)
    taps = _taps(images.shape, cotangent.shape, padding)
    gradient = _convolve_over_batch(cotangent, images, _turned(taps, padding))
    return gradient.transpose(1, 2, 3, 0)[::-1, ::-1]

  @kernel_gradient.def_vmap
  def rule(size, mapped, images, cotangent):
    if mapped == [False, True]:  # the first layer of models that read the same images
      out = kernel_gradient(images, _models_into_channels(cotangent))
      return _models_out_of_channels(out, size), True
    if not mapped[1]:
      cotangent = jnp.broadcast_to(cotangent, (size, *cotangent.shape))
    if batched_formulation() == "loop":
      return lax.map(lambda pair: kernel_gradient(*pair), (images, cotangent)), True
    taps = _taps(images.shape[1:], cotangent.shape[1:], padding)
    columns = jax.vmap(lambda x: _columns(x, taps, padding))(images)
    out = jnp.einsum("sbhwk,sbhwo->sko", columns, cotangent)
    return out.reshape(size, *taps, images.shape[-1], cotangent.shape[-1]), True

  return kernel_gradient


def _convolve_over_batch(first: jax.Array, second: jax.Array, padding: Padding) -> jax.Array:
  """Returns the convolution of two batches that sums over the batch, [C1, kh, kw, C2].

  It is written in the canonical layout, with channels where the batch usually is: inside a compiled
  loop XLA on the CPU otherwise takes a naive kernel, tens of times slower. Of the two
  transpositions that of the first argument costs more, so the first is the one with fewer channels.
  """
  return lax.conv_general_dilated(
    first.transpose(3, 1, 2, 0),
    second.transpose(1, 2, 0, 3),
    (1, 1),
    padding,
    dimension_numbers=_LAYOUT,
  )


def _turned(taps: Sequence[int], padding: Padding) -> Padding:
  """Returns the padding of the transposed convolution, which maps the result back to the images."""
  rows, columns = (
    (size - 1 - before, size - 1 - after)
    for size, (before, after) in zip(taps, padding, strict=True)
  )
  return rows, columns


def _taps(images: tuple[int, ...], out: tuple[int, ...], padding: Padding) -> tuple[int, int]:
  """Returns height and width of the kernel, from the shapes [B, H, W, C] of images and result."""
  height, width = (images[i] + sum(padding[i - 1]) - out[i] + 1 for i in (1, 2))
  return height, width


def _columns(images: jax.Array, taps: tuple[int, int], padding: Padding) -> jax.Array:
  """Returns the patches of images, [B, H', W', kh kw I]."""
  padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
  height, width = (padded.shape[1 + i] - taps[i] + 1 for i in range(2))
  shifts = [(r, c) for r in range(taps[0]) for c in range(taps[1])]
  return jnp.concatenate([padded[:, r : r + height, c : c + width] for r, c in shifts], axis=-1)


def _models_into_channels(array: jax.Array) -> jax.Array:
  """Returns [S, ..., C] as [..., S C]."""
  moved = jnp.moveaxis(array, 0, -2)
  return moved.reshape(*moved.shape[:-2], -1)


def _models_out_of_channels(array: jax.Array, size: int) -> jax.Array:
  """Returns [..., S C] as [S, ..., C]."""
  return jnp.moveaxis(array.reshape(*array.shape[:-1], size, -1), -2, 0)


def materialised(array: jax.Array) -> jax.Array:
  """Returns the array unchanged; on the CPU it is written to memory before it is read.

  XLA on the CPU otherwise recomputes a cheap elementwise result inside each operation that reads
  it. The transposition for a weight gradient then reads all inputs of that result against their
  order in
  memory: 19 ms instead of 2 for a layer of 128×128×16. On other platforms fusion is faster.

  This works in programs compiled with `mlseg.devices.compiler.compiler_options`, as those of
  training are; without these options XLA on the CPU removes the barrier before it fuses.
  """
  if jax.default_backend() != "cpu":
    return array
  return jax.lax.optimization_barrier(array)
