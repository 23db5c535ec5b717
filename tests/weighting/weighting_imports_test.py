"""`mlseg.weighting` can be lifted out: it imports jax, numpy, optax, chex and nothing else."""

import ast
import pathlib
import subprocess
import sys

import pytest

import mlseg.weighting

ALLOWED = {"jax", "numpy", "optax", "chex"}
FILES = sorted(pathlib.Path(mlseg.weighting.__file__).parent.rglob("*.py"))


def _imports(source: str) -> set[str]:
  """Returns the modules that a file imports, relative ones with their dots."""
  modules = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      modules |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      modules.add("." * node.level + (node.module or ""))
  return modules


def _is_allowed(module: str) -> bool:
  top = module.split(".")[0]
  own = module == "mlseg.weighting" or module.startswith("mlseg.weighting.")
  return own or top in ALLOWED or top in sys.stdlib_module_names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_only_what_the_library_needs(path):
  refused = {module for module in _imports(path.read_text()) if not _is_allowed(module)}
  assert not refused


def test_the_check_itself_refuses():
  found = _imports("import flax\nfrom mlseg.losses import a\nfrom . import b\nimport jax.numpy")
  assert {module for module in found if not _is_allowed(module)} == {"flax", "mlseg.losses", "."}
  assert len(FILES) > 5


def test_importing_it_loads_neither_flax_nor_orbax_nor_tfds():
  code = "import sys, mlseg.weighting; print(*{name.split('.')[0] for name in sys.modules})"
  command = [sys.executable, "-c", code]
  loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
  assert {"jax", "optax", "mlseg"} <= set(loaded)
  others = {"flax", "orbax", "tensorflow_datasets", "ml_collections", "scipy", "matplotlib"}
  assert not others & set(loaded)
