"""Two processes: they end together, and a person reads in one line what happened to the job."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

from mlseg.devices import processes

ROOT = pathlib.Path(__file__).parents[2]
HEARTBEAT = 5  # seconds


class Process(subprocess.Popen):
  """A process of a job of two."""

  def __init__(self, port, process_id, *mode, **environ):
    environ = os.environ | {
      "JAX_PLATFORMS": "cpu",
      "JAX_NUM_CPU_DEVICES": "1",
      "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}",
      "JAX_NUM_PROCESSES": "2",
      "JAX_PROCESS_ID": str(process_id),
      "MLSEG_HEARTBEAT_SECONDS": str(HEARTBEAT),
    } | environ  # fmt: skip
    super().__init__(
      [sys.executable, "-m", "tests.launch.program", *map(str, mode)],
      cwd=ROOT,
      env=environ,
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    self.before = ""

  def wait_for(self, text):
    """Reads until a line contains the text."""
    while text not in self.before:
      line = self.stdout.readline()
      assert line, self.before
      self.before += line

  def end(self, seconds=60):
    """Returns the exit code and the output."""
    try:
      return self.returncode, self.before + self.communicate(timeout=seconds)[0]
    finally:
      self.kill()

  def messages(self, seconds=60):
    """Returns the exit code and the lines of mlseg for the user."""
    output = self.end(seconds)[1]
    return self.returncode, [line for line in output.splitlines() if line.startswith("mlseg: ")]


@pytest.fixture
def start():
  """Starts both processes of a job."""
  processes = []

  def start(*mode, **environ):
    port = free_port()
    processes.extend(Process(port, i, *mode, **environ) for i in range(2))
    if mode[0] == "long":
      for process in processes:
        process.wait_for("process ")
    return processes

  yield start
  for process in processes:
    process.kill()
    process.communicate()


def free_port():
  with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    return s.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_killed_process_ends_the_job(start, lost):
  processes = start("long")
  processes[lost].kill()
  start_of_end = time.monotonic()
  code, messages = processes[1 - lost].messages(seconds=HEARTBEAT + 30)
  assert time.monotonic() - start_of_end < HEARTBEAT + 20
  assert code != 0
  assert len(messages) == 1
  assert f"process {1 - lost} of 2" in messages[0]
  assert "start the same job again, it goes on from its last checkpoint" in messages[0]
  # The killed one has its line too: it may have been the kernel, short of memory.
  code, messages = processes[lost].messages()
  assert code == -signal.SIGKILL
  assert len(messages) == 1
  assert f"process {lost} of 2 was killed" in messages[0]


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_in_one_process_ends_the_other(start, failing):
  processes = start("error", failing)
  code, output = processes[failing].end(seconds=60)
  assert processes[failing].returncode == 1
  assert output.count("OSError: no space left on device") == 1
  assert "mlseg: " not in output
  code, messages = processes[1 - failing].messages(seconds=HEARTBEAT + 30)
  assert code != 0
  assert len(messages) == 1


@pytest.mark.slow
def test_an_error_in_all_processes_is_reported_by_each(start):
  for process in start("wrong"):
    code, messages = process.messages()
    assert code == 2
    assert messages == ["mlseg: everybody was given the wrong folder"]


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_to_one_process_stops_both_in_the_same_turn(start, signum, code):
  processes = start("long")
  processes[1].send_signal(signum)
  ends = [process.end()[1].split("stopped by")[1] for process in processes]
  assert ends[0] == ends[1]
  assert [process.returncode for process in processes] == [code, code]


@pytest.mark.slow
def test_without_process_0_the_other_says_where_it_looked():
  port = free_port()
  code, messages = Process(port, 1, "long", MLSEG_START_SECONDS="1").messages()
  assert code == processes.EXIT_LOST
  assert len(messages) == 1
  assert f"process 1 of 2 could not reach process 0 at 127.0.0.1:{port} within 1 s" in messages[0]


@pytest.mark.slow
def test_without_the_others_process_0_says_that_it_waited():
  code, messages = Process(free_port(), 0, "long", MLSEG_START_SECONDS="1").messages()
  assert code != 0
  assert len(messages) == 1
  assert "process 0 of 2 waited 1 s in vain for all processes of the job to start" in messages[0]


@pytest.mark.slow
def test_a_port_that_is_taken_is_reported():
  with socket.socket(socket.AF_INET6) as taken:
    taken.bind(("::", 0))
    taken.listen()
    port = taken.getsockname()[1]
    code, messages = Process(port, 0, "long").messages()
  assert code == 2
  assert len(messages) == 1
  assert f"process 0 of 2 cannot listen at port {port} (Address already in use)" in messages[0]


def test_alone_nothing_happens(monkeypatch):
  for name in ("JAX_NUM_PROCESSES", "JAX_PROCESS_ID", "JAX_COORDINATOR_ADDRESS", "SLURM_STEP_ID"):
    monkeypatch.delenv(name, raising=False)
  processes.start()
  assert processes.describe_loss(RuntimeError("Gloo all-reduce failed")) is None
  processes.shutdown()
  with pytest.raises(SystemExit, match="3"):
    processes.leave(3)


def test_only_losses_are_taken_for_losses(monkeypatch):
  monkeypatch.setattr(processes, "_process", (1, 4))
  reset = ValueError("UNKNOWN: Gloo all-reduce failed:\n [pair.cc:538] Connection reset by peer")
  line = processes.describe_loss(reset)
  assert line.startswith("process 1 of 4 lost another process of the job (UNKNOWN: Gloo all-")
  assert "\n" not in line
  assert processes.describe_loss(RuntimeError("RESOURCE_EXHAUSTED: out of memory")) is None
  assert processes.describe_loss(OSError("Connection reset by peer")) is None
