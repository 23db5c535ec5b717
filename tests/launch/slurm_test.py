"""launch/slurm.sh and slurm_sweep.sh through a real Slurm of one node, which the tests start."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
TASKS = ["--ntasks-per-node=2", "--cpus-per-task=1"]
PROGRAM = {"PROGRAM": "tests.launch.program"}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
  """Starts Slurm; returns a function that calls one of its commands."""
  missing = [name for name in ("slurmctld", "slurmd", "munged", "srun") if not shutil.which(name)]
  if missing:
    pytest.skip(
      f"{', '.join(missing)} not found: on Debian,"
      " apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
    )
  if os.geteuid():
    pytest.skip("only root can start Slurm's daemons")
  folder = tmp_path_factory.mktemp("slurm")
  clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "JAX_", "MLSEG_"))}
  clean |= {
    "SLURM_CONF": str(folder / "slurm.conf"),
    "PYTHON": sys.executable,
    "MLSEG_CACHE": os.environ["MLSEG_CACHE"],  # not the user's own
    "JAX_PLATFORMS": "cpu",
    "MLSEG_HEARTBEAT_SECONDS": "10",
  }

  def call(*command, timeout=240, check=True, **environ):
    result = subprocess.run(
      [str(part) for part in command],
      cwd=ROOT,
      env=clean | environ,
      capture_output=True,
      text=True,
      timeout=timeout,
    )
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result

  try:
    call(HERE / "start_slurm.sh", folder)
    yield call
  finally:
    call(HERE / "stop_slurm.sh", folder)


def _wait_for(condition, seconds=60):
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.1)


def _start_long(slurm, output):
  """Submits a job that does not end by itself; returns its number once its processes work."""
  options = [*TASKS, "--parsable", f"--output={output}"]
  job = slurm("sbatch", *options, "launch/slurm.sh", "long", **PROGRAM).stdout.strip()
  _wait_for(lambda: output.exists() and output.read_text().count("process ") == 2)
  return job


def _state(slurm, job):
  return slurm("scontrol", "--oneliner", "show", "job", job).stdout


def test_two_tasks_train_to_the_end(slurm, tmp_path):
  arguments = ["--config=configs/smoke.py", "--config.data.image_size=16", "--config.num_epochs=1"]
  output = tmp_path / "output"
  slurm(
    *["sbatch", "--wait", *TASKS, f"--output={output}", "launch/slurm.sh"],
    *[*arguments, f"--workdir={tmp_path / 'run'}"],
    check=False,
  )
  text = output.read_text()
  assert (tmp_path / "run" / "results.json").exists(), text
  assert json.loads((tmp_path / "run" / "results.json").read_text())["seeds"] == [0]
  assert "2 processes" in text
  assert "Traceback" not in text
  assert text.count("rows, results and figures are in") == 1  # one process speaks


def test_a_task_that_fails_ends_the_job_and_its_output_says_so(slurm, tmp_path):
  output = tmp_path / "output"
  options = ["--wait", *TASKS, f"--output={output}"]
  result = slurm("sbatch", *options, "launch/slurm.sh", "error", "1", check=False, **PROGRAM)
  text = output.read_text()
  assert result.returncode != 0
  assert "OSError: no space left on device" in text
  assert "slurm.sh: a process ended with code" in text.splitlines()[-1]


def test_near_its_time_limit_a_job_saves_and_is_queued_again(slurm, tmp_path):
  output = tmp_path / "output"
  job = _start_long(slurm, output)
  slurm("scancel", "--batch", "--signal=TERM", job)  # what --signal=B:TERM@120 has Slurm do
  _wait_for(lambda: "Restarts=1" in _state(slurm, job))
  assert output.read_text().count("stopped by 15") == 2
  slurm("scancel", job)


def test_a_job_that_is_cancelled_saves_and_is_not_queued_again(slurm, tmp_path):
  output = tmp_path / "output"
  job = _start_long(slurm, output)
  slurm("scancel", job)
  _wait_for(lambda: "JobState=CANCELLED" in _state(slurm, job))
  assert output.read_text().count("stopped by 15") == 2
  assert "Restarts=0" in _state(slurm, job)


def test_the_tasks_of_a_sweep_know_their_number(slurm, tmp_path):
  options = ["--wait", "--array=0-1", "--cpus-per-task=1", f"--output={tmp_path}/%a"]
  slurm("sbatch", *options, "launch/slurm_sweep.sh", "short", "--grid=seed=0,1", **PROGRAM)
  for task in range(2):
    text = (tmp_path / str(task)).read_text()
    assert "process 0 of 1" in text
    assert f"done {task} short --grid=seed=0,1 --task={task} --num_tasks=2" in text
