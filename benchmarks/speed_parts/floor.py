"""The part 'floor': a step beside the shortest time that the device's speed and memory allow."""

from typing import Any

from speed_parts import problem as problems
from speed_parts import workers
from speed_parts.problem import Problem
from speed_parts.workers import Cell, Settings

TABLE = "`python -m mlseg.sweep --config=configs/dmf_busi.py --variants=all --config.num_seeds=10`"


def measure(settings: Settings) -> dict[str, Any]:
  """Returns a row for each type, and on a GPU the time of many models relative to one."""
  problem = problems.TOY if settings.small else problems.REFERENCE
  on_gpu = settings.device == "gpu"
  dtypes = ["float32", "tf32", "bfloat16"] if on_gpu else ["float32", "bfloat16"]
  options: dict[str, Any] = {
    "dtypes": dtypes,
    "side": 256 if settings.small else 8192 if on_gpu else 2048,
    "length": 2**18 if settings.small else 2**28 if on_gpu else 2**26,
    "models": [1, 2] if settings.small else [1, 10, 130] if on_gpu else [],
    "config": "configs/smoke.py" if settings.small else "configs/dmf_busi.py",
  }
  with workers.opened(settings, {"floor": ("mlseg", "in_floor", problem, options)}) as opened:
    if opened.failed:
      raise RuntimeError(f"the floor cannot be measured: {opened.failed['floor']}")
    worker = opened.workers["floor"]
    runs = workers.time_cells(settings, [Cell(run, worker, run) for run in worker.runs])
  facts = worker.facts
  best = {name: min(timed["seconds"]) for name, timed in runs.items()}
  speeds = {name: facts["matmul_operations"] / best[f"matmul {name}"] for name in dtypes}
  bandwidth = facts["copy_bytes"] / best["copy"]
  rows = [
    make_row(name, problem, facts, runs[f"step {name}"]["seconds"], speeds, bandwidth)
    for name in ("float32", "bfloat16")
  ]
  return {
    "problem": problem._asdict(),
    "params": problems.num_params(problem),
    "rows": rows,
    "rounds": runs,
    "measured_rates": {**speeds, "copy": bandwidth},
    "remarks": remarks(options["models"], runs, settings.small),
  }


def make_row(
  dtype: str,
  problem: Problem,
  facts: dict[str, Any],
  seconds: list[float],
  speeds: dict[str, float],
  bandwidth: float,
) -> dict[str, Any]:
  """Returns the row of a type; on a GPU, JAX computes float32 convolutions in TF32 by default."""
  rate = speeds["tf32"] if dtype == "float32" and "tf32" in speeds else speeds[dtype]
  operations, megabytes = facts["operations"][dtype], facts["megabytes"][dtype]
  floor = max(operations / rate, 1e6 * megabytes / bandwidth)
  _, middle, _ = workers.quartiles(seconds)
  return {
    "dtype": dtype,
    "images_per_second": problem.batch / middle,
    "milliseconds": 1e3 * middle,
    "gflop": operations / 1e9,
    "matmul_gflops": rate / 1e9,
    "megabytes": megabytes,
    "copy_gbs": bandwidth / 1e9,
    "floor_milliseconds": 1e3 * floor,
    "fraction": floor / middle,
  }


def remarks(counts: list[int], runs: dict[str, dict[str, Any]], small: bool) -> list[str]:
  """Returns sentences with the time of several models relative to one.

  Args:
    counts: the numbers of models.
    runs: the timings, by name.
    small: whether the toy recipe was timed.
  """
  if not counts:
    return []
  seconds = {n: workers.quartiles(runs[f"models {n}"]["seconds"])[1] for n in counts}
  one = seconds.pop(1)
  costs = [f"{n} models {took / one:.2f} times that of one" for n, took in seconds.items()]
  recipe = "`configs/smoke.py`" if small else "`configs/dmf_busi.py`, batch 32"
  return [f"A step of {recipe}: {1e3 * one:.2f} ms; {', '.join(costs)}.", f"Table 1: {TABLE}"]
