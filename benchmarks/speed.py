r"""Measures the speed and memory of training, beside other frameworks, and writes the tables.

    python benchmarks/speed.py                          # all parts; over half an hour on two cores
    python benchmarks/speed.py --small --out=/tmp/out   # the same at toy size, in minutes
    python benchmarks/speed.py --parts=frameworks --torch-python=A/bin/python \
        --tensorflow-python=B/bin/python                # frameworks of other environments

Parts:
  correct     what a GPU computes beside what a CPU does; only where it is named
  frameworks  the same network trained and evaluated in mlseg, Flax, PyTorch and Keras
  multitask   masks and diagnoses on a MobileNetV2, in mlseg and in PyTorch
  lite        the same on an EfficientNet-Lite0
  frameworks_256, multitask_256, lite_256
              the same on images of 256×256
  memory      bytes, compile time and time to the first step, by type, rematerialisation and
              micro-batches
  gram        the Gram matrix of eight losses' gradients, in mlseg and in TorchJD
  scaling     how the time of a step grows with batch, image size, depth, filters, and the numbers
              of losses, models and cases
  seeds       strategies for training several models at once
  floor       a step beside the shortest time that this device's arithmetic and memory allow
  data        20,000 images of 512×512: reading them, and training on them
  versions, versions_256
              mlseg beside itself in an interpreter with another JAX; only where it is named, with
              --other-python
  start       time from the start of the main command to its first step
  sweep       eight seeds in one command, beside eight commands
  table       the 130 models of a paper's table in one command; only where it is named

    python benchmarks/speed.py --check --parts=floor    # beside the file: exit code 1 if slower

With --check nothing is written: ratios that are worse by more than 10 % than those of the file are
printed. Else it writes DEVICE.json and DEVICE.md to `--out`. A part that is not measured keeps its
numbers in the file. A framework that cannot be imported is left out, with the reason below the
table.
"""

import argparse
import importlib
import json
import math
import os
import pathlib
import subprocess
import sys
import time
from typing import Any

from speed_parts import check, draw, frameworks, gram, multitask, tables, workers
from speed_parts.workers import Settings

# Module of `speed_parts` and arguments of its `measure`, by the name of the part.
SIZE_256: dict[str, Any] = {"size": 256, "batch": 16}
LITE: dict[str, Any] = {"encoder": "efficientnet_lite0", "batch": 16}
PARTS: dict[str, tuple[str, dict[str, Any]]] = {
  "correct": ("correct", {}),
  "frameworks": ("frameworks", {}),
  "frameworks_256": ("frameworks", {"size": 256}),
  "multitask": ("multitask", {}),
  "multitask_256": ("multitask", SIZE_256),
  "lite": ("multitask", LITE | {"size": 128}),
  "lite_256": ("multitask", LITE | SIZE_256),
  **{part: (part, {}) for part in ("memory", "gram", "scaling", "seeds", "floor", "data")},
  "versions": ("versions", {}),
  "versions_256": ("versions", {"size": 256}),
  **{part: (part, {}) for part in ("start", "sweep", "table")},
}
# The first two are for GPUs, see gpu.sh; the others need a second interpreter.
NOT_BY_DEFAULT = {"correct", "table", "versions", "versions_256"}
FRAMEWORKS = {
  "frameworks": frameworks.FRAMEWORKS | frameworks.ON_GPU,
  "multitask": multitask.FRAMEWORKS | multitask.ON_GPU,
  "gram": gram.VARIANTS,
}
HERE = pathlib.Path(__file__).resolve().parent


def find_device(name: str, python: str) -> str:
  """Returns 'cpu' or 'gpu'; for 'auto', the default of JAX."""
  if name != "auto":
    return name
  command = [python, "-c", "import jax; print(jax.default_backend())"]
  shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
  return "cpu" if shown.strip() == "cpu" else "gpu"


def parse(argv: list[str]) -> argparse.Namespace:
  """Returns the options."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  default = ",".join(part for part in PARTS if part not in NOT_BY_DEFAULT)
  parser.add_argument("--parts", default=default, help="names, separated by commas")
  parser.add_argument(
    "--frameworks",
    default="",
    help="rows of frameworks, multitask or gram, separated by ';'; all if empty",
  )
  parser.add_argument("--small", action="store_true", help="toy sizes: tests the benchmark itself")
  parser.add_argument("--out", type=pathlib.Path, default=HERE / "results", help="output folder")
  parser.add_argument("--check", action="store_true", help="compares with the file instead")
  parser.add_argument("--rounds", type=int, default=15, help="number of blocks of each timing")
  parser.add_argument("--block", type=float, default=1.0, help="seconds of a block of steps")
  parser.add_argument(
    "--budget", type=float, default=math.inf, help="seconds after which no other part begins"
  )
  parser.add_argument("--device", default="auto", choices=("auto", "cpu", "gpu"))
  parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
  parser.add_argument("--torch-python", default=sys.executable, help="interpreter with PyTorch")
  parser.add_argument("--tensorflow-python", default=sys.executable, help="interpreter with Keras")
  parser.add_argument(
    "--other-python", default=sys.executable, help="interpreter with another JAX, of versions"
  )
  parser.add_argument(
    "--lock", default="", help="file to lock: exclusively for timings, shared for everything else"
  )
  arguments = parser.parse_args(argv)
  arguments.parts = arguments.parts.split(",")
  if unknown := set(arguments.parts) - set(PARTS):
    parser.error(f"unknown parts {sorted(unknown)}: choose from {', '.join(PARTS)}")
  named = {PARTS[part][0] for part in arguments.parts}
  if "versions" in named and arguments.other_python == sys.executable:
    parser.error("the part versions needs --other-python, an interpreter with another JAX")
  arguments.frameworks = tuple(filter(None, arguments.frameworks.split(";")))
  if arguments.check and "--parts" not in " ".join(argv):
    arguments.parts = list(check.RATIOS)
  if arguments.check and (without := set(arguments.parts) - set(check.RATIOS)):
    parser.error(
      f"{', '.join(sorted(without))} has no ratios: choose from {', '.join(check.RATIOS)}"
    )
  for part, rows in ((part, FRAMEWORKS.get(PARTS[part][0], {})) for part in arguments.parts):
    if rows and (unknown := set(arguments.frameworks) - set(rows)):
      choices = "; ".join(rows)
      parser.error(f"unknown frameworks {sorted(unknown)} of {part}: choose from {choices}")
  return arguments


def main(argv: list[str]) -> int:
  """Measures the parts, and writes the files after each of them; returns the exit code."""
  arguments = parse(argv)
  settings = Settings(
    device=find_device(arguments.device, sys.executable),
    threads=arguments.threads,
    small=arguments.small,
    rounds=2 if arguments.small else arguments.rounds,
    block_seconds=0.02 if arguments.small else arguments.block,
    lock=arguments.lock,
    pythons={
      "mlseg": sys.executable,
      "torch": arguments.torch_python,
      "tensorflow": arguments.tensorflow_python,
      "other": arguments.other_python,
    },
    frameworks=arguments.frameworks,
  )
  path = arguments.out / f"{settings.device}{'-small' if settings.small else ''}.json"
  results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"parts": {}}
  if arguments.check:
    return compare(settings, arguments.parts, results["parts"])
  arguments.out.mkdir(parents=True, exist_ok=True)
  begun = time.perf_counter()
  for part in arguments.parts:
    started = time.perf_counter()
    if started - begun > arguments.budget:
      print(f"{part} is left out: --budget is spent")
      continue
    measured = measure(part, settings)
    results["parts"][part] = {
      **measured,
      "measured": time.strftime("%Y-%m-%d", time.gmtime()),
      "machine": workers.describe_machine(settings),
      "options": {"rounds": settings.rounds, "block_seconds": settings.block_seconds},
      "took_seconds": round(time.perf_counter() - started),
    }
    results["parts"] = {name: results["parts"][name] for name in PARTS if name in results["parts"]}
    if part == "scaling":
      figure = path.with_name(f"{path.stem}_scaling.png")
      draw.growth(measured["rows"], figure)
      results["parts"][part]["remarks"] = [f"![Time of a step beside each number]({figure.name})"]
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(tables.page(results), encoding="utf-8")
    print(tables.section(part, results["parts"][part]), flush=True)
  return 0


def measure(part: str, settings: Settings) -> dict[str, Any]:
  """Returns what a part measured."""
  module, arguments = PARTS[part]
  return importlib.import_module(f"speed_parts.{module}").measure(settings, **arguments)


def compare(settings: Settings, parts: list[str], committed: dict[str, Any]) -> int:
  """Measures parts, prints the ratios that are worse than committed, and returns the exit code.

  Args:
    settings: how to measure.
    parts: names; one that the file lacks is not measured.
    committed: the parts of the file.
  """
  found = []
  for part in parts:
    if part not in committed:
      print(f"{part} is not in the file")
      continue
    measured = measure(part, settings)
    found += check.worse(part, committed[part]["rows"], measured["rows"])
  print("\n".join(found) or f"no ratio is worse by more than {100 * check.TOLERANCE:.0f} %")
  return bool(found)


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
