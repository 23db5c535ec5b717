"""Tasks in several processes: the same results in the same order, and errors that are told."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from mlseg import process_pool
from mlseg.metrics import object_scores, objects, surface_cases
from tests.metrics.random_masks import random_pair


def _square(number):
  return number * number


def _where(task):
  return task, os.getpid(), signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def _fail(number):
  if number == 3:
    raise ValueError(f"number: must not be 3, got {number}")
  return number


def _die(number):
  if number == 3:
    os._exit(1)
  return number


@pytest.mark.slow
def test_results_are_in_order_and_come_from_processes_that_leave_ctrl_c_to_this_one():
  calls = []
  results = process_pool.run(
    _where, range(41), num_processes=2, progress=lambda *counts: calls.append(counts)
  )
  tasks, processes, ignoring = zip(*results, strict=True)
  assert list(tasks) == list(range(41))
  assert os.getpid() not in processes
  assert all(ignoring)
  done, totals = zip(*calls, strict=True)
  assert set(totals) == {41}
  assert list(done) == sorted(set(done))
  assert done[-1] == 41
  assert len(done) >= 8


@pytest.mark.parametrize("options", [{"num_processes": 1}, {"serial_below": 6}])
def test_little_work_stays_in_this_process(options):
  calls = []
  results = process_pool.run(
    _where, range(5), progress=lambda *counts: calls.append(counts), **options
  )
  assert {process for _, process, _ in results} == {os.getpid()}
  assert calls == [(n, 5) for n in range(1, 6)]


@pytest.mark.slow
def test_a_stream_of_results_is_in_order_too():
  results = process_pool.stream(_where, range(41), 2)
  assert next(results)[0] == 0
  tasks, processes, _ = zip(*results, strict=True)
  assert list(tasks) == list(range(1, 41))
  assert os.getpid() not in processes
  with pytest.raises(ValueError, match="must not be 3, got 3"):
    list(process_pool.stream(_fail, range(6), 2))
  with pytest.raises(RuntimeError, match="ended before its tasks did"):
    list(process_pool.stream(_die, range(6), 2))


def test_no_tasks_have_no_results():
  assert process_pool.run(_square, [], num_processes=2) == []


@pytest.mark.slow
def test_metrics_are_bitwise_those_of_one_process():
  predictions, masks = (
    np.concatenate([random_pair(seed, num_classes=3, shape=(14, 17))[k] for seed in range(12)])
    for k in (0, 1)
  )
  here, there = (
    surface_cases.per_case_surface(predictions, masks, 3, num_processes=number) for number in (1, 2)
  )
  for name, values in here.metrics.items():
    np.testing.assert_array_equal(values, there.metrics[name])
  for case, expected in zip(here.distances, there.distances, strict=True):
    np.testing.assert_equal(case, expected)
  labels = [np.stack(list(map(objects.label_objects, images))) for images in (predictions, masks)]
  alone, together = (
    object_scores.per_case_objects(*labels, num_processes=number) for number in (1, 2)
  )
  np.testing.assert_equal(alone, together)


@pytest.mark.slow
@pytest.mark.parametrize("num_processes", [1, 2])
def test_an_error_of_a_task_reaches_the_caller(num_processes):
  with pytest.raises(ValueError, match="must not be 3, got 3"):
    process_pool.run(_fail, range(6), num_processes=num_processes)


@pytest.mark.slow
def test_an_error_of_the_progress_reaches_the_caller():
  def progress(done, total):
    raise KeyError("progress")

  with pytest.raises(KeyError, match="progress"):
    process_pool.run(_square, range(6), num_processes=2, progress=progress)


@pytest.mark.slow
def test_a_process_that_dies_is_told():
  with pytest.raises(RuntimeError, match="a process ended before its tasks did"):
    process_pool.run(_die, range(6), num_processes=2)


def test_num_processes_is_checked():
  with pytest.raises(ValueError, match="num_processes: must be at least 1, got 0"):
    process_pool.run(_square, [1], num_processes=0)


def _script(folder: pathlib.Path, text: str) -> list[str]:
  (folder / "script.py").write_text(textwrap.dedent(text))
  return [sys.executable, str(folder / "script.py")]


@pytest.mark.slow
def test_a_script_without_its_guard_is_told_what_it_lacks(tmp_path):
  command = _script(
    tmp_path,
    """
    from mlseg import process_pool as pool
    pool.run(abs, range(4), num_processes=2)
    """,
  )
  done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
  assert done.returncode == 1
  assert 'the script that was started lacks `if __name__ == "__main__":`' in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent to groups of processes")
def test_ctrl_c_ends_all_processes_soon(tmp_path):
  # The first tasks tell that both processes are at work; of the others each has 32 at a time.
  command = _script(
    tmp_path,
    """
    import time
    from mlseg import process_pool as pool
    if __name__ == "__main__":
      tasks = [0.01] * 64 + [1.0] * 2000
      pool.run(time.sleep, tasks, num_processes=2, progress=lambda *n: print(n, flush=True))
    """,
  )
  process = subprocess.Popen(
    command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
  )
  for _ in range(2):
    process.stdout.readline()
  began = time.monotonic()
  os.killpg(process.pid, signal.SIGINT)
  process.communicate(timeout=100)  # the pipe closes when the last process has ended
  assert process.returncode == -signal.SIGINT
  assert time.monotonic() - began < 20
