"""The part 'start': time from the start of the main command to its first logged step."""

import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time
from typing import Any

from speed_parts import workers
from speed_parts.workers import Settings

LIMIT = 300  # seconds
CONFIGS = ("dmf_busi", "strong")
EACH_STEP = "--config.log_every=1"  # so that the first step is logged at once


def measure(settings: Settings) -> dict[str, Any]:
  """Returns two rows for each recipe: without compiled programs, and with those of a run before."""
  rows = []
  warm(settings)
  for config in ("smoke",) if settings.small else CONFIGS:
    times: dict[str, list[float]] = {"cold": [], "compiled earlier": []}
    for _ in range(1 if settings.small else 3):
      with tempfile.TemporaryDirectory() as cache:
        for name in workers.in_turns(settings, list(times)):
          times[name].append(seconds_to_first_line(settings, config, cache))
    rows += [
      {
        "variant": f"{config}, {name}",
        "seconds": statistics.median(values),
        "all_seconds": values,
      }
      for name, values in times.items()
    ]
  return {"rows": rows, "remarks": [f"`python -m mlseg.main --config=configs/NAME.py {EACH_STEP}`"]}


def warm(settings: Settings) -> None:
  """Imports the package once, so that modules are compiled by Python, as once installed."""
  subprocess.run(
    [settings.pythons["mlseg"], "-c", "import mlseg.main, mlseg.training.train"],
    cwd=workers.BENCHMARKS.parent,
    env=workers.environment(settings),
    check=True,
  )


def seconds_to_first_line(settings: Settings, config: str, cache: str) -> float:
  """Starts the main command, waits for the first line of its metrics, and kills it.

  Raises:
    RuntimeError: the command ended before its first line, or took too long.
  """
  with tempfile.TemporaryDirectory() as folder:
    metrics = pathlib.Path(folder) / "run" / "metrics.jsonl"
    command = [settings.pythons["mlseg"], "-m", "mlseg.main", f"--config=configs/{config}.py"]
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
      return time.perf_counter() - started
    finally:
      os.killpg(process.pid, signal.SIGKILL)
      process.wait()
