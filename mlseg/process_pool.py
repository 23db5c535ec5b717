"""Runs a function over many tasks in several processes: metrics of the host, reading of files."""

import concurrent.futures
import ctypes
import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
Progress = Callable[[int, int], Any]

_CHUNKS_PER_PROCESS = 8  # so that no process waits long for the last one
_LARGEST_CHUNK = 32  # so that progress is reported often
_stopped: Any = None  # in a process of the pool: whether the caller no longer wants results


def run(
  function: Callable[[Task], Result],
  tasks: Iterable[Task],
  *,
  num_processes: int | None = None,
  serial_below: int = 0,
  progress: Progress | None = None,
) -> list[Result]:
  """Returns [function(task) for task in tasks], computed in several processes.

  The processes are spawned, because a fork of a process in which JAX runs threads can deadlock. A
  spawned process imports the script that was started. So a script that calls this must do so under
  `if __name__ == "__main__":`, and `function` must be importable: no lambda, no local function.
  Ctrl-C reaches only the caller. As with any other exception, each process ends after its current
  task, and the exception is raised.

  Args:
    function: takes one task; deterministic, so that the results do not depend on num_processes.
    tasks: must be picklable, and their results too.
    num_processes: at least 1; with 1, this process computes. None: one per usable CPU.
    serial_below: if there are fewer tasks than this, num_processes=None computes in this process,
      since it takes about a second to start others.
    progress: called in this process as progress(number of tasks done, number of tasks).

  Returns:
    One result per task, in the order of tasks. No task: [].

  Raises:
    ValueError: where num_processes is below 1.
    RuntimeError: where a process ends before its tasks do.

  Example:
    >>> run(abs, [3, -4, 0], num_processes=1)
    [3, 4, 0]
  """
  if num_processes is not None and num_processes < 1:
    raise ValueError(f"num_processes: must be at least 1, got {num_processes}")
  tasks = list(tasks)
  progress = progress or (lambda done, total: None)
  if num_processes is None:
    num_processes = usable_cpus() if len(tasks) >= serial_below else 1
  num_processes = min(num_processes, len(tasks))
  if num_processes <= 1:
    return _run_here(function, tasks, progress)
  return _run_in_processes(function, tasks, num_processes, progress)


def stream(
  function: Callable[[Task], Result], tasks: Iterable[Task], num_processes: int
) -> Iterator[Result]:
  """Yields function(task) for each task in their order, computed in several processes as by `run`.

  A result is held until it is its turn, and no longer: they need not fit into memory together.

  Args:
    function: as in `run`.
    tasks: as in `run`.
    num_processes: at least 2.

  Raises:
    RuntimeError: where a process ends before its tasks do.
  """
  tasks = list(tasks)
  with _executor(num_processes) as executor:
    futures = [executor.submit(_run_chunk, function, own) for own in _chunks(tasks, num_processes)]
    futures.reverse()
    while futures:
      yield from futures.pop().result()


def usable_cpus() -> int:
  """Returns the number of CPUs this process may use, which the limits of a job can restrict.

  Example:
    >>> usable_cpus() >= 1
    True
  """
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _run_here(function, tasks: list, progress: Progress) -> list:
  results = []
  for task in tasks:
    results.append(function(task))
    progress(len(results), len(tasks))
  return results


def _run_in_processes(function, tasks: list, num_processes: int, progress: Progress) -> list:
  chunks = _chunks(tasks, num_processes)
  with _executor(num_processes) as executor:
    futures = {executor.submit(_run_chunk, function, chunk): len(chunk) for chunk in chunks}
    done = 0
    for future in concurrent.futures.as_completed(futures):
      future.result()  # the first error ends the wait
      done += futures[future]
      progress(done, len(tasks))
    return [result for future in futures for result in future.result()]


def _chunks(tasks: list, num_processes: int) -> list[list]:
  size = min(math.ceil(len(tasks) / (num_processes * _CHUNKS_PER_PROCESS)), _LARGEST_CHUNK)
  return [tasks[start : start + size] for start in range(0, len(tasks), size)]


@contextmanager
def _executor(num_processes: int) -> Iterator[concurrent.futures.Executor]:
  """Gives processes, which end with the block, each after its current task."""
  context = multiprocessing.get_context("spawn")
  stopped = context.RawValue(ctypes.c_bool, False)  # no lock that a killed process could hold
  executor = concurrent.futures.ProcessPoolExecutor(
    num_processes, context, _begin_process, (stopped,)
  )
  try:
    yield executor
  except BrokenProcessPool as error:
    raise RuntimeError(
      "num_processes: a process ended before its tasks did: it was killed (for want of memory?), "
      'or the script that was started lacks `if __name__ == "__main__":`; num_processes=1 needs '
      "no other process"
    ) from error
  finally:
    stopped.value = True
    executor.shutdown(wait=True, cancel_futures=True)


def _begin_process(stopped) -> None:
  global _stopped
  _stopped = stopped
  signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_chunk(function, chunk: list) -> list:
  return [function(task) for task in chunk if not _stopped.value]
