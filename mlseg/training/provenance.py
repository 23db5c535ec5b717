"""TODO mlseg.training.provenance."""

import importlib.metadata
import platform
from typing import Any

import jax
from ml_collections import ConfigDict

from mlseg import __version__


def describe(config: ConfigDict, fingerprint: str, strategy: str) -> dict[str, Any]:
  """Returns what `config.json` holds: the resolved config, versions, device, data fingerprint.

  Args:
    config: the recipe.
    fingerprint: of the data.
    strategy: how the seeds are trained; a run goes on with the one it was started with.
  """
  packages = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")
  versions = {name: importlib.metadata.version(name) for name in packages}
  return {
    "config": config.to_dict(),
    "data": fingerprint,
    "strategy": strategy,
    "device": f"{jax.device_count()} {jax.devices()[0].device_kind}",
    "versions": {"mlseg": __version__, "python": platform.python_version(), **versions},
  }
