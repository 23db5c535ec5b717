"""Masks, overlays and measurements of pictures by a trained run.

    python -m mlseg.predict --workdir=RUN --images=DIR --out=DIR

Pictures are all PNG, JPEG, BMP, TIFF and DICOM files below DIR, or one file: of any size, grey or
coloured, of 8 or 16 bits. DICOM needs pydicom: pip install 'mlseg-jax[dicom]'. Of a file of several
pages the first is taken. They are prepared as in training, probabilities are restored to the
picture's size, and a pixel is given the class with the largest. Of a run of several seeds the mean
probability decides. The folder of the results gets

    masks/NAME.png     0 and 255 for two classes, the index of the class for more
    overlays/NAME.png  the picture with the regions outlined and tinted
    predictions.csv    per picture and class: area, parts, mean probability, spreads
    saliency/NAME.png  the picture under what spoke for its diagnosis, for a run that diagnoses
    diagnoses.csv      per picture: its diagnosis and the probability of each, for such a run
    predict.json       what was predicted with what; the same command may be given again

NAME is that of the picture; its suffix stays where two pictures would have the same. A spread is
1 - the mean Dice of all pairs of masks, at the network's size: flip_spread of the picture and its
three mirror images, seed_spread of the seeds. Parts are connected in 8 directions; area_mm2 is
known for DICOM with a pixel spacing or one calibrated ultrasound region. predictions.csv is
written, or replaced, at the end.

For a run on volumes DIR is a manifest, or a folder that holds one, with the columns patient, image
and mask; the results are diagnoses.csv, attention.csv with how much each slice counts, by its
number from 1 at the feet, and patients/NAME.png with the slices that count most, under what spoke
for the answer.

Exit codes: 0 done; 1 some files could not be read, one line each says why; 2 wrong use; 130 stopped
by Ctrl-C, with whole files up to there.
"""

import pathlib
import sys
import warnings
from typing import Any

from absl import flags

from mlseg.devices import runtime
from mlseg.errors import UserError, require, unknown
from mlseg.io.pictures.picture import SCALINGS

SALIENCIES = ("gradcam", "gradcam++", "none")


def parse(argv: list[str]) -> dict[str, Any]:
  """Returns the values of the flags by name.

  Raises:
    UserError: a flag or a value is not right.
  """
  values = flags.FlagValues()
  for name, text in {
    "workdir": "The folder of a trained run.",
    "images": "A folder of pictures, with all folders in it, or one picture.",
    "out": "Where results go: a new folder, or that of the same command before.",
  }.items():
    flags.DEFINE_string(name, None, text, flag_values=values)
  flags.DEFINE_string(
    "sixteen_bit",
    "minmax",
    "What becomes black and white in pictures of more than 8 bits: 'minmax', the least and the"
    " largest value of the picture, or 'range', those of its type. DICOM: its window, if there is"
    " one.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "saliency",
    "gradcam",
    "How it is found what spoke for a diagnosis: 'gradcam', 'gradcam++', or 'none': not at all.",
    flag_values=values,
  )
  flags.DEFINE_bool("flips", True, "Compute flip_spread: four times the work.", flag_values=values)
  batch_size: Any = flags.DEFINE_integer("batch_size", 16, "Pictures at once.", flag_values=values)
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
  if values["sixteen_bit"].value not in SCALINGS:
    raise unknown("--sixteen_bit", values["sixteen_bit"].value, SCALINGS)
  if values["saliency"].value not in SALIENCIES:
    raise unknown("--saliency", values["saliency"].value, SALIENCIES)
  require(batch_size.value >= 1, "--batch_size must be at least 1", batch_size.value)
  return {name: value for name, value in values.flag_values_dict().items() if name != "help"}


def _run(asked: dict[str, Any]) -> int:
  # After the flags: a mistake in them should not wait for jax to load.
  from mlseg.console import Reporter
  from mlseg.prediction import pictures as predict_pictures

  runtime.keep_compiled_programs()
  folders = {name: pathlib.Path(asked[name]) for name in ("workdir", "images", "out")}
  with warnings.catch_warnings():
    # Of libraries that read files: a picture is read or is reported, in one line.
    warnings.simplefilter("ignore")
    num_broken, num_files = predict_pictures.predict(
      predict_pictures.Options(**(asked | folders)), Reporter()
    )
  if num_broken:
    print(f"mlseg: {num_broken} of {num_files} files could not be read", file=sys.stderr)
  return 1 if num_broken else 0


def main(argv: list[str]) -> int:
  """Runs a command line; returns the exit code."""
  try:
    return _run(parse(argv))
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    return 2
  except KeyboardInterrupt:
    print("mlseg: stopped; what is there is whole, predictions.csv not yet", file=sys.stderr)
    return 130


if __name__ == "__main__":
  sys.exit(main(sys.argv))
