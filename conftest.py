"""What the doctests of modules find beside their own imports."""

import pytest


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
