"""The frame of a command that trains: devices, processes, and exit codes."""

import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlseg.devices import runtime
from mlseg.errors import UserError, machine_fault

if TYPE_CHECKING:
  from mlseg.console import Reporter


def run(work: Callable[["Reporter"], int | None], strategy: str, num_models: int) -> int:
  """Does a command's work, in as many processes as the job has; returns the exit code.

  Args:
    work: a function of the console; returns the exit code, None for 0.
    strategy: `config.seeds.strategy`.
    num_models: the number of models that are trained.
  """
  # After the flags: a mistake in them should not wait for jax to load.
  import jax

  from mlseg.console import Reporter
  from mlseg.devices import processes, sharding
  from mlseg.training import train
  from mlseg.training.stopping import Stopped

  try:
    runtime.keep_compiled_programs()
    runtime.share_cpu(strategy, num_models)
    processes.start()
    code = work(Reporter(quiet=not sharding.is_main())) or 0
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    code = 2
  except train.DivergedError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    code = 1
  except Stopped as stopped:
    if sharding.is_main():
      print(f"mlseg: {stopped}")
    code = 0 if stopped.signum == signal.SIGTERM else 130
  except KeyboardInterrupt:
    print("mlseg: stopped; the same command goes on from the last checkpoint", file=sys.stderr)
    code = 130
  except Exception as error:
    loss, fault = processes.describe_loss(error), machine_fault(error)
    if loss is None and fault is None:
      raise
    print(f"mlseg: {loss or fault}", file=sys.stderr)
    if loss:
      processes.leave(processes.EXIT_LOST)
    code = 2
  if code in (1, 2, 130) and jax.distributed.is_initialized():
    processes.leave(code)
  processes.shutdown()
  return code
