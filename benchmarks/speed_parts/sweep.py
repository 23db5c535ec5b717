"""The part 'sweep': the time of several seeds in one command, beside one command for each seed."""

import subprocess
import tempfile
import time
from typing import Any

from speed_parts import workers
from speed_parts.workers import Settings

BASELINE = "one command for each seed"
# By name in the table: the strategy, and what is set in the environment.
STRATEGIES: dict[str, tuple[str, dict[str, str]]] = {
  "one command": ("auto", {}),
  "one command, loop": ("loop", {}),
  "one command, oneDNN": ("auto", {"MLSEG_ONEDNN": "1"}),
}


def measure(settings: Settings) -> dict[str, Any]:
  """Returns a row for each way; each begins with an empty cache of compiled programs."""
  config, seeds, epochs = ("smoke", 2, 1) if settings.small else ("dmf_busi", 4, 2)
  flags = [f"--config=configs/{config}.py", f"--config.num_epochs={epochs}"]
  together = {
    name: [[*flags, f"--config.num_seeds={seeds}", f"--config.seeds.strategy={strategy}"]]
    for name, (strategy, _) in STRATEGIES.items()
    if name == "one command" or not settings.small
  }
  singles = [[*flags, f"--config.seed={seed}", "--config.num_seeds=1"] for seed in range(seeds)]
  ways = {BASELINE: singles, **together}
  seconds = {}
  for name in workers.in_turns(settings, list(ways)):
    extra = STRATEGIES[name][1] if name in STRATEGIES else {}
    with tempfile.TemporaryDirectory() as cache:
      extra = {"JAX_COMPILATION_CACHE_DIR": cache, **extra}
      seconds[name] = [run(settings, options, extra) for options in ways[name]]
  total = sum(seconds[BASELINE])
  rows = [
    {"variant": name, "seconds": sum(values), "share": sum(values) / total, "all_seconds": values}
    for name, values in seconds.items()
  ]
  command = f"`python -m mlseg.main {' '.join(flags)}`, {seeds} seeds, measured once."
  return {"rows": rows, "remarks": [command]}


def run(settings: Settings, options: list[str], extra: dict[str, str]) -> float:
  """Runs the main command to its end and returns the seconds that it took.

  Args:
    settings: how to measure.
    options: of the command.
    extra: variables of its environment.

  Raises:
    RuntimeError: the command failed.
  """
  with tempfile.TemporaryDirectory() as folder:
    command = [settings.pythons["mlseg"], "-m", "mlseg.main", f"--workdir={folder}/run", *options]
    started = time.perf_counter()
    done = subprocess.run(
      command,
      cwd=workers.BENCHMARKS.parent,
      env=workers.environment(settings, **extra),
      capture_output=True,
      text=True,
      check=False,
    )
    seconds = time.perf_counter() - started
  if done.returncode:
    raise RuntimeError(f"{' '.join(command)}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
  return seconds
