"""Imports go downwards only, as the layout says; each rule is one line here."""

import ast
import pathlib

import pytest

import mlseg

ROOT = pathlib.Path(mlseg.__file__).parent
ALLOWED = {  # what a module of mlseg may import from mlseg, beside its own package
  "errors": set(),
  "losses": {"errors"},
  "metrics": {"errors"},
  "models": {"errors"},
  "pretrained": {"data", "errors", "models"},
  "weighting": set(),
  "data": {"errors", "volumes"},
  "report": {"errors", "outcome_rows", "outcomes"},
  "outcome_rows": set(),
  "outcomes": {"metrics", "outcome_rows"},
  "pictures": {"errors"},
  "volumes": {"errors"},
  "log": {"errors"},
  "run_folder": {"errors"},
  "model_file": {"errors", "run_folder"},
  "checkpoint": {"errors", "sharding"},
  "sharding": {"errors"},
  "seeds": {"errors"},
  "runtime": {"errors"},
  "stopping": set(),
  "cluster": {"errors"},
  "distributed": {"cluster", "errors"},
  "train_step": {"weighting"},
  "evaluate": {"metrics"},
  "batches": {"data", "sharding"},
  "model_builders": {"batches", "errors", "models", "pretrained"},
  "loss_catalogue": {"losses"},
  "loss_builders": {
    "batches", "data", "errors", "loss_catalogue", "losses", "model_builders", "models",
    "sharding", "train_step", "weighting",
  },
  "builders": {
    "batches", "data", "errors", "loss_builders", "loss_catalogue", "models", "weighting",
  },
  "split_builders": {"data", "errors"},
  "together": {"builders", "loss_builders", "weighting"},
  "feed": {"batches", "data", "sharding"},
  "gradcam": {"errors"},
  "group": {"data", "loss_builders", "member", "programs", "run_folder", "train_step"},
  "member": {
    "batches", "data", "errors", "evaluate", "gradcam", "loss_builders", "metrics",
    "model_builders", "models", "sharding", "together", "train_step",
  },
  "programs": {
    "builders", "data", "feed", "member", "model_builders", "seeds", "sharding", "train_step",
  },
  "case_objects": {"metrics"},
  "case_tables": {"data", "metrics"},
  "patients": {"data"},
  "results": {
    "case_objects", "data", "group", "log", "metrics", "model_builders", "models", "programs",
    "sharding",
  },
  "result_files": {
    "case_objects", "case_tables", "data", "gradcam", "metrics", "patients", "report", "results",
    "run_folder",
  },
  "train": {
    "builders", "case_tables", "checkpoint", "data", "errors", "feed", "group", "log", "member",
    "model_file", "programs", "result_files", "results", "run_folder", "seeds", "sharding",
    "split_builders", "stopping", "train_step",
  },
  "grid": {"errors", "main"},
  "cells": {
    "builders", "errors", "grid", "group", "log", "run_folder", "seeds", "sharding", "stopping",
    "together", "train",
  },
  "study_files": {"grid", "metrics", "run_folder"},
  "sweep": {
    "cells", "errors", "grid", "log", "main", "report", "run_folder", "runtime", "sharding",
    "study_files",
  },
  "trained": {"case_tables", "errors", "model_builders", "model_file", "models"},
  "inference": {"data", "gradcam", "models"},
  "region_table": set(),
  "prediction_files": {
    "case_tables", "inference", "model_builders", "pictures", "region_table", "run_folder",
    "trained",
  },
  "volume_predictor": {
    "batches", "builders", "data", "errors", "inference", "log", "prediction_files",
    "region_table", "report", "run_folder", "trained",
  },
  "predictor": {
    "batches", "builders", "errors", "inference", "log", "model_builders", "pictures",
    "prediction_files", "region_table", "run_folder", "trained", "volume_predictor",
  },
  "predict": {"errors", "log", "pictures", "predictor", "runtime"},
  "main": {"distributed", "errors", "log", "runtime", "sharding", "stopping", "train"},
}  # fmt: skip
OUTSIDE = {  # where only these packages may be imported
  "weighting": {"jax", "numpy", "optax", "chex"},
}
ONLY_IN = {  # packages that only these modules may import
  "flax": {"models"},
  "orbax": {"checkpoint"},
  "tensorflow_datasets": {"data"},
  "matplotlib": {"report"},
  "rich": {"log"},
  "h5py": {"pretrained"},
  "safetensors": {"pretrained"},
  "tifffile": {"pictures", "data"},
  "pydicom": {"pictures", "data", "volumes"},
  "nibabel": {"volumes"},
}
STANDARD = set(__import__("sys").stdlib_module_names)
FILES = sorted(ROOT.rglob("*.py"))


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
    if top == "mlseg" and rest:
      public = {p.stem for p in ROOT.iterdir()}
      if rest[0] in public and rest[0] != home:
        assert rest[0] in ALLOWED[home], f"{path} imports {name}"
    elif top not in STANDARD and top != "mlseg":
      assert top in OUTSIDE.get(home, {top}), f"{path} imports {name}"
      assert home in ONLY_IN.get(top, {home}), f"{path} imports {name}"


def test_the_table_names_every_module():
  assert {_home(path) for path in FILES} - {"__init__"} == set(ALLOWED)


def test_reports_need_no_jax():
  for path in (ROOT / "report").rglob("*.py"):
    assert not {"jax", "flax"} & {name.split(".")[0] for name in _imports(path)}


def test_tensorflow_is_never_imported():
  assert "tensorflow" not in {name.split(".")[0] for path in FILES for name in _imports(path)}
