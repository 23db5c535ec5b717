"""Shared test settings: strict numerics, the development data, and no unexpected skips."""

import os
import pathlib
import signal
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time here is compilation of programs that run once.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest

_ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCHMARKS = _ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its parts are imported as from a script beside them
SHARED = pathlib.Path(os.environ.get("MLSEG_SHARED", _ROOT.parent / "shared"))

# A shell starts a suite in the background without Ctrl-C, and so would the programs under test be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
  signal.signal(signal.SIGINT, signal.default_int_handler)

# Files that take a minute or more, which are begun first, so that none of them is left at the end
# for one process while the other has nothing to do.
LONG = (
  "processes_test.py", "train_test.py", "seeds_test.py", "multitask_train_test.py",
  "cells_test.py", "mask_rcnn_test.py", "slurm_test.py", "speed_test.py",
  "speed_multitask_test.py", "weighting_laws_test.py", "loss_peers_test.py",
  "patches_train_test.py",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
  """Gives compiled programs up: each has memory mappings, of which a process may have 65,530."""
  yield
  jax.clear_caches()


@pytest.fixture(scope="session")
def benchmarks() -> pathlib.Path:
  """The folder of the benchmarks."""
  return BENCHMARKS


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
  """The folder with golden numbers and original data; use with `@pytest.mark.shared`."""
  return SHARED


def pytest_addoption(parser):
  parser.addoption(
    "--forbid-skips",
    action="store_true",
    help="fail when a test is skipped for any reason but the absence of the development data",
  )


def pytest_collection_modifyitems(config, items):
  items.sort(key=lambda item: item.path.name not in LONG)
  if SHARED.is_dir():
    return
  skip = pytest.mark.skip(reason="the development data (folder `shared`) is not here")
  for item in items:
    if item.get_closest_marker("shared"):
      item.add_marker(skip)


def pytest_sessionfinish(session, exitstatus):
  if not session.config.getoption("--forbid-skips") or hasattr(session.config, "workerinput"):
    return
  reporter = session.config.pluginmanager.get_plugin("terminalreporter")
  skipped = reporter.stats.get("skipped", [])
  unexpected = [r for r in skipped if SHARED.is_dir() or "development data" not in str(r.longrepr)]
  if unexpected and exitstatus == 0:
    names = ", ".join(r.nodeid for r in unexpected)
    reporter.write_line(f"unexpected skips: {names}", red=True)
    session.exitstatus = 1
