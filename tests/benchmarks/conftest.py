"""The parts of the benchmarks can be imported as they are from a script beside them."""

import pathlib
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))


@pytest.fixture(scope="session")
def benchmarks() -> pathlib.Path:
  return BENCHMARKS
