"""The part 'memory': bytes and compile time of a training step, and the time to the first step."""

from typing import Any

from speed_parts import problem as problems
from speed_parts import workers
from speed_parts.workers import Cell, Settings, Worker

VARIANTS: dict[str, dict[str, Any]] = {
  "float32": {},
  "bfloat16": {"dtype": "bfloat16"},
  "float32, rematerialised": {"remat": True},
  "bfloat16, rematerialised": {"dtype": "bfloat16", "remat": True},
  "float32, 2 micro-batches": {"num_microbatches": 2},
  "float32, 4 micro-batches": {"num_microbatches": 4},
}
SMALL = ("bfloat16, rematerialised", "float32, 2 micro-batches")


def measure(settings: Settings) -> dict[str, Any]:
  """Returns a row for each variant, each measured in its own process."""
  problem = problems.TOY if settings.small else problems.REFERENCE
  variants = {name: VARIANTS[name] for name in (SMALL if settings.small else VARIANTS)}
  plans = {
    name: ("mlseg", "in_mlseg", problem, {**options, "runs": ["train"]})
    for name, options in variants.items()
  }
  with workers.opened(settings, plans, alone=True) as opened:
    cells = [Cell(name, worker, "train") for name, worker in opened.workers.items()]
    raw = workers.time_cells(settings, cells)
    rows = [
      make_row(name, worker, problem.batch, raw[name]["seconds"])
      for name, worker in opened.workers.items()
    ]
  return {
    "problem": problem._asdict(),
    "params": problems.num_params(problem),
    "rows": rows,
    "rounds": raw,
    "skipped": opened.failed,
  }


def make_row(name: str, worker: Worker, images: int, seconds: list[float]) -> dict[str, Any]:
  """Returns the row of a variant, from the facts of its worker and the seconds of its steps."""
  _, middle, _ = workers.quartiles(seconds)
  return {
    "variant": name,
    "images_per_second": images / middle,
    **worker.facts["memory"]["train"],
    **worker.run("resident", 0)["value"],
    "compile_seconds": worker.facts["compile_seconds"]["train"],
    "seconds_to_first_step": worker.facts["seconds_to_first_step"],
  }
