"""The program that launchers start in tests instead of training: python -m tests.launch.program.

It adds up one number per device, again and again, until its turns are over or a signal comes; the
argument says what shall happen meanwhile: `MODE [PROCESS]`. It leaves the file that tells a run is
done in a `--workdir`.
"""

import os
import pathlib
import signal
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from mlseg.devices import processes
from mlseg.errors import UserError

TURNS = {"long": 100_000}


def _work(mode: str, process: int) -> int:
  """Returns the exit code."""
  processes.start()
  if mode == "wrong":
    raise UserError("everybody was given the wrong folder")
  stop = []
  for signum in (signal.SIGTERM, signal.SIGINT):
    signal.signal(signum, lambda signum, _: stop.append(signum))
  mesh = jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))
  split, whole = (NamedSharding(mesh, PartitionSpec(name)) for name in ("data", None))
  largest = jax.jit(lambda x: jnp.max(x, keepdims=True), out_shardings=whole)
  for turn in range(TURNS.get(mode, 5)):
    own = np.full(jax.local_device_count(), max(stop, default=0))
    signum = int(largest(jax.make_array_from_process_local_data(split, own))[0])
    if not turn:
      here = f"{jax.process_index()} of {jax.process_count()}"
      print(f"process {here}, {jax.device_count()} devices", flush=True)
    if signum:
      print(f"stopped by {signum} in turn {turn}", flush=True)
      return 0 if signum == signal.SIGTERM else 130
    if mode == "error" and process == jax.process_index():
      raise OSError("no space left on device")
    time.sleep(0.02)
  for folder in (a.removeprefix("--workdir=") for a in sys.argv if a.startswith("--workdir=")):
    if jax.process_index() == 0:
      (pathlib.Path(folder) / "results.json").write_text("{}")
  print("done", os.environ.get("SLURM_ARRAY_TASK_ID", ""), *sys.argv[1:], flush=True)
  return 0


def main() -> int:
  """Runs and ends as `mlseg.main` does."""
  try:
    code = _work(sys.argv[1], int(sys.argv[2]) if sys.argv[2:3] and sys.argv[2].isdigit() else -1)
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    processes.leave(2)
  except Exception as error:
    loss = processes.describe_loss(error)
    if loss is None:
      raise
    print(f"mlseg: {loss}", file=sys.stderr)
    processes.leave(processes.EXIT_LOST)
  processes.shutdown()
  return code


if __name__ == "__main__":
  sys.exit(main())
