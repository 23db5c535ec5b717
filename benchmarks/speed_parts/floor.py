"""The part 'floor': a step beside the shortest time that the device's speed and memory allow."""

from collections.abc import Sequence
from typing import Any

from speed_parts import frameworks, workers
from speed_parts import problem as problems
from speed_parts.problem import Problem
from speed_parts.workers import Cell, Settings

# By device and name in the table: type and environment of the worker.
VARIANTS: dict[str, dict[str, tuple[str, dict[str, str]]]] = {
  "cpu": {
    "float32": ("float32", {}),
    "float32, oneDNN": ("float32", frameworks.WITH_ONEDNN["environment"]),
    "products of bfloat16, oneDNN": ("float32", frameworks.WITH_BFLOAT16["environment"]),
    "bfloat16": ("bfloat16", {}),
  },
  "gpu": {
    "float32": ("float32", {"JAX_DEFAULT_MATMUL_PRECISION": "float32"}),
    "tensorfloat32": ("float32", {"JAX_DEFAULT_MATMUL_PRECISION": "tensorfloat32"}),
    "products of bfloat16": ("float32", {"JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"}),
    "bfloat16": ("bfloat16", {}),
  },
}
MODELS = (1, 10, 130)  # numbers of models in one program, whose steps are timed on a GPU
TIMED_MODELS = "tensorfloat32"


def measure(settings: Settings) -> dict[str, Any]:
  """Returns a row for each type, and on a GPU the time of many models relative to one."""
  problem = problems.TOY if settings.small else problems.REFERENCE
  on_gpu = settings.device == "gpu"
  variants = VARIANTS[settings.device]
  sizes: dict[str, Any] = {
    "side": 256 if settings.small else 8192 if on_gpu else 2048,
    "length": 2**18 if settings.small else 2**28 if on_gpu else 2**26,
    "config": "configs/smoke.py" if settings.small else "configs/dmf_busi.py",
  }
  counts = ((1, 2) if settings.small else MODELS) if on_gpu else ()
  plans = {
    name: ("mlseg", "in_floor", problem, {**sizes, "dtype": dtype, "environment": own,
                                          "models": counts if name == TIMED_MODELS else ()})
    for name, (dtype, own) in variants.items()
  }  # fmt: skip
  with workers.opened(settings, plans) as opened:
    cells = [
      Cell(f"{name}: {run}", worker, run)
      for name, worker in opened.workers.items()
      for run in worker.runs
    ]
    runs = workers.time_cells(settings, cells)
  rows = [
    make_row(name, problem, worker.facts, {run: runs[f"{name}: {run}"] for run in worker.runs})
    for name, worker in opened.workers.items()
  ]
  return {
    "problem": problem._asdict(),
    "params": problems.num_params(problem),
    "rows": rows,
    "rounds": runs,
    "remarks": remarks(counts, runs, settings.small),
    "skipped": opened.failed,
  }


def make_row(
  name: str, problem: Problem, facts: dict[str, Any], runs: dict[str, dict[str, Any]]
) -> dict[str, Any]:
  """Returns the row of a type: the step beside the larger of its arithmetic and its memory."""
  rate = facts["matmul_operations"] / min(runs["matmul"]["seconds"])
  bandwidth = facts["copy_bytes"] / min(runs["copy"]["seconds"])
  floor = max(facts["operations"] / rate, 1e6 * facts["megabytes"] / bandwidth)
  _, middle, _ = workers.quartiles(runs["step"]["seconds"])
  return {
    "dtype": name,
    "images_per_second": problem.batch / middle,
    "milliseconds": 1e3 * middle,
    "gflop": facts["operations"] / 1e9,
    "matmul_gflops": rate / 1e9,
    "megabytes": facts["megabytes"],
    "copy_gbs": bandwidth / 1e9,
    "floor_milliseconds": 1e3 * floor,
    "fraction": floor / middle,
  }


def remarks(counts: Sequence[int], runs: dict[str, dict[str, Any]], small: bool) -> list[str]:
  """Returns sentences with the time of several models relative to one.

  Args:
    counts: the numbers of models.
    runs: the timings, by name.
    small: whether the toy recipe was timed.
  """
  if not counts:
    return []
  seconds = {
    n: workers.quartiles(runs[f"{TIMED_MODELS}: models {n}"]["seconds"])[1] for n in counts
  }
  one = seconds.pop(1)
  costs = [f"{n} models {took / one:.2f} times that of one" for n, took in seconds.items()]
  recipe = "`configs/smoke.py`" if small else "`configs/dmf_busi.py`, batch 32"
  return [f"A step of {recipe}: {1e3 * one:.2f} ms; {', '.join(costs)}."]
