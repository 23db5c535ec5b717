"""Several processes that train one model: how they start, end, and fail together.

What a process knows of its job it has from `cluster.find_job`, or on a TPU from JAX. Two variables
set how long processes wait for each other:

    MLSEG_START_SECONDS       at the start; 300
    MLSEG_HEARTBEAT_SECONDS   for a sign of life later on; 60
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

EXIT_LOST = 75  # EX_TEMPFAIL of sysexits.h: the same command again is the right thing to do

_AGAIN = "start the same job again, it goes on from its last checkpoint"
_SIGNS_OF_LOSS = (  # in the messages of gloo, NCCL, gRPC and JAX's coordination service
  "gloo", "nccl", "connection reset", "connection closed", "broken pipe", "socket closed",
  "heartbeat", "unhealthy", "coordination service", "coordinationservice", "barrier",
)  # fmt: skip
_SHUTDOWN_SECONDS = 3600  # process 0 may write tables and figures while the others are done
_GRACE_SECONDS = 2.0

# Prints the last line that it was given once its input ends, which is also when this process dies.
_WITNESS = """
trap '' INT TERM HUP
last=
while read -r line; do last=$line; done
[ -z "$last" ] || echo "$last" >&2
"""
_witness: subprocess.Popen[str] | None = None
_process = 0, 1  # which this is, of how many


class LostError(Exception):
  """Another process of the job is not there."""


def start() -> None:
  """Joins the job that the environment describes; does nothing where this process is alone.

  To be called before JAX looks at its devices.

  Raises:
    UserError: the environment contradicts itself, or this process cannot take its place.
    LostError: process 0 cannot be reached.
  """
  global _process
  job = cluster.find_job(os.environ)
  if job is None and not cluster.on_tpu(os.environ):
    return
  heartbeat = cluster.number(os.environ, "MLSEG_HEARTBEAT_SECONDS", 1, 60)
  seconds = cluster.number(os.environ, "MLSEG_START_SECONDS", 1, 300)
  # JAX's preemption service would take SIGTERM away from the training loop, which saves and stops.
  jax.config.update("jax_enable_preemption_service", False)
  _call_witness()
  if job is not None:
    _process = job.process_id, job.num_processes
  # JAX ends a process that waits too long from C++, with a stack trace and without an exception.
  _tell_witness(
    f"{_who()} waited {seconds} s in vain for all processes of the job to start: see what the"
    " others say; MLSEG_START_SECONDS sets the time"
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
    f"{_who()} was killed, or JAX ended it because another process of the job was lost; {_AGAIN}"
  )
  _end_the_job_on_errors()


def _initialize(job: cluster.Job | None, heartbeat: int, seconds: int) -> None:
  try:
    jax.distributed.initialize(
      job and job.address,
      job and job.num_processes,
      job and job.process_id,
      job and job.device_ids,
      cluster_detection_method="deactivate" if job else None,  # on a TPU JAX knows
      initialization_timeout=seconds,
      heartbeat_timeout_seconds=heartbeat,
      shutdown_timeout_seconds=_SHUTDOWN_SECONDS,
    )
  except (jax.errors.JaxRuntimeError, RuntimeError, ValueError) as error:
    where = f"at {job.address}" if job else "of this TPU"
    raise UserError(f"{_who()} could not join the job {where}: {_one_line(error)}") from error


def _meet(job: cluster.Job, seconds: int) -> None:
  """Checks that process 0 can listen; has the others wait until it does.

  JAX itself would crash on a port that is taken, and be killed by its own clock after a long wait.
  """
  if job.process_id:
    _wait_for_port(job.address, seconds)
    return
  port = int(job.address.rpartition(":")[2])
  try:
    socket.create_server(("", port)).close()
  except OSError as error:
    reason = os.strerror(error.errno or 0)  # error.strerror goes on about the address
    raise UserError(
      f"{_who()} cannot listen at port {port} ({reason}): give all processes another one in"
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
          f"{_who()} could not reach process 0 at {address} within {seconds} s ({error}): is it"
          " running, and is the port open? MLSEG_START_SECONDS sets the time"
        ) from error
    time.sleep(0.2)


def describe_loss(error: BaseException) -> str | None:
  """Returns one line for a person if an error means that another process is gone, else None."""
  if isinstance(error, LostError):
    return str(error)
  # Some of JAX's paths from the runtime to Python turn its errors into a ValueError.
  if _process[1] == 1 or not isinstance(error, RuntimeError | ValueError):
    return None
  text = _one_line(error)
  if not any(sign in text.lower() for sign in _SIGNS_OF_LOSS):
    return None
  return f"{_who()} lost another process of the job ({text}); {_AGAIN}"


def shutdown() -> None:
  """Ends the job in peace, once all processes are done; does nothing where this one is alone."""
  if jax.distributed.is_initialized():
    jax.distributed.shutdown()
  _dismiss_witness()


def leave(code: int) -> NoReturn:
  """Ends this process with an error, and with it the job.

  An ordinary exit would wait until the other processes are done, and they would wait for this one.
  """
  _dismiss_witness()
  if not jax.distributed.is_initialized():
    sys.exit(code)
  sys.stdout.flush()
  sys.stderr.flush()
  if _process[0] == 0:
    # Without process 0 JAX ends the others at once, from C++. Where all of them meet the same
    # error, each should have said so.
    time.sleep(_GRACE_SECONDS)
  os._exit(code)


def _end_the_job_on_errors() -> None:
  """Has an unexpected error end the job, rather than leave the others waiting for this process."""
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


def _call_witness() -> None:
  """Starts a shell that outlives this process by a moment.

  Where a process is lost, JAX ends the others from C++, and no Python code of theirs can say in
  plain words what happened; nor can that of a process that was killed.
  """
  global _witness
  _witness = subprocess.Popen(["sh", "-c", _WITNESS], stdin=subprocess.PIPE, text=True)
  atexit.register(_dismiss_witness)


def _tell_witness(line: str) -> None:
  """Gives the witness what to print if this process ends without a word."""
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


def _who() -> str:
  return f"process {_process[0]} of {_process[1]}"


def _one_line(error: BaseException) -> str:
  text = " ".join(str(error).split())
  return text if len(text) < 200 else f"{text[:200]} ..."
