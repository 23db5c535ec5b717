"""What `config.json` says a run was trained with."""

import json

import jax

from mlseg import __version__
from mlseg.training import provenance


def test_recipe_data_device_and_versions_are_named():
  content = {"num_epochs": 3, "losses": ("soft_dice",)}
  found = provenance.describe(content, "abc", "map")
  assert (found["config"], found["data"], found["strategy"]) == (content, "abc", "map")
  assert found["device"].startswith(f"{jax.device_count()} ")
  versions = found["versions"]
  assert (versions["mlseg"], versions["jax"]) == (__version__, jax.__version__)
  assert {"jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "python"} <= versions.keys()
  json.dumps(found)
