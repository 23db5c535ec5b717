"""Starts worker processes, and times their runs in turn and in random order."""

import contextlib
import fcntl
import json
import os
import pathlib
import platform
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from mlseg.devices.runtime import TUNABLES
from speed_parts.problem import Problem

QUICK = "--xla_backend_optimization_level=0"
HOLD_SECONDS = 50  # after which the lock is released for others between two rounds
Item = TypeVar("Item")
BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent


class Settings(NamedTuple):
  """How everything is measured."""

  device: str  # 'cpu' or 'gpu'
  threads: int
  small: bool  # whether toy sizes are measured
  rounds: int
  block_seconds: float  # time that one block of steps should take
  lock: str  # file to lock; '' for none
  pythons: dict[str, str]  # the interpreters of 'mlseg', 'torch', 'tensorflow' and 'other'
  frameworks: tuple[str, ...] = ()  # names of the frameworks to measure; (): all


class WorkerError(RuntimeError):
  """A worker ended before it answered; the message is the last line of its output."""


@contextlib.contextmanager
def machine(settings: Settings, alone: bool) -> Iterator[None]:
  """Holds the machine's lock if there is one: exclusively for timings, shared for the rest."""
  if not settings.lock:
    yield
    return
  with open(settings.lock, "a", encoding="utf-8") as file:
    fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    yield


def in_turns(settings: Settings, items: Sequence[Item], alone: bool = True) -> Iterator[Item]:
  """Yields items while the machine's lock is held, and releases it between items after a while."""
  left = list(items)
  while left:
    with machine(settings, alone):
      until = time.monotonic() + HOLD_SECONDS
      while left and time.monotonic() < until:
        yield left.pop(0)


def environment(settings: Settings, **extra: str) -> dict[str, str]:
  """Returns the environment of a process that is measured."""
  return {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(
      filter(None, [str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")])
    ),
    "JAX_PLATFORMS": "cpu" if settings.device == "cpu" else "",
    "OMP_NUM_THREADS": str(settings.threads),
    "MLSEG_ONEDNN": "0",  # but in rows that name it
    # Intel's OpenMP keeps idle threads spinning for 200 ms, while another worker is already timed;
    # GNU's threads stop within about a millisecond.
    "KMP_BLOCKTIME": "1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "PYTHONDONTWRITEBYTECODE": "",  # modules are compiled once, as where a package is installed
    "JAX_TRACEBACK_FILTERING": "off",  # so that the last line of an error is its message
    # At toy size nothing but a short compilation matters.
    **({"XLA_FLAGS": os.environ.get("XLA_FLAGS", QUICK)} if settings.small else {}),
    **extra,
  }


class Worker:
  """A process with a framework whose network is built; as a context manager it ends the process."""

  def __init__(
    self, settings: Settings, python: str, module: str, problem: Problem, options: dict[str, Any]
  ):
    self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
    # On a CPU `mlseg.main` restarts itself with these settings; other rows state them if they do.
    options = dict(options)
    own = options.pop("environment", {})
    huge_pages = (
      options.pop("huge_pages", python in ("mlseg", "other")) and settings.device == "cpu"
    )
    self._process = subprocess.Popen(
      [settings.pythons[python], "-m", "speed_parts.worker"],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._errors,
      text=True,
      env=environment(settings, **({"GLIBC_TUNABLES": TUNABLES} if huge_pages else {}), **own),
    )
    common = {"device": settings.device, "threads": settings.threads, "started": time.time()}
    request = {"module": module, "problem": problem._asdict(), "options": {**common, **options}}
    try:
      answer = self._ask(request)
    except BaseException:
      self.close()
      raise
    self.facts: dict[str, Any] = answer["facts"]
    self.runs: list[str] = answer["runs"]

  def run(self, name: str, steps: int) -> dict[str, Any]:
    """Returns `seconds` and `value` of a run of several steps."""
    return self._ask({"run": name, "steps": steps})

  def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
    with contextlib.suppress(BrokenPipeError):
      print(json.dumps(request), file=self._process.stdin, flush=True)
    answer = self._process.stdout.readline()
    if answer:
      return json.loads(answer)
    self._errors.seek(0)
    lines = self._errors.read().strip().splitlines()
    raise WorkerError(lines[-1] if lines else f"exit code {self._process.wait()}")

  def close(self) -> None:
    """Ends the process."""
    self._process.kill()
    self._process.wait()
    with contextlib.suppress(BrokenPipeError):  # of a request that it did not read
      self._process.stdin.close()
    self._process.stdout.close()
    self._errors.close()

  def __enter__(self) -> "Worker":
    return self

  def __exit__(self, *exception: object) -> None:
    self.close()


class Opened(NamedTuple):
  """The workers by name, and the reasons why others could not be opened."""

  workers: dict[str, Worker]
  failed: dict[str, str]


# By name: interpreter, module, problem and options of a worker.
Plans = Mapping[str, tuple[str, str, Problem, dict[str, Any]]]


@contextlib.contextmanager
def opened(settings: Settings, plans: Plans, alone: bool = False) -> Iterator[Opened]:
  """Opens workers one after another; `alone` if nothing else may run while they compile."""

  def build(name: str) -> Worker | WorkerError:
    try:
      return stack.enter_context(Worker(settings, *plans[name]))
    except WorkerError as error:
      return error

  with contextlib.ExitStack() as stack:
    if settings.small:  # compile times do not matter, so two workers are built at once
      with ThreadPoolExecutor(2) as pool:
        built = dict(zip(plans, pool.map(build, plans), strict=True))
    else:
      built = {name: build(name) for name in in_turns(settings, list(plans), alone)}
    yield Opened(
      {name: worker for name, worker in built.items() if isinstance(worker, Worker)},
      {name: str(error) for name, error in built.items() if isinstance(error, WorkerError)},
    )


class Cell(NamedTuple):
  """One timing: a run of a worker."""

  name: str
  worker: Worker
  run: str


def time_cells(settings: Settings, cells: list[Cell]) -> dict[str, dict[str, Any]]:
  """Returns the steps in a block and the seconds per step in each round, by the name of the cell.

  In every round each cell runs one block, in a new random order, while the others wait. So a slow
  moment of the machine affects all of them, and the ratios within a round are meaningful.
  """
  steps = {}
  for cell in in_turns(settings, cells):
    cell.worker.run(cell.run, 1)
    seconds = cell.worker.run(cell.run, 1)["seconds"]
    steps[cell.name] = max(1, round(settings.block_seconds / seconds))
  times: dict[str, list[float]] = {cell.name: [] for cell in cells}
  for _ in in_turns(settings, range(settings.rounds)):
    for cell in random.sample(cells, len(cells)):
      number = steps[cell.name]
      times[cell.name].append(cell.worker.run(cell.run, number)["seconds"] / number)
  return {
    name: {"steps": steps[name], "seconds": [float(f"{s:.4g}") for s in seconds]}
    for name, seconds in times.items()
  }


def describe_machine(settings: Settings) -> dict[str, Any]:
  """Returns device, threads and versions of the measurement."""
  code = "import jax, sys; print(jax.devices()[0].device_kind, jax.__version__, sep='|')"
  python = settings.pythons["mlseg"]
  command = subprocess.run(
    [python, "-c", code], env=environment(settings), capture_output=True, text=True, check=True
  )
  kind, jax_version = command.stdout.strip().split("|")
  versions = {"Python": platform.python_version(), "jax": jax_version}
  device = _processor() if kind == "cpu" else kind
  return {"device": device, "threads": settings.threads, "versions": versions}


def _processor() -> str:
  with contextlib.suppress(OSError):
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
      if line.startswith("model name"):
        return line.partition(":")[2].strip()
  return platform.processor() or platform.machine()


def quartiles(values: list[float]) -> tuple[float, float, float]:
  """Returns the first quartile, the median and the third."""
  if len(values) == 1:
    return values[0], values[0], values[0]
  low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
  return low, middle, high
