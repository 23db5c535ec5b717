"""Shared test settings: strict numerics, the development data, and no unexpected skips."""

import atexit
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

SESSION = "MLSEG_TEST_SESSION"  # the variable that hands the session's folder to every process
# Most of the time here is compilation of programs that run once, so it is made quick.
QUICK = ("--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
         " --xla_cpu_parallel_codegen_split_count=1")  # fmt: skip


def _start_session() -> None:
  """Sets what JAX and mlseg read when they are imported, for this process and those it starts."""
  session = os.environ[SESSION] = tempfile.mkdtemp(prefix="mlseg_tests_")
  atexit.register(shutil.rmtree, session, ignore_errors=True)
  os.environ.setdefault("JAX_PLATFORMS", "cpu")
  if "XLA_FLAGS" not in os.environ:
    code = "from jaxlib import xla_client; xla_client.make_cpu_client()"
    trial = subprocess.run(
      [sys.executable, "-c", code], env=os.environ | {"XLA_FLAGS": QUICK}, capture_output=True
    )
    if trial.returncode == 0:  # XLA ends a process that gives it a flag it does not know
      os.environ["XLA_FLAGS"] = QUICK
  os.environ.update(
    OMP_NUM_THREADS="1",  # the two processes of a session are enough for two cores
    MLSEG_ONEDNN="0",  # its own tests turn it on
    MLSEG_CACHE=f"{session}/cache",  # nothing is written to the user's own
    # Each program is compiled by one process; loading a small one takes as long as compiling it.
    JAX_COMPILATION_CACHE_DIR=f"{session}/compiled",
    JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0.1",
    JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="0",
  )


if SESSION not in os.environ:  # the workers of pytest-xdist inherit all of it
  _start_session()

import hypothesis
import jax
import pytest

# No test depends on a time, or on what an earlier session drew.
hypothesis.settings.register_profile("mlseg", deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("mlseg")

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


@pytest.fixture(autouse=True)
def strict_ranks(request):
  """Makes it an error, in the parts that others use as a library, that ranks are promoted."""
  packages = [_ROOT / "tests" / name for name in ("weighting", "losses", "metrics")]
  if not any(package in request.path.parents for package in packages):
    yield
    return
  with jax.numpy_rank_promotion("raise"):
    yield


@pytest.fixture(autouse=True)
def keep_interrupts():
  """Undoes what a command that a test calls does to Ctrl-C, which later tests send to programs."""
  handler, mask = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, ())
  yield
  signal.signal(signal.SIGINT, handler)
  signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.fixture(scope="module")
def no_figures():
  """Leaves out the figures of the runs that this process trains, which take longer than they."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr("mlseg.report.plots.plot_run", lambda workdir: [])
    yield


@pytest.fixture(scope="module")
def short_encoder():
  """Makes MobileNetV2 short where not the encoder is tested, but what is around it."""
  from tests.models.short_encoder import make_short

  with pytest.MonkeyPatch.context() as patch:
    make_short(patch.setattr)
    yield


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
