"""The folder of a run that was never trained, for what reads such folders."""

import json
import pathlib

import jax
import jax.numpy as jnp

from mlseg.recipe import experiment, parse
from mlseg.workdir import model_file

SMOKE = pathlib.Path(__file__).parents[2] / "configs" / "smoke.py"
SEEDS = (0, 3)


def write_run(
  folder: pathlib.Path,
  *settings: str,
  recipe: str = "",
  num_labels: int = 0,
  seeds: tuple[int, ...] = SEEDS,
) -> pathlib.Path:
  """Writes what a run leaves that prediction reads, and returns its folder.

  Args:
    folder: exists.
    settings: of the recipe, as `key=value`.
    recipe: a file of `configs/` with its variant; '': a small U-Net of the smoke recipe.
    num_labels: diagnoses that it gives; 0: none.
    seeds: of the models.
  """
  settings = settings if recipe else ("model.depth=1", *settings)
  flags = [f"--config.{setting}" for setting in settings]
  content = parse.content(["", f"--config={SMOKE.parent / (recipe or SMOKE.name)}", *flags])
  content["prediction"] |= {"components": "all", "calibration": "none"}  # nothing was chosen
  model = experiment.read(content).network.make(2, 2)
  images = jnp.zeros((1, 32, 32, 1))
  model_file.write(folder, {n: jax.jit(model.init)(jax.random.key(n), images) for n in seeds})
  about = {"config": content, "data": "abc", "device": "", "versions": {}}
  (folder / "config.json").write_text(json.dumps(about))
  (folder / "data.csv").write_text("id,label,group,pixels_background,pixels_lesion\n")
  if num_labels:
    names = ",".join(
      f"probability_{name}" for name in ("benign", "malignant", "normal")[:num_labels]
    )
    (folder / "diagnoses.csv").write_text(f"seed,id,label,{names}\n")
  return folder
