"""What the doctests of modules find beside their own imports."""

import importlib.util

import pytest

# Modules that import a package of an extra, which README's `pytest` does without.
_OF_EXTRAS = {
  "mlseg/trackers/tensorboard.py": "tensorboardX", "mlseg/trackers/mlflow.py": "mlflow",
  "mlseg/trackers/wandb.py": "wandb", "mlseg/prediction/run_onnx.py": "onnxruntime",
}  # fmt: skip
collect_ignore = [
  file for file, package in _OF_EXTRAS.items() if importlib.util.find_spec(package) is None
]


@pytest.fixture(scope="session")
def untrained_run(tmp_path_factory):
  """Returns the folder of a run of two models that were never trained."""
  from tests.prediction.made import write_run  # it loads jax, after tests/conftest.py has set it up

  return write_run(tmp_path_factory.mktemp("untrained"))


@pytest.fixture(autouse=True)
def names_of_doctests(request, doctest_namespace):
  """Gives the doctests of the Python interface a run to load."""
  if getattr(request.node, "dtest", None) and "prediction.interface" in request.node.name:
    doctest_namespace["workdir"] = request.getfixturevalue("untrained_run")
