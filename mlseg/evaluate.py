"""Tests a trained run on another labelled data set.

    python -m mlseg.evaluate --workdir=RUN --out=DIR --data=DATA [--data.KEY=VALUE ...]

DATA is a folder in the layout of the data that the run was trained on, or in any other layout that
training reads, which --data.name names. The keys are those of config.data that say what is read;
the others, such as the size at which the network sees an image, are the run's:

    --data.name=busi            the layout; without --data, the images that come with the package
    --data.name=folder          images and masks by patterns, as configs/folder.py explains them:
      --data.folder.images='images/{name}.png' --data.folder.masks='masks/{name}.png'
    --data.mask_resize=nearest  masks of another size than their images are resized
    --data.skip_bad=True        files that cannot be read are left out, and listed

Every image counts as a test image. Without any --data, each model is tested again on its own test
part, such as with other --views. All models of the run are tested, each and by the mean of their
probabilities, with the views, the threshold and the sizes that the run was tested with. The scores
of the mean have 95 % bootstrap intervals, for which the images of one patient, and near-duplicates,
are resampled together. Classes are compared in their order, diagnoses by their names. There is a
warning for what does not fit, and for images that the run was trained on. DIR gets the files that a
run's folder has (results.json, cases.csv, figures/ and so on), and a report in DIR/report. Several
such folders, and the run itself, are put side by side by

    python -m mlseg.report DIR1 DIR2 ... --out=REPORT

Exit codes: 0 done; 2 wrong use, or data that do not fit; 130 stopped by Ctrl-C.
"""

import pathlib
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from mlseg.devices import command, runtime
from mlseg.errors import UserError, machine_faults, require, unknown

if TYPE_CHECKING:
  from mlseg.evaluation.evaluate import EvaluateOptions

VIEWS = ("one", "horizontal", "flips")  # those of models.averaging, which loads jax


def parse(argv: list[str]) -> "EvaluateOptions":
  """Returns the options of a command line.

  Raises:
    UserError: a flag is unknown or missing, or a value is wrong.
  """
  data = [word for word in argv[1:] if word.startswith(("--data", "-data", "--nodata"))]
  values = flags.FlagValues()
  flags.DEFINE_string("workdir", None, "The folder of a trained run.", flag_values=values)
  flags.DEFINE_string(
    "out",
    None,
    "The folder of the results: a new one, or that of the same command given before.",
    flag_values=values,
  )
  flags.DEFINE_string(
    "views",
    None,
    "The views of an image whose probabilities are averaged: 'one', the image; 'horizontal', its"
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
  flags.DEFINE_bool(
    "copies",
    True,
    "Look for near-duplicates of the images that the run was trained on, for which its own data are"
    " read again.",
    flag_values=values,
  )
  batch_size: Any = flags.DEFINE_integer(
    "batch_size", 16, "Number of images predicted at once.", flag_values=values
  )
  flags.DEFINE_bool("help", False, "Show this help.", flag_values=values)
  try:
    rest = values([word for word in argv if word not in data])
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from error
  if values["help"].value:
    print(f"{__doc__}\n{values.main_module_help() or values}")
    raise SystemExit(0)
  if len(rest) > 1:
    raise UserError(f"unexpected argument {rest[1]!r}: options are given as --name=value")
  for name in ("workdir", "out"):
    if not values[name].value:
      raise UserError(f"--{name} is missing: --workdir and --out are needed")
  for argument in data:
    if "=" not in argument and not argument.startswith("--nodata"):
      raise UserError(f"{argument} has no value: it is given as {argument}=VALUE")
  if values["views"].value not in (None, *VIEWS):
    raise unknown("--views", values["views"].value, VIEWS)
  require(batch_size.value >= 1, "--batch_size must be at least 1", batch_size.value)
  return _options({**values.flag_values_dict(), "data": data})


def _options(values: dict[str, Any]) -> "EvaluateOptions":
  # Imported after the flags are checked, so that a mistake in them is reported before jax loads.
  from mlseg.evaluation.evaluate import EvaluateOptions

  known = {name: values[name] for name in EvaluateOptions._fields}
  folders = {name: pathlib.Path(values[name]) for name in ("workdir", "out")}
  return EvaluateOptions(**(known | folders))


def main(argv: list[str]) -> int:
  """Runs a command line and returns the exit code."""
  try:
    with machine_faults():
      options = parse(argv)
      from mlseg.console import Reporter
      from mlseg.evaluation.evaluate import evaluate

      runtime.keep_compiled_programs()
      evaluate(options, Reporter())
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  command.begin("mlseg", "the same command starts again")
  sys.exit(main(sys.argv))
