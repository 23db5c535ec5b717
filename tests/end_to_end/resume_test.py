"""The main command killed at any moment, or told to stop and given a damaged checkpoint."""

import os
import random
import signal
import time

import numpy as np
import pytest

from tests.end_to_end import command

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
  """The folder of a run that nobody disturbed."""
  workdir = tmp_path_factory.mktemp("unbroken")
  command.run(workdir)
  return workdir


def _wait_for_step(step, workdir, process):
  command.wait_for(lambda: max(command.steps(workdir), default=0) >= step, process)


def test_killed_three_times_the_run_ends_bitwise_equal(unbroken, tmp_path):
  workdir = tmp_path / "run"
  random_moment = random.Random(os.getpid())

  def saving():
    return any((workdir / "checkpoints").rglob("*orbax-checkpoint-tmp*"))

  # While a checkpoint is written: the temporary folder that stays behind tells that it was cut in
  # the middle. A save that was faster than the kill does not count, and the next one is tried.
  for _ in range(5):
    process = command.start(workdir)
    command.wait_for(saving, process)
    process.kill()
    process.communicate()
    if saving():
      break
  assert saving()
  # Then twice at a moment that nobody chose.
  for _ in range(2):
    reached = max(command.steps(workdir), default=0)
    process = command.start(workdir)
    command.wait_for(
      lambda reached=reached: max(command.steps(workdir), default=0) > reached, process
    )
    time.sleep(random_moment.uniform(0, 0.2))
    process.kill()
    process.communicate()
  command.run(workdir)
  step, arrays = command.final(workdir)
  expected_step, expected = command.final(unbroken)
  assert step == expected_step
  assert arrays.keys() == expected.keys()
  for name, array in arrays.items():
    np.testing.assert_array_equal(array, expected[name], err_msg=name)
  assert command.steps(workdir) == command.steps(unbroken)
  assert (workdir / "cases.csv").read_text() == (unbroken / "cases.csv").read_text()


def test_signals_save_and_a_damaged_checkpoint_is_said_and_the_run_ends_bitwise_equal(
  unbroken, tmp_path
):
  stopped_at = 0
  for signum, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
    process = command.start(tmp_path)
    command.wait_for(
      lambda last=stopped_at: max(command.steps(tmp_path), default=0) > last + 2, process
    )
    process.send_signal(signum)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == code, output
    assert "saved at step" in output
    assert "Traceback" not in output
    assert (f"goes on from step {stopped_at} of" in output) == (stopped_at > 0)
    stopped_at = command.steps(tmp_path)[-1]
    assert command.final(tmp_path)[0] == stopped_at
  folder = tmp_path / "checkpoints" / "seed_0"
  saved = sorted((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
  previous, newest = saved[-2:]
  for file in newest.rglob("*"):
    if file.is_file():
      file.write_bytes(file.read_bytes()[:-1])
  # Compiled anew, as on another machine.
  output = command.run(tmp_path, JAX_ENABLE_COMPILATION_CACHE="0")
  assert f"checkpoint of step {newest.name}" in output
  assert "is damaged" in output
  assert f"goes on from step {previous.name} of" in output
  for name, array in command.final(tmp_path)[1].items():
    np.testing.assert_array_equal(array, command.final(unbroken)[1][name], err_msg=name)
