"""The part 'correct': what a GPU computes beside what a CPU does."""

import json
import pathlib
import subprocess
import tempfile
from typing import Any

import numpy as np

from speed_parts import problem as problems
from speed_parts import workers
from speed_parts.workers import BENCHMARKS, Settings, Worker

# Largest difference, as a share of the largest number, that rounding to float32 explains.
TOLERANCE = {"losses": 1e-4, "weightings": 1e-4, "networks": 2e-3, "training": 2e-3}
EXACT = {"JAX_DEFAULT_MATMUL_PRECISION": "float32"}


def measure(settings: Settings) -> dict[str, Any]:
  """Returns a row for losses, weightings, networks and a training.

  Raises:
    ValueError: a difference is larger than its tolerance.
  """
  on_cpu = settings._replace(device="cpu")
  here, there = (_numbers(one) for one in (settings, on_cpu))
  rows = []
  for kind, own in here.items():
    differences = {name: _difference(values, there[kind][name]) for name, values in own.items()}
    rows.append(_row(kind, differences))
  own, theirs = (_training(one) for one in (settings, on_cpu))
  rows.append(_row("training", {name: _difference(own[name], theirs[name]) for name in own}))
  for row in rows:
    if not row["difference"] <= row["tolerance"]:
      raise ValueError(f"{settings.device} and CPU differ: {row}")
  return {"rows": rows}


def _numbers(settings: Settings) -> dict[str, dict[str, list[float]]]:
  options = {"small": settings.small, "environment": EXACT}
  with Worker(settings, "mlseg", "in_correct", problems.TOY, options) as worker:
    return worker.facts["numbers"]


def _training(settings: Settings) -> dict[str, list[float]]:
  """Returns the losses by name in the log of a short training."""
  with tempfile.TemporaryDirectory() as folder:
    command = [
      settings.pythons["mlseg"], "-m", "mlseg.main", "--config=configs/smoke.py",
      f"--workdir={folder}/run", "--config.augmentation.flip_horizontal=0.0",
    ]  # fmt: skip
    own = {"MLSEG_CACHE": f"{folder}/cache", **EXACT}
    done = subprocess.run(
      command, cwd=BENCHMARKS.parent, env=workers.environment(settings, **own),
      capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
      raise RuntimeError(done.stderr.strip().splitlines()[-1])
    lines = (pathlib.Path(folder) / "run" / "metrics.jsonl").read_text(encoding="utf-8")
  found: dict[str, list[float]] = {}
  for line in lines.splitlines():
    for name, value in json.loads(line)["losses"].items():
      found.setdefault(name, []).append(value)
  return found


def _difference(own: list[float], other: list[float]) -> float:
  """Returns the largest difference as a share of the largest number."""
  here, there = np.array(own), np.array(other)
  return float(np.abs(here - there).max() / max(np.abs(there).max(), 1e-12))


def _row(kind: str, differences: dict[str, float]) -> dict[str, Any]:
  worst = max(differences, key=lambda name: differences[name])
  return {
    "what": kind,
    "count": len(differences),
    "difference": differences[worst],
    "worst": worst,
    "tolerance": TOLERANCE[kind],
  }
