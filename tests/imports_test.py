"""Imports go downwards only, as the layout says; each rule is one line here."""

import ast
import pathlib

import pytest

import mlseg

ROOT = pathlib.Path(mlseg.__file__).parent
FLOORS = (  # from the top; a module imports from its own package, and from the floors below
  {"evaluate", "export", "main", "predict", "sweep"},
  {"evaluation"},
  {"studies"},
  {"training", "prediction"},
  {"recipe", "report"},
  {"data", "models", "workdir"},
  {"devices", "io", "postprocessing", "trackers"},
  {"console", "files"},
  {"losses", "metrics", "weighting"},
  {"errors", "process_pool"},
)
APART = {"data", "losses", "metrics", "models", "weighting"}  # these never import each other
NO_JAX = {"console", "errors", "files", "io", "report", "trackers", "workdir"}
ONLY_IN = {  # packages that only these may import
  "flax": {"models"}, "orbax": {"training"}, "tensorflow_datasets": {"data"},
  "ml_collections": {"recipe", "main", "predict", "sweep"}, "matplotlib": {"report"},
  "rich": {"console"}, "h5py": {"models"}, "safetensors": {"models"}, "tifffile": {"io"},
  "pydicom": {"io"}, "nibabel": {"io"}, "tensorflow": set(), "tensorboardX": {"trackers"},
  "mlflow": {"trackers"}, "wandb": {"trackers"}, "onnx": {"prediction"},
  "jax2onnx": {"prediction"}, "onnxruntime": {"prediction"}, "optuna": {"studies"},
}  # fmt: skip
STANDARD = set(__import__("sys").stdlib_module_names)
FILES = sorted(ROOT.rglob("*.py"))
FLOOR_OF = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def _imports(path):
  """Yields the dotted names that a file imports, those inside functions too."""
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: imports are absolute"
      yield node.module
      yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _home(path):
  """Returns the package of mlseg, or the module directly in it, that a file belongs to."""
  return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_downwards(path):
  home = _home(path)
  if home == "__init__":
    return
  for name in _imports(path):
    top, *rest = name.split(".")
    if top != "mlseg":
      assert home in ONLY_IN.get(top, {home}), f"{path} imports {name}"
      if top not in STANDARD and home == "weighting":
        assert top in {"jax", "numpy", "optax", "chex"}, f"{path} imports {name}"
    elif rest and rest[0] in FLOOR_OF and rest[0] != home:
      assert FLOOR_OF[rest[0]] > FLOOR_OF[home], f"{path} imports {name}"
      assert not {home, rest[0]} <= APART, f"{path} imports {name}"


def test_every_module_has_a_floor_and_few_are_loose():
  assert {_home(path) for path in FILES} - {"__init__"} == set(FLOOR_OF)
  assert len([path for path in ROOT.glob("*.py") if path.name != "__init__.py"]) <= 8


def test_what_needs_no_jax_does_not_import_it():
  for path in FILES:
    if _home(path) in NO_JAX:
      assert not {"jax", "flax"} & {name.split(".")[0] for name in _imports(path)}, path


def test_no_file_is_longer_than_300_lines():
  assert not [path for path in FILES if len(path.read_text().splitlines()) > 300]
