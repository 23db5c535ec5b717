"""Segmentation trained under several losses at once, in JAX.

`load` returns a trained run, ready to predict. The library is in `mlseg.weighting`, `mlseg.losses`
and `mlseg.metrics`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from mlseg.prediction.interface import load

__version__ = "0.2.0"
__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
  """Returns `load`, which is imported at its first use, since it needs more than the library."""
  if name == "load":
    from mlseg.prediction.interface import load

    return load
  raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
