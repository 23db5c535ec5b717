"""The part 'scaling': training speed while one number of the reference is varied."""

from typing import Any

from speed_parts import problem as problems
from speed_parts import workers
from speed_parts.problem import Problem
from speed_parts.workers import Cell, Settings

VALUES: dict[str, tuple[int, ...]] = {
  "batch": (2, 4, 8, 16, 32),
  "size": (64, 128, 256),
  "depth": (3, 4, 5),
  "filters": (8, 16, 32),
  "losses": (1, 2, 3, 4, 6, 8),
}
SMALL: dict[str, tuple[int, ...]] = {"batch": (2,), "losses": (8,)}
# A network with K losses is trained under the first K of these.
LOSSES = (
  "cross_entropy",
  "soft_iou",
  "soft_dice",
  "tversky",
  "focal",
  "generalized_dice",
  "focal_tversky",
  "class_balanced_dice",
)


def measure(settings: Settings) -> dict[str, Any]:
  """Returns a row for each value; the configurations that vary one number alternate."""
  problem = problems.TOY if settings.small else problems.REFERENCE
  rows, raw = [], {}
  for varied, values in (SMALL if settings.small else VALUES).items():
    plans = {f"{varied} {value}": plan(problem, varied, value) for value in values}
    with workers.opened(settings, plans) as opened:
      if opened.failed:
        raise RuntimeError(f"some configurations do not run: {opened.failed}")
      cells = [Cell(name, worker, "train") for name, worker in opened.workers.items()]
      timed = workers.time_cells(settings, cells)
    raw |= timed
    for value, (name, worker) in zip(values, opened.workers.items(), strict=True):
      seconds, images = timed[name]["seconds"], plans[name][2].batch
      rows.append(
        {
          "varied": varied,
          "value": value,
          "images_per_second": images / workers.quartiles(seconds)[1],
          "best": images / min(seconds),
          "params": worker.facts["params"],
        }
      )
  return {"problem": problem._asdict(), "rows": rows, "rounds": raw}


def plan(problem: Problem, varied: str, value: int) -> tuple[str, str, Problem, dict[str, Any]]:
  """Returns the worker to open for one value."""
  changed = problem if varied == "losses" else problem._replace(**{varied: value})
  losses = LOSSES[: value if varied == "losses" else 3]
  return "mlseg", "in_mlseg", changed, {"runs": ["train"], "losses": losses}
