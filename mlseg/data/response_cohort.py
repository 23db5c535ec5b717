"""Writes a generated cohort with a known signal, in place of patients with a known response.

    python -m mlseg.data.response_cohort --backgrounds=DIR --out=DIR [--patients=120] [--seed=0]
        [--label_noise=0.1]

`--backgrounds` is a folder of CT volumes in Hounsfield units (*.nii, *.nii.gz). A mask named *_mask
beside a volume *_image or * marks a true tumour. Each patient is a crop of one volume with a lesion
from `planted_lesion`. Its texture, and neither its size nor its mean, predicts the class, with an
area under the ROC curve of at most A = 0.90. A share p of labels is flipped, which leaves
0.5 + (A - 0.5) (1 - 2 p) = 0.82.

The folder OUT gets images/, masks/ and manifest.csv, which `manifest.read` reads. In shuffled.csv
the labels are shuffled over the patients: a cohort without a signal. shuffled_2.csv to
shuffled_5.csv are further shuffles, because a single one may agree with the texture by chance. For
checks, truth.csv has the true class, the standard deviation of the texture in HU, and whether the
label was flipped. The same seed gives the same voxels.
"""

import os
import pathlib
import sys
from typing import NamedTuple

import numpy as np
from absl import flags

from mlseg.data import planted_lesion
from mlseg.data.diameter import longest_diameter
from mlseg.data.planted_lesion import Background, Planted
from mlseg.devices import command
from mlseg.errors import UserError, machine_faults, printable, require
from mlseg.files import to_csv
from mlseg.io import volumes
from mlseg.io.volumes import nifti

CLASSES = tuple(planted_lesion.MEDIANS)
SHUFFLED = ("shuffled.csv", *(f"shuffled_{number}.csv" for number in range(2, 6)))
_SUFFIXES = (".nii.gz", ".nii")


class CohortPlan(NamedTuple):
  """The options of a cohort."""

  patients: int = 120
  seed: int = 0
  label_noise: float = 0.1  # probability that a label is not the true class


class Labels(NamedTuple):
  """The true and given labels of the patients."""

  true_classes: list[str]  # of the texture
  labels: list[str]  # of the manifest
  shuffled: list[list[str]]  # for each file of `SHUFFLED`, the same labels shuffled


def read_backgrounds(folder: pathlib.Path) -> list[Background]:
  """Returns the volumes of a folder in the order of their names, with their tumours.

  Raises:
    UserError: there are none; a volume cannot be read or is too small; or a mask has another grid.
  """
  if not folder.is_dir():
    raise UserError(f"--backgrounds must be a folder, not {folder}")
  paths = {_stem(path): path for path in sorted(folder.iterdir()) if _stem(path)}
  images = {stem: path for stem, path in paths.items() if not stem.endswith("_mask")}
  if not images:
    raise UserError(f"--backgrounds {folder} has no volume (*.nii, *.nii.gz) other than masks")
  backgrounds = []
  for stem, path in images.items():
    volume = volumes.read(path)
    tumour = np.zeros(volume.values.shape, bool)
    beside = paths.get(f"{stem.removesuffix('_image')}_mask", paths.get(f"{stem}_mask"))
    if beside:
      mask = volumes.read(beside)
      volumes.check_same_grid(volume, mask, (str(path), str(beside)))
      tumour = mask.values != 0  # of any kind: no lesion is planted in them
    backgrounds.append(Background(str(path), volume, tumour))
    planted_lesion.check(backgrounds[-1])
  return backgrounds


def _stem(path: pathlib.Path) -> str:
  """Returns the name of a volume's file without its suffix; '' for other files."""
  name = path.name.lower()
  if path.is_file() and not name.startswith("."):
    for suffix in _SUFFIXES:
      if name.endswith(suffix):
        return name.removesuffix(suffix)
  return ""


def _generator(seed: int, *key: int) -> np.random.Generator:
  """Returns a generator for a seed and a key, independent of those with other keys."""
  return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def draw_labels(options: CohortPlan) -> Labels:
  """Returns the true classes, each of half the patients, and the labels of the manifests.

  The label noise does not change the true classes.

  Raises:
    UserError: an option is out of its range, or all labels are the same.
  """
  require(options.patients >= 4, "--patients must be at least 4", options.patients)
  require(options.seed >= 0, "--seed must not be negative", options.seed)
  rule = "--label_noise must be from 0 to 0.5"
  require(0 <= options.label_noise <= 0.5, rule, options.label_noise)
  classes, noise, shuffle = (_generator(options.seed, 0, part) for part in range(3))
  true = classes.permutation(np.arange(options.patients) % len(CLASSES))
  given = np.where(noise.random(options.patients) < options.label_noise, 1 - true, true)
  if len(set(given.tolist())) < 2:
    raise UserError(
      f"--seed {options.seed} gives all {options.patients} patients the same label: choose another,"
      " or more patients"
    )
  parts = true, given, *(shuffle.permutation(given) for _ in SHUFFLED)
  true_classes, labels, *shuffled = ([CLASSES[one] for one in part] for part in parts)
  return Labels(true_classes, labels, shuffled)


def write(backgrounds: pathlib.Path, out: pathlib.Path, options: CohortPlan) -> None:
  """Writes a cohort.

  The files are written to a temporary folder, which is renamed when it is complete.

  Args:
    backgrounds: folder of the CT volumes.
    out: folder of the cohort, new or empty.
    options: of the cohort.

  Raises:
    UserError: an option or a background is wrong, or the folder cannot be written.
  """
  labels = draw_labels(options)
  if out.exists() and not (out.is_dir() and not any(out.iterdir())):
    raise UserError(f"--out must be a new or empty folder, not {out}")
  found = read_backgrounds(backgrounds)
  out = out.resolve()
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    with command.temporary_folder(out.parent, "cohort") as temporary:
      _write_files(temporary / "cohort", found, labels, options.seed)
      if out.exists():
        out.rmdir()
      os.replace(temporary / "cohort", out)
  except OSError as error:
    raise UserError(f"--out {out} cannot be written ({error.strerror or error})") from error


def _write_files(
  folder: pathlib.Path, backgrounds: list[Background], labels: Labels, seed: int
) -> None:
  for name in ("images", "masks"):
    (folder / name).mkdir(parents=True)
  digits = max(3, len(str(len(labels.labels))))
  manifest, truth = [], []
  for number, (true, label) in enumerate(zip(labels.true_classes, labels.labels, strict=True), 1):
    patient = f"P{number:0{digits}d}"
    # Each patient has a separate generator, so that no image depends on other patients.
    made = planted_lesion.make_patient(_generator(seed, 1, number), backgrounds, true)
    files = [f"{name}/{patient}.nii.gz" for name in ("images", "masks")]
    for file, volume in zip(files, (made.image, made.mask), strict=True):
      nifti.write(folder / file, volume)
    lesion_ml, diameter_mm, mean_hu = measure(made)
    covariates = f"{lesion_ml:.3f}", f"{diameter_mm:.2f}", f"{mean_hu:.2f}"
    manifest.append([patient, *files, label, *covariates])
    truth.append([patient, true, f"{made.heterogeneity:.2f}", int(label != true)])
  header = ["patient", "image", "mask", "label", "lesion_ml", "diameter_mm", "mean_hu"]
  _write_table(folder / "manifest.csv", header, manifest)
  for name, others in zip(SHUFFLED, labels.shuffled, strict=True):
    rows = [[*row[:3], other, *row[4:]] for row, other in zip(manifest, others, strict=True)]
    _write_table(folder / name, header, rows)
  header = ["patient", "true_class", "heterogeneity_hu", "flipped"]
  _write_table(folder / "truth.csv", header, truth)


def measure(made: Planted) -> tuple[float, float, float]:
  """Returns a lesion's volume in ml, its longest diameter in a slice in mm, and its mean in HU."""
  inside = made.mask.values > 0
  voxel = abs(np.linalg.det(made.mask.affine[:3, :3]))
  _, rows, columns = made.mask.spacing
  diameter = longest_diameter(inside, (rows, columns))
  return float(inside.sum() * voxel / 1000), diameter, float(made.image.values[inside].mean())


def _write_table(path: pathlib.Path, header: list[str], rows: list[list]) -> None:
  table = [dict(zip(header, row, strict=True)) for row in rows]
  path.write_text(to_csv(table, header), encoding="utf-8", newline="")


def main(argv: list[str]) -> int:
  """Runs a command line; returns the exit code."""
  values, defaults = flags.FlagValues(), CohortPlan()
  backgrounds = flags.DEFINE_string(
    "backgrounds", None, "Folder of CT volumes.", flag_values=values
  )
  out = flags.DEFINE_string("out", None, "Folder of the cohort.", flag_values=values)
  patients = flags.DEFINE_integer("patients", defaults.patients, "How many.", flag_values=values)
  seed = flags.DEFINE_integer("seed", defaults.seed, "Of all that is drawn.", flag_values=values)
  noise = flags.DEFINE_float(
    "label_noise", defaults.label_noise, "Share of wrong labels.", flag_values=values
  )
  try:
    if more := values(argv)[1:]:
      raise UserError(f"unknown argument {more[0]!r}: all arguments begin with --")
    if not backgrounds.value or not out.value:
      raise UserError(
        "--backgrounds and --out are needed: the CT volumes and the folder of the cohort"
      )
    options = CohortPlan(patients.value, seed.value, noise.value)
    with machine_faults():
      write(pathlib.Path(backgrounds.value), pathlib.Path(out.value), options)
  except (UserError, flags.Error) as error:
    print(f"mlseg.data.response_cohort: {printable(error)}", file=sys.stderr)
    return 2
  print(out.value)
  return 0


if __name__ == "__main__":
  command.begin("mlseg.data.response_cohort", "nothing was written")
  sys.exit(main(sys.argv))
