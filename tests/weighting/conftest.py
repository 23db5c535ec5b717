"""The golden numbers of the reference implementations."""

import json

import pytest


@pytest.fixture(scope="session")
def golden(shared):
  """Returns what a golden file holds, by its name; use with `@pytest.mark.shared`."""
  return lambda name: json.loads((shared / "golden" / f"{name}.json").read_text())
