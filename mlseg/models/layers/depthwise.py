"""Depthwise convolutions as sums of shifted products, which XLA on the CPU runs much faster.

A depthwise convolution is bound by memory, not by arithmetic. The kernel that XLA on the CPU uses
for it takes 100 ms forward and 100 to 900 ms backward for a 3×3 layer of 32 images of 64×64×32; the
nine shifted products here, fused into one pass, take 3 and 20 ms. Measured on two cores.
"""

import functools
from collections.abc import Iterator
from contextvars import ContextVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from mlseg.models.layers import onednn
from mlseg.models.layers.convolution import Padding, materialised

# How many numbers of the product of images and cotangent one turn of the loop over a batch has: 2
# MB of float32 stay in the cache, while products of the whole batch would go to memory and back.
_NUMBERS_AT_ONCE = 2**19
# The largest kernel whose gradient is one piece of program. A loop over the rows of larger ones
# compiles in a third of the time, and also takes half the time for a 5×5 layer of 16×16×16×240.
_UNROLLED = 3
# 'grouped' or 'shifts' while a program is traced for another platform than this one; '': it is not.
FORMULATION: ContextVar[str] = ContextVar("FORMULATION", default="")


def depthwise_formulation() -> str:
  """Returns how depthwise convolutions run: 'shifts' on CPUs, 'grouped' on other platforms.

  Accelerators have kernels for grouped convolutions. The choice was not measured there.
  """
  return FORMULATION.get() or ("shifts" if jax.default_backend() == "cpu" else "grouped")


def depthwise(images: jax.Array, kernel: jax.Array, stride: int, padding: Padding) -> jax.Array:
  """Returns the cross-correlation of each channel of the images with a kernel for that channel.

  Equal to `lax.conv_general_dilated` with one group per channel, also under `jax.vmap`.

  Args:
    images: [B, H, W, C].
    kernel: [k, k, 1, C].
    stride: 1 or 2.
    padding: ((above, below), (left, right)), numbers of rows and columns of zeros.

  Returns:
    [B, H', W', C] with H' = (H + above + below - k) // stride + 1, and W' likewise.
  """
  if onednn.is_used(images, kernel):
    return onednn.convolve(images, kernel, padding, stride=stride, groups=images.shape[-1])
  if depthwise_formulation() == "shifts":
    return _depthwise(images, kernel[:, :, 0], stride, padding)
  return lax.conv_general_dilated(
    images,
    kernel,
    (stride, stride),
    padding,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    feature_group_count=images.shape[-1],
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(images: jax.Array, taps: jax.Array, stride: int, padding: Padding) -> jax.Array:
  """Returns `depthwise` with taps [k, k, C]."""
  padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
  windows = _windows(padded, stride, *taps.shape[:2])
  return materialised(_total([window * taps[i, j] for i, j, window in windows]))


def _backward(stride, padding, residuals, cotangent):
  images, taps = residuals
  gradient = _images_gradient(cotangent, taps, stride, padding, images.shape)
  return materialised(gradient), _taps_gradient(images, cotangent, stride, padding, taps.shape[0])


_depthwise.defvjp(
  lambda images, taps, stride, padding: (
    _depthwise(images, taps, stride, padding),
    (images, taps),
  ),
  _backward,
)


def _windows(
  padded: jax.Array, stride: int, high: int, wide: int
) -> Iterator[tuple[int, int, jax.Array]]:
  """Yields row and column of each of high×wide taps, and the pixels of each, [B, H', W', C]."""
  batch, height, width, channels = padded.shape
  rows, columns = height - high + 1, width - wide + 1
  for i in range(high):
    for j in range(wide):
      end = (batch, i + rows, j + columns, channels)
      yield i, j, lax.slice(padded, (0, i, j, 0), end, (1, stride, stride, 1))


def _images_gradient(
  cotangent: jax.Array, taps: jax.Array, stride: int, padding: Padding, shape: tuple[int, ...]
) -> jax.Array:
  """Returns the gradient of the images; at stride 2 it has one sum for each parity of pixels."""
  (above, _), (left, _) = padding
  size = -(-shape[1] // stride), -(-shape[2] // stride)
  margin = (taps.shape[0] - 1,) * 2  # the taps reach this far beyond the cotangent
  padded = jnp.pad(cotangent, ((0, 0), margin, margin, (0, 0)))
  parts = [
    [_phase(padded, taps, stride, (above + r, left + c), size) for c in range(stride)]
    for r in range(stride)
  ]
  if stride == 1:
    return parts[0][0]
  rows = [jnp.stack(row, axis=3) for row in parts]  # [B, h, w, 2, C]
  blocks = jnp.stack(rows, axis=2)  # [B, h, 2, w, 2, C]
  batch, height, _, width, _, channels = blocks.shape
  merged = blocks.reshape(batch, 2 * height, 2 * width, channels)
  return merged[:, : shape[1], : shape[2]]


def _phase(
  padded: jax.Array, taps: jax.Array, stride: int, origin: tuple[int, int], size: tuple[int, int]
) -> jax.Array:
  """Returns the gradient of every stride-th pixel, starting at `origin` in the padded images."""
  terms, side = [], taps.shape[0]
  for i in range(origin[0] % stride, side, stride):
    for j in range(origin[1] % stride, side, stride):
      # Tap i reads pixel origin + stride t for the result at index (origin - i)/stride + t.
      row, column = (side - 1 + (origin[0] - i) // stride, side - 1 + (origin[1] - j) // stride)
      terms.append(padded[:, row : row + size[0], column : column + size[1]] * taps[i, j])
  return _total(terms)


def _total(terms: list[jax.Array]) -> jax.Array:
  return functools.reduce(jnp.add, terms)


def _taps_gradient(
  images: jax.Array, cotangent: jax.Array, stride: int, padding: Padding, side: int
) -> jax.Array:
  """Returns the gradient of the taps, [k, k, C], computed over a few images at a time.

  The images of one turn are spread over the batch, so that each device of several, which hold
  consecutive parts of it, works on its own images in every turn.
  """
  batch = images.shape[0]
  turns = max(1, -(-cotangent.size // _NUMBERS_AT_ONCE))
  turns = next(n for n in range(turns, batch + 1) if batch % n == 0) if turns < batch else batch
  grouped = [a.reshape(batch // turns, turns, *a.shape[1:]) for a in (images, cotangent)]

  def add(turn: jax.Array | int, total: jax.Array) -> jax.Array:
    part, out = (lax.dynamic_index_in_dim(a, turn, axis=1, keepdims=False) for a in grouped)
    padded = materialised(jnp.pad(part, ((0, 0), *padding, (0, 0))))

    def row_of_taps(i: jax.Array | int) -> jax.Array:
      rows = lax.dynamic_slice_in_dim(padded, i, padded.shape[1] - side + 1, axis=1)
      products = (materialised(window * out) for _, _, window in _windows(rows, stride, 1, side))
      return jnp.stack([product.astype(jnp.float32).sum((0, 1, 2)) for product in products])

    if side <= _UNROLLED:
      return total + jnp.stack([row_of_taps(i) for i in range(side)])
    return total + lax.map(row_of_taps, jnp.arange(side))

  zeros = jnp.zeros((side, side, images.shape[-1]), jnp.float32)
  total = lax.fori_loop(0, turns, add, zeros) if turns > 1 else add(0, zeros)
  return total.astype(images.dtype)


class DepthwiseConv(nn.Module):
  """A depthwise convolution with the parameters of `flax.linen.Conv`.

  Attributes:
    stride: 1 or 2.
    padding: ((above, below), (left, right)), numbers of rows and columns of zeros.
    dtype: type of the computation; the parameters are float32.
    size: side of the kernel, odd.
    use_bias: whether a bias is added; not before batch normalisation, which would cancel it.
  """

  stride: int
  padding: Padding
  dtype: jnp.dtype = jnp.float32
  size: int = 3
  use_bias: bool = False

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    shape = (self.size, self.size, 1, images.shape[-1])
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    images, kernel = images.astype(self.dtype), kernel.astype(self.dtype)
    out = depthwise(images, kernel, self.stride, self.padding)
    if self.use_bias:
      out += self.param("bias", nn.initializers.zeros, shape[-1:]).astype(self.dtype)
    return out
