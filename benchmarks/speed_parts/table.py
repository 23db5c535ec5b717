"""The part 'table': the time that table 1 of the first paper takes, all models in one command."""

import pathlib
import subprocess
import tempfile
import time
from typing import Any

from speed_parts import workers
from speed_parts.workers import BENCHMARKS, Settings

CONFIG, SEEDS = "configs/dmf_busi.py", 10
TOY = ("num_epochs=1", "data.image_size=32", "model.filters=4", "model.depth=2")


def measure(settings: Settings) -> dict[str, Any]:
  """Returns the row of the table's models, trained and tested."""
  seeds = 2 if settings.small else SEEDS
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    options = [
      f"--config={CONFIG}",
      f"--variants={'fixed,variance+none' if settings.small else 'all'}",
      f"--config.num_seeds={seeds}",
    ]
    if settings.small:
      options += [f"--config.{key}" for key in TOY]
    command = [settings.pythons["mlseg"], "-m", "mlseg.sweep", *options]
    started = time.perf_counter()
    done = subprocess.run(
      [*command, f"--workdir={root}/table"], cwd=BENCHMARKS.parent, capture_output=True, text=True,
      env=workers.environment(settings, MLSEG_CACHE=f"{root}/cache"), check=False,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    if done.returncode:
      raise RuntimeError((done.stderr or done.stdout).strip().splitlines()[-1])
    rows = (root / "table" / "rows.csv").read_text(encoding="utf-8").splitlines()
  models = len(rows) - 1
  return {
    "rows": [
      {
        "variant": f"`python -m mlseg.sweep {' '.join(options)}`",
        "models": models,
        "seconds": seconds,
        "per_model": seconds / models,
      }
    ]
  }
