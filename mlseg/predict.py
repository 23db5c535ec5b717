"""Predicts masks, overlays and measurements of pictures with a trained run.

    python -m mlseg.predict --workdir=RUN --images=DIR --out=DIR

The pictures are all PNG, JPEG, BMP, TIFF, GIF, WebP, PNM, JPEG 2000 and DICOM files below DIR, or a
single file. They may have any size, and be grey or coloured, with 8 or 16 bits. DICOM needs
pydicom: pip install 'mlseg-jax[dicom]'. If a file has several pages, the first is read. Pictures
are read by the same function as in training, and prepared as there. Probabilities are interpolated
to the size of the picture, and each pixel gets the most probable class. If a run has several seeds,
their mean probabilities are used. Mirrored views are averaged as when the run was tested
(config.prediction.views), or as --views says. A threshold, and sizes of components and holes, that
the run chose on its validation cases are applied; --postprocess=False leaves them out. The folder
of the results gets

    masks/NAME.png     0 and 255 for two classes, the index of the class for more
    overlays/NAME.png  the picture with the regions outlined and tinted
    predictions.csv    per picture and class: area, parts, mean probability, spreads
    saliency/NAME.png  the picture under the saliency map of its diagnosis, if the run diagnoses
    diagnoses.csv      per picture: its diagnosis and the probabilities, if the run diagnoses
    findings.csv       instead, for a run whose cases may have several findings: those above 0.5,
                       and the probability of each; saliency is then that of the most probable one
    probabilities/NAME.png, entropy/NAME.png, disagreement/NAME.png, with --maps=png: 0 to 255
                       stands for 0 to 1; NAME.nii.gz with --maps=nifti, one slice each with the
                       spacing of the picture, which needs nibabel: pip install 'mlseg-jax[ct]';
                       maps/NAME.npz with these as arrays with --maps=npz
    predict.json       the run and the options; the same command may be given again

Probabilities have the temperature that the run fitted on its validation cases, if it did; masks
and diagnoses do not change by it. The entropy is that of the classes' mean probabilities; the
disagreement is this entropy minus the mean entropy of the single models and views.

NAME is the picture's name without its suffix; the suffix is kept where two pictures would have the
same NAME, and names that a disk would not take are cut. A spread is 1 - the mean Dice of all pairs
of masks of the most probable class, at the network's size: flip_spread compares the picture with
its three mirror images, seed_spread the seeds with each other. Parts are connected in 8 directions.
area_mm2 is given for DICOM files with a pixel spacing or one calibrated ultrasound region.
predictions.csv is written, or replaced, at the end.

For a run on volumes DIR is a manifest, or a folder that holds one, with the columns patient, image
and mask. The results are then diagnoses.csv; attention.csv with the weight of each slice, by its
number from 1 at the feet; and patients/NAME.png with the slices of the largest weights, under the
saliency map of the predicted outcome.

Exit codes: 0 done; 1 some files could not be predicted, each with a line that gives the reason; 2
wrong use; 130 stopped by Ctrl-C, after which all files that were written are complete.
"""

import pathlib
import sys
import warnings
from typing import Any

from absl import flags

from mlseg.devices import command, runtime
from mlseg.errors import UserError, machine_faults, require, unknown
from mlseg.io.pictures.picture import SCALINGS

SALIENCIES = ("gradcam", "gradcam++", "none")
MAPS = ("none", "png", "nifti", "npz")
VIEWS = ("one", "horizontal", "flips")  # those of models.averaging, which loads jax


def parse(argv: list[str]) -> dict[str, Any]:
  """Returns the values of the flags by name.

  Raises:
    UserError: a flag is unknown or missing, or a value is wrong.
  """
  values = flags.FlagValues()
  for name, text in {
    "workdir": "The folder of a trained run.",
    "images": "A folder of pictures, searched with all folders in it, or one picture.",
    "out": "The folder of the results: a new one, or that of the same command given before.",
  }.items():
    flags.DEFINE_string(name, None, text, flag_values=values)
  flags.DEFINE_string(
    "sixteen_bit",
    None,
    "Which values become black and white in pictures of more than 8 bits: 'minmax', the smallest"
    " and the largest of the picture, or 'range', those of its type. DICOM files use their window,"
    " if they have one. Default: as the run was trained (config.data.sixteen_bit).",
    flag_values=values,
  )
  flags.DEFINE_string(
    "saliency",
    "gradcam",
    "The method of the saliency maps of diagnoses: 'gradcam', 'gradcam++', or 'none' for no maps.",
    flag_values=values,
  )
  flags.DEFINE_bool(
    "flips", True, "Compute flip_spread, which takes four times as long.", flag_values=values
  )
  flags.DEFINE_string(
    "views",
    None,
    "The views of a picture whose probabilities are averaged: 'one', the picture; 'horizontal', its"
    " left-right mirror image too; 'flips', all three mirror images too. Default: as the run was"
    " tested (config.prediction.views).",
    flag_values=values,
  )
  flags.DEFINE_bool(
    "postprocess",
    True,
    "Make masks with the threshold and the smallest sizes that the run chose on its validation"
    " cases, if it did; False: each pixel has the most probable class.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "maps",
    "none",
    "How the probabilities of the pixels, their entropy, and the disagreement of the models are"
    " written: 'png', 'nifti', 'npz', or 'none' for not at all.",
    flag_values=values,
  )
  batch_size: Any = flags.DEFINE_integer(
    "batch_size", 16, "Number of pictures predicted at once.", flag_values=values
  )
  help_wanted = flags.DEFINE_bool("help", False, "Show this help.", flag_values=values)
  try:
    rest = values(argv)
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from error
  if help_wanted.value:
    print(f"{__doc__}\n{values.main_module_help() or values}")
    raise SystemExit(0)
  if len(rest) > 1:
    raise UserError(f"unexpected argument {rest[1]!r}: options are given as --name=value")
  for name in ("workdir", "images", "out"):
    if not values[name].value:
      raise UserError(f"--{name} is missing: --workdir, --images and --out are needed")
  if values["sixteen_bit"].value not in (None, *SCALINGS):
    raise unknown("--sixteen_bit", values["sixteen_bit"].value, SCALINGS)
  if values["views"].value not in (None, *VIEWS):
    raise unknown("--views", values["views"].value, VIEWS)
  if values["saliency"].value not in SALIENCIES:
    raise unknown("--saliency", values["saliency"].value, SALIENCIES)
  if values["maps"].value not in MAPS:
    raise unknown("--maps", values["maps"].value, MAPS)
  require(batch_size.value >= 1, "--batch_size must be at least 1", batch_size.value)
  return {name: value for name, value in values.flag_values_dict().items() if name != "help"}


def _run(values: dict[str, Any]) -> int:
  # Imported after the flags are checked, so that a mistake in them is reported before jax loads.
  from mlseg.console import Reporter
  from mlseg.prediction import pictures as predict_pictures

  runtime.keep_compiled_programs()
  folders = {name: pathlib.Path(values[name]) for name in ("workdir", "images", "out")}
  with warnings.catch_warnings():
    # Libraries that read files warn in many ways; a file that cannot be read is reported anyway.
    warnings.simplefilter("ignore")
    num_broken, num_files = predict_pictures.predict(
      predict_pictures.PredictOptions(**(values | folders)), Reporter()
    )
  if num_broken:
    print(f"mlseg: {num_broken} of {num_files} files could not be predicted", file=sys.stderr)
  return 1 if num_broken else 0


def main(argv: list[str]) -> int:
  """Runs a command line and returns the exit code."""
  try:
    with machine_faults():
      return _run(parse(argv))
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print("mlseg: stopped; all files are complete, predictions.csv is missing", file=sys.stderr)
    return 130


if __name__ == "__main__":
  command.guard_output("mlseg")
  sys.exit(main(sys.argv))
