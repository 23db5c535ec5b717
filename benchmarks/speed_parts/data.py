"""The part 'data': a folder of many images, read, and trained on from the host or the device."""

import pathlib
import statistics
import tempfile
from typing import Any

from speed_parts import data_problem, workers
from speed_parts.problem import Problem
from speed_parts.workers import Settings, Worker

LARGE = Problem(depth=4, filters=8, size=512, batch=16)
TOY = Problem(depth=1, filters=4, size=16, batch=2)
COUNTS = (1000, 5000, 20000)
PLACEMENTS = ("device", "host")


def measure(settings: Settings) -> dict[str, Any]:
  """Returns rows of reading by the number of files, and of training by placement."""
  problem = TOY if settings.small else LARGE
  counts = (20, 40) if settings.small else COUNTS
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    rows = [row for count in counts for row in reading(settings, problem, root, count)]
    rows += placements(settings, problem, root, counts[-1])
  network = f"U-Net of depth {problem.depth} with {problem.filters} filters"
  return {"problem": problem._asdict(), "network": network, "rows": rows}


def reading(
  settings: Settings, problem: Problem, root: pathlib.Path, count: int
) -> list[dict[str, Any]]:
  """Returns rows of a folder: read by processes, by threads, and from the cache."""
  folder = root / str(count)
  data_problem.make_folder(folder, count, problem.size)
  ways = {
    "files, by processes": {"processes": max(2, settings.threads), "cache": "processes"},
    "files, by threads": {"processes": 1, "cache": "threads"},
    "from the cache": {"cache": "processes"},
  }
  rows = []
  for name, options in ways.items():
    cache = root / options["cache"]
    options |= {"root": str(folder), "cache": str(cache)}
    with workers.machine(settings, alone=True), _open(settings, problem, options) as one:
      seconds, resident = one.facts["seconds"], one.facts["resident"]
    if name.endswith("threads"):
      for path in cache.iterdir():
        path.unlink()  # it is as large as the images
    rows.append(
      {
        "run": "reading",
        "variant": name,
        "images": count,
        "seconds": seconds,
        "images_per_second": count / seconds,
        "resident": resident,
      }
    )
  return rows


def placements(
  settings: Settings, problem: Problem, root: pathlib.Path, count: int
) -> list[dict[str, Any]]:
  """Returns rows of training by placement; a process at a time, since each holds all images."""
  times: dict[str, list[float]] = {name: [] for name in PLACEMENTS}
  gathering: dict[str, list[float]] = {name: [] for name in PLACEMENTS}
  resident, alone, images = {}, {}, 1
  for _ in range(1 if settings.small else 2):
    for name in PLACEMENTS:
      options = {
        "root": str(root / str(count)), "cache": str(root / "processes"), "placement": name,
        "log_every": 2,
      }  # fmt: skip
      with workers.machine(settings, alone=True), _open(settings, problem, options) as worker:
        images = worker.facts["images"]
        for _ in range(2 if settings.small else 5):
          answer = worker.run("train", 1)
          times[name].append(answer["seconds"])
          gathering[name].append(answer["value"]["gathering"])
        if name == "host":
          alone[name] = images * 4 / worker.run("gather", 4)["seconds"]
        resident[name] = worker.run("resident", 1)["value"]
  base = statistics.median(times["device"])
  return [
    {
      "run": "training",
      "variant": f"data.placement={name!r}",
      "images": count,
      "images_per_second": images / statistics.median(times[name]),
      "of_device": base / statistics.median(times[name]),
      "gathering": statistics.median(gathering[name]),
      "gathered_per_second": alone.get(name),
      "resident": resident[name],
    }
    for name in PLACEMENTS
  ]


def _open(settings: Settings, problem: Problem, options: dict[str, Any]) -> Worker:
  return Worker(settings, "mlseg", "in_data", problem, options)
