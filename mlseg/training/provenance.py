"""What a run was trained with: its recipe, data, device and the versions of packages."""

import importlib.metadata
import platform
from typing import Any

import jax

from mlseg import __version__


def describe(content: dict[str, Any], fingerprint: str, strategy: str) -> dict[str, Any]:
  """Returns what `config.json` holds: the recipe, versions, device, data fingerprint.

  Args:
    content: of the recipe.
    fingerprint: of the data.
    strategy: how the seeds are trained; a run goes on with the one it was started with.
  """
  packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
  versions = {name: importlib.metadata.version(name) for name in packages}
  return {
    "config": content,
    "data": fingerprint,
    "strategy": strategy,
    "device": f"{jax.device_count()} {jax.devices()[0].device_kind}",
    "versions": {"mlseg": __version__, "python": platform.python_version(), **versions},
  }
