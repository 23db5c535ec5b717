"""The part 'scaling': how the time of a step grows while one number of the reference is varied."""

import math
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
  "losses": (1, 2, 4, 8, 16, 32, 64),
  "models": (1, 2, 4, 8),
  "cases": (100, 1000, 10000),
}
SMALL: dict[str, tuple[int, ...]] = {
  "batch": (2, 4),
  "losses": (8, 16),
  "models": (2,),
  "cases": (8,),
}
# A network with K losses is trained under the first K of these; with more, under all of them
# several times, each time of other logits.
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
    of_varied = []
    for value, (name, worker) in zip(values, opened.workers.items(), strict=True):
      seconds = timed[name]["seconds"]
      images = plans[name][2].batch * (value if varied == "models" else 1)
      middle = workers.quartiles(seconds)[1]
      of_varied.append(
        {
          "varied": varied,
          "value": value,
          "milliseconds": 1e3 * middle,
          "images_per_second": images / middle,
          "best": images / min(seconds),
          "params": worker.facts.get("params"),
        }
      )
    if len(of_varied) > 1:
      of_varied[-1]["exponent"] = exponent(of_varied)
    rows += of_varied
  return {"problem": problem._asdict(), "rows": rows, "rounds": raw}


def plan(problem: Problem, varied: str, value: int) -> tuple[str, str, Problem, dict[str, Any]]:
  """Returns the worker to open for one value."""
  if varied == "models":
    options = {"models": value, "devices": 1, "strategy": "map"}
    return "mlseg", "in_seeds", problem, options
  if varied == "cases":
    return "mlseg", "in_cases", problem, {"cases": value}
  options: dict[str, Any] = {"runs": ["train"], "losses": LOSSES[:3]}
  if varied != "losses":
    return "mlseg", "in_mlseg", problem._replace(**{varied: value}), options
  own = {"losses": LOSSES[:value], "repeats": -(-value // len(LOSSES))}
  return "mlseg", "in_mlseg", problem, options | own


def exponent(rows: list[dict[str, Any]]) -> float:
  """Returns the e of time = c · value^e by least squares of the logarithms.

  Example:
    >>> exponent([{"value": n, "milliseconds": 5 * n**2} for n in (1, 2, 4)])
    2.0
  """
  points = [(math.log(row["value"]), math.log(row["milliseconds"])) for row in rows]
  x, y = (sum(values) / len(points) for values in zip(*points, strict=True))
  over = sum((a - x) ** 2 for a, _ in points)
  return round(sum((a - x) * (b - y) for a, b in points) / over, 6)
