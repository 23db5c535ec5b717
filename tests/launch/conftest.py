"""What the tests of the launchers share."""

import pathlib
import sysconfig

import pytest


@pytest.fixture(scope="session")
def shellcheck() -> pathlib.Path:
  """The program of this environment, which need not be the active one."""
  return pathlib.Path(sysconfig.get_path("scripts")) / "shellcheck"
