"""The part 'seeds': strategies for several models, beside a Python loop over one compiled step."""

import contextlib
from typing import Any

import numpy as np

from speed_parts import frameworks, workers
from speed_parts import problem as problems
from speed_parts.workers import Cell, Settings

BASELINE = "a Python loop over one step"
# By name in the table: the strategy, and the number of devices that the models are spread over.
STRATEGIES: dict[str, tuple[str, int]] = {
  BASELINE: ("python", 1),
  "vmap": ("vmap", 1),
  "map": ("map", 1),
  "loop, written out in one program": ("loop", 1),
  "map over two devices": ("map", 2),
}
# The same with oneDNN, where it is installed.
WITH_ONEDNN: dict[str, tuple[str, int]] = {
  f"{BASELINE}, oneDNN": ("python", 1),
  "map over two devices, oneDNN": ("map", 2),
}
LARGEST_LOOP = 4  # most models of an unrolled loop, whose compile time grows with them
SIZES = ((2, 2), (4, 2), (8, 2), (2, 16), (4, 16))  # number of models, batch size


def measure(settings: Settings) -> dict[str, Any]:
  """Returns a row for each strategy, number of models and batch.

  Raises:
    ValueError: the strategies do not train the same models.
  """
  problem = problems.TOY if settings.small else problems.REFERENCE
  rows, raw = [], {}
  for count, batch in ((2, 2),) if settings.small else SIZES:
    with contextlib.ExitStack() as stack:
      changed = problem._replace(batch=batch)
      plans = {
        name: ("mlseg", "in_seeds", changed, {**options, "models": count})
        for name, options in strategies(settings, count).items()
      }
      opened = stack.enter_context(workers.opened(settings, plans))
      if failed := {n: why for n, why in opened.failed.items() if n not in WITH_ONEDNN}:
        raise ValueError(f"some strategies do not run: {failed}")
      facts = {name: worker.facts for name, worker in opened.workers.items()}
      cells = [Cell(name, worker, "train") for name, worker in opened.workers.items()]
      check([cell.worker.run("train", 1)["value"] for cell in cells])
      timed = workers.time_cells(settings, cells)
    for name, of_name in timed.items():
      pairs = zip(of_name["seconds"], timed[BASELINE]["seconds"], strict=True)
      rows.append(
        {
          "strategy": name,
          "models": count,
          "batch": batch,
          "ratio": workers.quartiles([its / loop for its, loop in pairs]),
          "milliseconds": 1e3 * workers.quartiles(of_name["seconds"])[1] / count,
          "compile_cpu_seconds": facts[name]["compile_cpu_seconds"],
        }
      )
      raw[f"{name}, {count} models, batch {batch}"] = of_name
  return {"problem": problem._asdict(), "rows": rows, "rounds": raw}


def strategies(settings: Settings, count: int) -> dict[str, dict[str, Any]]:
  """Returns the options of each strategy that is measured for a number of models."""
  chosen = {}
  for name, (strategy, devices) in STRATEGIES.items():
    if devices > 1 and settings.device != "cpu":
      continue  # a CPU can be split into any number of devices, GPUs cannot
    if strategy == "loop" and count > LARGEST_LOOP:
      continue
    if settings.small and name not in (BASELINE, "vmap", "map over two devices"):
      continue
    chosen[name] = {"strategy": strategy, "devices": devices}
  if settings.device == "cpu":
    for name, (strategy, devices) in WITH_ONEDNN.items():
      chosen[name] = {"strategy": strategy, "devices": devices, **frameworks.WITH_ONEDNN}
  return chosen


def check(losses: list[list[float]]) -> None:
  """Checks that all strategies start with the same models, and that these models differ."""
  first = np.array(losses[0])
  if not all(np.allclose(first, of_one, rtol=1e-4) for of_one in losses):
    raise ValueError(f"the strategies do not give the same first losses: {losses}")
  if np.ptp(first) == 0:
    raise ValueError(f"all models are the same: {losses[0]}")
