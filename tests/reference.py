"""The scripts in `docs/reference`, which make the pages of the methods and the metrics."""

import importlib.util
import pathlib
import types

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "docs" / "reference"


def generator(name: str) -> types.ModuleType:
  """Returns the module of one script, by the name of its page."""
  spec = importlib.util.spec_from_file_location(f"reference_{name}", FOLDER / f"{name}.py")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
