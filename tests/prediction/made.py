"""The folder of a run that was never trained, for what reads such folders."""

import json
import pathlib

import jax
import jax.numpy as jnp

from mlseg.recipe import experiment, parse
from mlseg.workdir import model_file

SMOKE = pathlib.Path(__file__).parents[2] / "configs" / "smoke.py"
SEEDS = (0, 3)


def write_run(folder: pathlib.Path, *settings: str) -> pathlib.Path:
  """Writes what a run of two models leaves that prediction reads, and returns its folder.

  Args:
    folder: exists.
    settings: of the smoke recipe, as `key=value`.
  """
  flags = [f"--config.{setting}" for setting in ("model.depth=1", *settings)]
  content = parse.content(["", f"--config={SMOKE}", *flags])
  model = experiment.read(content).network.make(2, 2)
  images = jnp.zeros((1, 32, 32, 1))
  model_file.write(folder, {n: jax.jit(model.init)(jax.random.key(n), images) for n in SEEDS})
  about = {"config": content, "data": "abc", "device": "", "versions": {}}
  (folder / "config.json").write_text(json.dumps(about))
  (folder / "data.csv").write_text("id,label,group,pixels_background,pixels_lesion\n")
  return folder
