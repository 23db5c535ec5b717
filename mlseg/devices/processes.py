"""Starts and ends a job of several processes that train together, and reports their failures.

`cluster.find_job` describes the job, or JAX on a TPU. Two environment variables set how long the
processes wait for each other:

    MLSEG_START_SECONDS       until all have started; 300 by default
    MLSEG_HEARTBEAT_SECONDS   for a heartbeat afterwards; 60 by default
"""

import atexit
import os
import socket
import subprocess
import sys
import time
import types
from typing import NoReturn

import jax

from mlseg.devices import cluster
from mlseg.errors import UserError

EXIT_LOST = 75  # EX_TEMPFAIL of sysexits.h: the same command may succeed later

_AGAIN = "start the same job again, it goes on from its last checkpoint"
_SIGNS_OF_LOSS = (  # texts in the messages of gloo, NCCL, gRPC and JAX's coordination service
  "gloo", "nccl", "connection reset", "connection closed", "broken pipe", "socket closed",
  "heartbeat", "unhealthy", "coordination service", "coordinationservice", "barrier",
)  # fmt: skip
_SHUTDOWN_SECONDS = 3600  # the others wait this long while process 0 writes tables and figures
_GRACE_SECONDS = 2.0

# Prints the last line that it received when its input ends, as it does when this process dies.
_WITNESS = """
trap '' INT TERM HUP
last=
while read -r line; do last=$line; done
[ -z "$last" ] || echo "$last" >&2
"""
_witness: subprocess.Popen[str] | None = None
_process = 0, 1  # number of this process, number of processes


class LostError(Exception):
  """Another process of the job cannot be reached."""


def start() -> None:
  """Joins the job that the environment describes; does nothing if this process runs alone.

  It must be called before JAX initialises its devices.

  Raises:
    UserError: the environment contradicts itself, or this process cannot join the job.
    LostError: process 0 cannot be reached.
  """
  global _process
  job = cluster.find_job(os.environ)
  if job is None and not cluster.on_tpu(os.environ):
    return
  heartbeat = cluster.number(os.environ, "MLSEG_HEARTBEAT_SECONDS", 1, 60)
  seconds = cluster.number(os.environ, "MLSEG_START_SECONDS", 1, 300)
  # JAX's preemption service would catch SIGTERM, on which the training loop saves and stops.
  jax.config.update("jax_enable_preemption_service", False)
  _start_witness()
  if job is not None:
    _process = job.process_id, job.num_processes
  # JAX ends a process that waits too long from C++, with a stack trace and without an exception.
  _tell_witness(
    f"{_name()} waited {seconds} s in vain for all processes of the job to start: see the messages"
    " of the others; MLSEG_START_SECONDS sets the time"
  )
  try:
    if job is not None:
      _meet(job, seconds)
    _initialize(job, heartbeat, seconds)
  except (UserError, LostError):
    _dismiss_witness()
    raise
  if job is None:
    _process = jax.process_index(), jax.process_count()
  _tell_witness(
    f"{_name()} was killed, or JAX ended it because another process of the job was lost; {_AGAIN}"
  )
  _end_the_job_on_errors()


def _initialize(job: cluster.Job | None, heartbeat: int, seconds: int) -> None:
  try:
    jax.distributed.initialize(
      job and job.address,
      job and job.num_processes,
      job and job.process_id,
      job and job.device_ids,
      cluster_detection_method="deactivate" if job else None,  # on a TPU, JAX detects the job
      initialization_timeout=seconds,
      heartbeat_timeout_seconds=heartbeat,
      shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
    )
  except (jax.errors.JaxRuntimeError, RuntimeError, ValueError) as error:
    where = f"at {job.address}" if job else "of this TPU"
    raise UserError(f"{_name()} could not join the job {where}: {_one_line(error)}") from error


def _meet(job: cluster.Job, seconds: int) -> None:
  """Checks that process 0 can listen at its port, or waits until it does.

  JAX itself would crash on a port that is in use, and would abort after a long wait.
  """
  if job.process_id:
    _wait_for_port(job.address, seconds)
    return
  port = int(job.address.rpartition(":")[2])
  try:
    socket.create_server(("", port)).close()
  except OSError as error:
    reason = os.strerror(error.errno or 0)  # error.strerror repeats the address
    raise UserError(
      f"{_name()} cannot listen at port {port} ({reason}): give all processes another one in"
      " JAX_COORDINATOR_ADDRESS, or in JAX_COORDINATOR_PORT under Slurm"
    ) from error


def _wait_for_port(address: str, seconds: int) -> None:
  """Waits until process 0 listens."""
  host, _, port = address.rpartition(":")
  end = time.monotonic() + seconds
  while True:
    try:
      socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
      return
    except (OSError, UnicodeError) as error:
      if time.monotonic() > end:
        raise LostError(
          f"{_name()} could not reach process 0 at {address} within {seconds} s ({error}): is it"
          " running, and is the port open? MLSEG_START_SECONDS sets the time"
        ) from error
    time.sleep(0.2)


def describe_loss(error: BaseException) -> str | None:
  """Returns a one-line message if an error means that another process is lost, else None."""
  if isinstance(error, LostError):
    return str(error)
  # JAX turns some errors of its runtime into a ValueError.
  if _process[1] == 1 or not isinstance(error, RuntimeError | ValueError):
    return None
  text = _one_line(error)
  if not any(sign in text.lower() for sign in _SIGNS_OF_LOSS):
    return None
  return f"{_name()} lost another process of the job ({text}); {_AGAIN}"


def shutdown() -> None:
  """Ends the job when all processes are done; does nothing if this process runs alone."""
  if jax.distributed.is_initialized():
    jax.distributed.shutdown()
  _dismiss_witness()


def leave(code: int) -> NoReturn:
  """Ends this process with an exit code that is an error, and thereby the job.

  An ordinary exit would wait for the other processes, while they wait for this one.
  """
  _dismiss_witness()
  if not jax.distributed.is_initialized():
    sys.exit(code)
  sys.stdout.flush()
  sys.stderr.flush()
  if _process[0] == 0:
    # When process 0 ends, JAX ends the others at once, from C++. If all of them have the same
    # error, this leaves them time to print it.
    time.sleep(_GRACE_SECONDS)
  os._exit(code)


def _end_the_job_on_errors() -> None:
  """Makes an unexpected error end the job, so that the others do not wait for this process."""
  show = sys.excepthook

  def hook(
    kind: type[BaseException], error: BaseException, trace: types.TracebackType | None
  ) -> None:
    show(kind, error, trace)
    loss = describe_loss(error)
    if loss:
      print(f"mlseg: {loss}", file=sys.stderr)
    leave(EXIT_LOST if loss else 1)

  sys.excepthook = hook


def _start_witness() -> None:
  """Starts a shell that outlives this process for a moment and prints why it ended.

  If one process is lost, JAX ends the others from C++, so their Python code cannot print a message;
  neither can that of a process that was killed.
  """
  global _witness
  _witness = subprocess.Popen(["sh", "-c", _WITNESS], stdin=subprocess.PIPE, text=True)
  atexit.register(_dismiss_witness)


def _tell_witness(line: str) -> None:
  """Sends the witness the line to print if this process ends without a message."""
  if _witness is not None and _witness.stdin is not None:
    _witness.stdin.write(f"mlseg: {line}\n" if line else "\n")
    _witness.stdin.flush()


def _dismiss_witness() -> None:
  global _witness
  if _witness is not None and _witness.stdin is not None:
    _tell_witness("")
    _witness.stdin.close()
    _witness.wait()
    _witness = None


def _name() -> str:
  return f"process {_process[0]} of {_process[1]}"


def _one_line(error: BaseException) -> str:
  text = " ".join(str(error).split())
  return text if len(text) < 200 else f"{text[:200]} ..."
