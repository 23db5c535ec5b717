"""A made cohort of volumes with outcomes, and the recipe that reads it, in small."""

import pathlib

import numpy as np

from tests.io.volumes import made
from tests.models.pretrained import made_weights

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "response_ct.py"
PATIENTS, SLICES, SIDE, SEEDS = 24, 3, 32, 2
TINY = {
  "num_epochs": 2, "batch_size": 4, "num_seeds": SEEDS, "data.num_folds": 2,
  "data.image_size": SIDE, "data.cohort.slices": SLICES, "data.cohort.spacing": "(2.5,1.0,1.0)",
  "model.decoder_filters": "(8,8,8,8,8)", "model.width": made_weights.ENCODER.width,
  "model.attention_units": 8, "model.embedding": 8, "model.pretrained": "none",
}  # fmt: skip


def write(folder, count=PATIENTS):
  """Writes patients whose lesions are rough where the label says so."""
  rng = np.random.default_rng(0)
  rows = ["patient,image,mask,label,age"]
  for n in range(count):
    array = rng.normal(40, 5, (6, 40, 40))
    lesion = np.zeros(array.shape, bool)
    lesion[1 : 3 + n % 3, 12:28, 10:30] = True
    array[lesion] += rng.normal(0, 80 if n % 2 else 5, lesion.sum())
    made.write_nifti(folder / f"{n}.nii.gz", array.astype(np.int16))
    made.write_nifti(folder / f"{n}_mask.nii.gz", lesion.astype(np.uint8))
    rows.append(f"p{n},{n}.nii.gz,{n}_mask.nii.gz,{'no' if n % 2 else 'yes'},{50 + n}")
  (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
  return folder


def arguments(root, variant="all", **changes):
  options = TINY | {"data.root": root} | changes
  return [f"--config={CONFIG}:{variant}", *(f"--config.{k}={v}" for k, v in options.items())]
