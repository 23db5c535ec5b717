"""The part 'versions': training and evaluation beside an interpreter with another JAX."""

from typing import Any

from speed_parts import frameworks, multitask_problem, workers
from speed_parts import problem as reference
from speed_parts.problem import Problem
from speed_parts.workers import Cell, Settings

# By name in the table: options of a worker.
VARIANTS: dict[str, dict[str, Any]] = {
  "float32": {},
  "oneDNN": frameworks.WITH_ONEDNN,
  "oneDNN, products of bfloat16": frameworks.WITH_BFLOAT16,
}
RUNS = {"many": "train", "evaluate": "evaluate"}  # of a worker: the group of the table


def measure(settings: Settings, size: int = 128) -> dict[str, Any]:
  """Returns a row for each network, run and variant; two processes at a time are held in memory.

  Args:
    settings: how to measure.
    size: side of the images.

  Raises:
    ValueError: a network cannot be built in one of the interpreters.
  """
  variants = {"oneDNN": VARIANTS["oneDNN"]} if settings.small else VARIANTS
  rows, raw, versions = [], {}, {}
  for network, module, problem, options in networks(settings, size):
    for variant, more in variants.items():
      given = {"runs": list(RUNS), **options, **more}
      plans = {python: (python, module, problem, given) for python in ("mlseg", "other")}
      with workers.opened(settings, plans, alone=True) as opened:
        if opened.failed:
          raise ValueError(f"some interpreters do not run: {opened.failed}")
        versions = {name: worker.facts["versions"] for name, worker in opened.workers.items()}
        for run, group in RUNS.items():
          cells = [Cell(name, worker, run) for name, worker in opened.workers.items()]
          timed = workers.time_cells(settings, cells)
          raw |= {f"{network}, {variant}, {group}, {name}": own for name, own in timed.items()}
          seconds = [timed[name]["seconds"] for name in plans]
          medians = [workers.quartiles(own)[1] for own in seconds]
          rows.append(
            {
              "run": group,
              "variant": f"{network}, {variant}",
              "images_per_second": problem.batch / medians[0],
              "other_per_second": problem.batch / medians[1],
              "ratio": workers.quartiles([a / b for a, b in zip(*seconds, strict=True)]),
            }
          )
  other = ", ".join(f"{name} {version}" for name, version in versions["other"].items())
  remarks = [f"The other interpreter has {other}."]
  return {"rows": rows, "rounds": raw, "versions": versions, "remarks": remarks}


def networks(settings: Settings, size: int) -> list[tuple[str, str, Problem, dict[str, Any]]]:
  """Returns the name, the worker's module, the problem and the options of each network."""
  if settings.small:
    return [("U-Net", "in_mlseg", reference.TOY, {})]
  found: list[tuple[str, str, Problem, dict[str, Any]]] = [
    ("U-Net", "in_mlseg", reference.REFERENCE._replace(size=size), {})
  ]
  for encoder, name in (("mobilenet_v2", "MobileNetV2"), ("efficientnet_lite0", "Lite0")):
    problem = multitask_problem.REFERENCE._replace(size=size, batch=16)
    found.append((name, "in_mlseg_multitask", problem, {"encoder": encoder}))
  return found
