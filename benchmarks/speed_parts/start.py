"""The part 'start': time from the start of the main command to its first logged step."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
from typing import Any

from speed_parts import workers
from speed_parts.workers import Settings

LIMIT = 300  # seconds
CONFIGS = ("dmf_busi", "strong")
EACH_STEP = "--config.log_every=1"  # so that the first step is logged at once
PARTS = ("tracing", "lowering", "compiling", "reading")


def measure(settings: Settings) -> dict[str, Any]:
  """Returns two rows for each recipe: without compiled programs, and with those of a run before."""
  rows = []
  warm(settings)
  for config in ("smoke",) if settings.small else CONFIGS:
    runs: dict[str, list[dict[str, float]]] = {"cold": [], "compiled earlier": []}
    for _ in range(1 if settings.small else 3):
      with tempfile.TemporaryDirectory() as cache:
        for name in workers.in_turns(settings, list(runs)):
          runs[name].append(until_first_line(settings, config, cache))
    for name, found in runs.items():
      median = sorted(found, key=lambda run: run["seconds"])[len(found) // 2]
      rows.append(
        {"variant": f"{config}, {name}", **median, "all_seconds": [r["seconds"] for r in found]}
      )
  return {"rows": rows, "remarks": [f"`python -m mlseg.main --config=configs/NAME.py {EACH_STEP}`"]}


def warm(settings: Settings) -> None:
  """Imports the package once, so that modules are compiled by Python, as once installed."""
  subprocess.run(
    [settings.pythons["mlseg"], "-c", "import mlseg.main, mlseg.training.train"],
    cwd=workers.BENCHMARKS.parent,
    env=workers.environment(settings),
    check=True,
  )


def until_first_line(settings: Settings, config: str, cache: str) -> dict[str, float]:
  """Starts the main command, waits for the first line of its metrics, and kills it.

  Returns the seconds of wall time, and those that JAX spent on each of `PARTS`.

  Raises:
    RuntimeError: the command ended before its first line, or took too long.
  """
  with tempfile.TemporaryDirectory() as folder:
    metrics = pathlib.Path(folder) / "run" / "metrics.jsonl"
    events = pathlib.Path(folder) / "events.jsonl"
    script = workers.BENCHMARKS / "speed_parts/in_start.py"
    command = [settings.pythons["mlseg"], str(script), str(events), f"--config=configs/{config}.py"]
    log = pathlib.Path(folder) / "log"
    started = time.perf_counter()
    with log.open("w") as output:
      process = subprocess.Popen(
        [*command, EACH_STEP, f"--workdir={metrics.parent}"],
        cwd=workers.BENCHMARKS.parent,
        env=workers.environment(settings, JAX_COMPILATION_CACHE_DIR=cache),
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
      )
    try:
      while not (metrics.exists() and b"\n" in metrics.read_bytes()):
        if process.poll() is not None or time.perf_counter() - started > LIMIT:
          lines = log.read_text().strip().splitlines()
          raise RuntimeError(f"no step of {' '.join(command)}: {lines[-1] if lines else 'silence'}")
        time.sleep(0.02)
      return {"seconds": time.perf_counter() - started, **spent(events)}
    finally:
      os.killpg(process.pid, signal.SIGKILL)
      process.wait()


def spent(events: pathlib.Path) -> dict[str, float]:
  """Returns the wall time that was spent on each of `PARTS`, in seconds, from the file of events.

  Events that overlap count once: a function that is traced within another, and programs that are
  compiled in several threads. JAX counts the reading of a program as a part of compiling it.
  """
  spans: dict[str, list[tuple[float, float]]] = {part: [] for part in PARTS}
  for line in events.read_text().splitlines():
    part, start, end = json.loads(line)
    spans[part].append((start, end))
  seconds = {part: covered(found) for part, found in spans.items()}
  seconds["compiling"] = max(seconds["compiling"] - seconds["reading"], 0.0)
  return seconds


def covered(spans: list[tuple[float, float]]) -> float:
  """Returns the length of the union of intervals."""
  length, reached = 0.0, float("-inf")
  for start, end in sorted(spans):
    length += max(end - max(start, reached), 0.0)
    reached = max(reached, end)
  return length
