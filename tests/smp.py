"""A part of segmentation-models-pytorch without its models.

These need torchvision, whose builds fit one build of torch each; losses and metrics need torch
alone.
"""

import importlib
import importlib.util
import sys
import types

import pytest


def part_of_smp(name: str) -> types.ModuleType:
  """Returns a module such as `losses`; skips the module of tests where smp is not installed."""
  spec = importlib.util.find_spec("segmentation_models_pytorch")
  if spec is None:
    pytest.skip("segmentation_models_pytorch is not installed", allow_module_level=True)
  package = types.ModuleType("segmentation_models_pytorch")
  package.__path__ = list(spec.submodule_search_locations or ())
  package.__spec__ = spec  # where this is asked for again
  sys.modules.setdefault("segmentation_models_pytorch", package)
  return importlib.import_module(f"segmentation_models_pytorch.{name}")
