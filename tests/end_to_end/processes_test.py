"""Several devices and processes compute what one does, and a run may change between them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.end_to_end.command import ROOT, SMOKE, steps

pytestmark = pytest.mark.slow

REFERENCE = "1,1,1,device"
ALONE = ("1,4,1,device", "1,2,2,host")
IN_TWO = ("1,4,1,host", "1,1,4,device", "2,2,1,device")


def _free_port():
  with socket.socket() as opened:
    opened.bind(("127.0.0.1", 0))
    return opened.getsockname()[1]


def _start(arguments, *, num_processes, num_devices):
  """Starts the processes of a job on this machine."""
  port = _free_port()
  job = {"JAX_NUM_CPU_DEVICES": str(num_devices)}
  processes = []
  for number in range(num_processes):
    if num_processes > 1:
      job |= {
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
        "JAX_NUM_PROCESSES": str(num_processes),
        "JAX_PROCESS_ID": str(number),
      }
    processes.append(
      subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | job,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
      )
    )
  return processes


def _wait(processes):
  """Returns what the processes printed, once they ended well."""
  outputs = [process.communicate(timeout=600)[0] for process in processes]
  assert [process.returncode for process in processes] == [0] * len(processes), "\n".join(outputs)
  return outputs


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory):
  """What 20 steps compute, by number of processes and case."""
  found = {}
  for number, cases in ((1, (REFERENCE, *ALONE)), (2, IN_TWO)):
    folder = tmp_path_factory.mktemp("steps")
    arguments = ["tests.end_to_end.sharded_steps", str(folder), *cases]
    _wait(_start(arguments, num_processes=number, num_devices=4 // number))
    for case in cases:
      with np.load(folder / f"{case}.npz") as file:
        found[number, case] = dict(file)
  return found


@pytest.mark.parametrize(
  ("processes", "case"), [(1, case) for case in ALONE] + [(2, case) for case in IN_TWO]
)
def test_losses_gradients_statistics_and_parameters_equal_those_of_one_device(
  trajectories, processes, case
):
  expected = trajectories[1, REFERENCE]
  actual = trajectories[processes, case]
  assert actual.keys() == expected.keys()
  assert {name.split(".")[0] for name in expected} == {
    "losses",
    "gradients",
    "statistics",
    "params",
    "average",
  }
  for name, values in expected.items():
    # Relative to the largest entry: one that is zero but for rounding has no digits to compare.
    np.testing.assert_allclose(
      actual[name], values, rtol=0, atol=1e-5 * np.abs(values).max(), err_msg=name
    )


def test_a_run_goes_on_with_another_number_of_devices_and_processes(tmp_path):
  workdir = tmp_path / "run"
  recipe = [
    "mlseg.main",
    SMOKE,
    "--config.num_epochs=9",
    "--config.data.image_size=16",
    "--config.optimizer.name=sgd",
    "--config.optimizer.learning_rate=0.01",
    "--config.metrics.surface=False",
  ]

  def start(folder, num_processes, num_devices):
    arguments = [*recipe, f"--workdir={folder}"]
    return _start(arguments, num_processes=num_processes, num_devices=num_devices)

  _wait(start(tmp_path / "unbroken", 1, 1))
  for num_processes, num_devices in ((1, 1), (2, 1)):
    reached = max(steps(workdir), default=0)
    processes = start(workdir, num_processes, num_devices)
    end = time.monotonic() + 300
    while max(steps(workdir), default=0) < reached + 20:
      assert all(process.poll() is None for process in processes)
      assert time.monotonic() < end
      time.sleep(0.01)
    processes[-1].send_signal(signal.SIGTERM)  # one is told, and all of them stop
    outputs = _wait(processes)
    assert "saved at step" in outputs[0]
    if num_processes > 1:
      assert f"goes on from step {reached} of" in outputs[0]
      assert "mlseg" not in outputs[1]  # the others are silent
  assert max(steps(workdir)) < max(steps(tmp_path / "unbroken"))
  (output,) = _wait(start(workdir, 1, 2))
  assert "data 2" in output
  assert steps(workdir) == steps(tmp_path / "unbroken")
  last = [
    json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    for folder in (workdir, tmp_path / "unbroken")
  ]
  assert last[0]["losses"] == pytest.approx(last[1]["losses"], rel=1e-3)
