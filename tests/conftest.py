"""Shared test settings: strict numerics, the development data, and no unexpected skips."""

import atexit
import os
import pathlib
import shutil
import signal
import sys
import tempfile

SESSION = "MLSEG_TEST_SESSION"  # the variable that hands the session's folder to every process
if SESSION not in os.environ:  # the first process; pytest-xdist's workers inherit the folder
  os.environ[SESSION] = tempfile.mkdtemp(prefix="mlseg_tests_")
  atexit.register(shutil.rmtree, os.environ[SESSION], ignore_errors=True)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most of the time here is compilation of programs that run once: they are optimised less, and each
# is compiled by one process of the session alone. Loading a small one takes as long as compiling.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ.update(
  MLSEG_CACHE=f"{os.environ[SESSION]}/cache",  # nothing is written to the user's own
  JAX_COMPILATION_CACHE_DIR=f"{os.environ[SESSION]}/compiled",
  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0.1",
  JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="0",
)

import jax
import pytest

_ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCHMARKS = _ROOT / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its parts are imported as from a script beside them
SHARED = pathlib.Path(os.environ.get("MLSEG_SHARED", _ROOT.parent / "shared"))

# A shell starts a suite in the background without Ctrl-C, and so would the programs under test be.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
  signal.signal(signal.SIGINT, signal.default_int_handler)


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
  # Files with slow tests first, so that none is left to one process when the other is done.
  slow = {item.path for item in items if item.get_closest_marker("slow")}
  items.sort(key=lambda item: item.path not in slow)
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
