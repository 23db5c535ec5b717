"""The exit code of a command that trains, and the one line that it prints."""

import signal

import pytest

from mlseg.errors import UserError
from mlseg.training import launch
from mlseg.training.stopping import Stopped
from mlseg.training.train import DivergedError


def _raise(error):
  def work(reporter):
    raise error

  return work


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (1, 1)])
def test_the_code_is_that_of_the_work(returned, code, capsys):
  assert launch.run(lambda reporter: returned, "loop", 1) == code
  assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
  ("error", "code", "line"),
  [
    (UserError("no such folder"), 2, "mlseg: no such folder\n"),
    (
      DivergedError({(0, 0): "seed 0 stopped", (0, 1): "seed 1 too"}),
      1,
      "mlseg: seed 0 stopped; seed 1 too\n",
    ),
  ],
)
def test_an_error_is_one_line(error, code, line, capsys):
  assert launch.run(_raise(error), "loop", 1) == code
  assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_run_that_was_told_to_stop_says_where(signum, code, capsys):
  assert launch.run(_raise(Stopped(signum, 12)), "loop", 1) == code
  printed = capsys.readouterr()
  assert f"mlseg: stopped by {signum.name} and saved at step 12" in printed.out
  assert printed.err == ""


@pytest.mark.parametrize(
  ("error", "code", "line"),
  [
    (OSError(28, "No space left on device", "a/b"), 2, "mlseg: a/b: No space left on device\n"),
    (MemoryError(), 2, "mlseg: out of memory, or of room on a disk: MemoryError\n"),
    (KeyboardInterrupt(), 130, "mlseg: stopped; the same command goes on from the last checkp"),
  ],
)
def test_a_fault_of_the_machine_is_one_line(error, code, line, capsys):
  assert launch.run(_raise(error), "loop", 1) == code
  printed = capsys.readouterr()
  assert printed.out == ""
  assert printed.err.startswith(line)
  assert printed.err.count("\n") == 1


def test_a_mistake_in_the_code_keeps_its_traceback():
  with pytest.raises(ZeroDivisionError):
    launch.run(lambda reporter: 1 // 0, "loop", 1)
