"""The main command as a process of its own, on a recipe of few steps, and what it leaves."""

import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
SMOKE = f"--config={ROOT / 'configs' / 'smoke.py'}"
EPOCHS = 12
LONG = [SMOKE, f"--config.num_epochs={EPOCHS}", "--config.data.image_size=16"]


def start(workdir, **environ):
  """Starts the command."""
  command = [sys.executable, "-m", "mlseg.main", f"--workdir={workdir}", *LONG]
  return subprocess.Popen(
    command,
    cwd=ROOT,
    env=os.environ | environ,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def run(workdir, **environ):
  """Returns what the command prints, once it ended well."""
  process = start(workdir, **environ)
  output = process.communicate(timeout=300)[0]
  assert process.returncode == 0, output
  return output


def final(workdir, seed=0):
  """Returns the arrays of the last checkpoint by name."""
  import orbax.checkpoint as ocp

  manager = ocp.CheckpointManager(workdir.resolve() / "checkpoints" / f"seed_{seed}")
  step = manager.latest_step()
  args = ocp.args.Composite(state=ocp.args.StandardRestore())
  arrays = manager.restore(step, args=args)["state"]
  manager.close()
  return step, {name: np.asarray(value) for name, value in arrays.items()}


def steps(workdir):
  """Returns the logged steps, in order; a line that a kill cut is left out."""
  file = workdir / "metrics.jsonl"
  lines = file.read_text().splitlines(keepends=True) if file.exists() else []
  return [json.loads(line)["step"] for line in lines if line.endswith("\n")]


def wait_for(condition, process, seconds=120):
  end = time.monotonic() + seconds
  while not condition():
    assert process.poll() is None, process.communicate()[0]
    assert time.monotonic() < end
    time.sleep(0.0005)
