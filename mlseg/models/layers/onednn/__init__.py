"""Convolutions by oneDNN on CPUs, where the packages of the extra `onednn` are installed.

On a CPU with AVX-512 they take a half to a fifth of XLA's time, and on one with AMX, where products
may be of bfloat16, a tenth. Values and gradients are those of the layers' own formulations up to
rounding. `library` finds oneDNN and compiles the functions of `convolution.cc` that call it, once;
`convolution` has them as functions of JAX arrays. Nothing here is used on other platforms, in
exported programs, or where XLA divides the arrays of a model among devices. Where each device has
models of its own, their calls share the cores.
"""

from mlseg.models.layers.onednn.convolution import (
  convolve,
  convolve_transposed,
  describe,
  is_used,
  matmul_precision,
  unused,
)

__all__ = [
  "convolve", "convolve_transposed", "describe", "is_used", "matmul_precision", "unused",
]  # fmt: skip
