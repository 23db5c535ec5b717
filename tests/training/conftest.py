"""What the tests of training share."""

import pytest

from mlseg.data import cases
from tests.training import made


@pytest.fixture
def made_cases(monkeypatch):
  """Has trainings read the made cases, and returns them."""
  made_cases = made.make_cases()
  monkeypatch.setattr(cases, "load", lambda name, **options: made_cases)
  return made_cases
