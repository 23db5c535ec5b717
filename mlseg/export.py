"""Exports a trained run for use without mlseg, and without JAX.

    python -m mlseg.export --workdir=RUN --out=DIR --format=onnx

writes into DIR

    model.onnx    or model.stablehlo: all models of the run, their views and temperatures, as one
                  function of images of the network's size, in a batch of any size
    model.json    classes, input and output, how masks are made, versions
    run.py        for ONNX: predicts images, without mlseg and JAX
    README.md     a model card: data, training, scores with intervals, limits

The file is read back, and its outputs are compared with those of the run, before anything is said
to be done. ONNX needs a converter: pip install 'mlseg-jax[onnx]' && pip install --no-deps jax2onnx.
StableHLO is in the form of jax.export; --platforms names where it will run, and with
--platforms=cpu alone it is faster there.

Exit codes: 0 done; 2 wrong use, or a network that cannot be converted; 130 stopped by Ctrl-C.
"""

import pathlib
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from mlseg.devices import command, runtime
from mlseg.errors import UserError, machine_faults, unknown

if TYPE_CHECKING:
  from mlseg.prediction.export import ExportOptions

FORMATS = ("onnx", "stablehlo")  # those of prediction.export, which loads jax
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
VIEWS = ("one", "horizontal", "flips")


def parse(argv: list[str]) -> "ExportOptions":
  """Returns the options of a command line.

  Raises:
    UserError: a flag is unknown or missing, or a value is wrong.
  """
  values: Any = flags.FlagValues()
  flags.DEFINE_string("workdir", None, "The folder of a trained run.", flag_values=values)
  flags.DEFINE_string("out", None, "The folder of the results.", flag_values=values)
  flags.DEFINE_string("format", "onnx", "'onnx' or 'stablehlo'.", flag_values=values)
  words = "As in mlseg.predict. Default: as the run was tested."
  flags.DEFINE_string("views", None, words, flag_values=values)
  flags.DEFINE_list(
    "platforms", ["cpu", "cuda", "tpu"], "Where StableHLO will run.", flag_values=values
  )
  flags.DEFINE_bool("help", False, "Show this help.", flag_values=values)
  try:
    rest = values(argv)
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
  for name, known in (("format", FORMATS), ("views", (None, *VIEWS))):
    if values[name].value not in known:
      raise unknown(f"--{name}", values[name].value, filter(None, known))
  platforms = values["platforms"].value
  for platform in platforms:
    if platform not in PLATFORMS:
      raise unknown("--platforms", platform, PLATFORMS)
  # Imported after the flags are checked, so that a mistake in them is reported before jax loads.
  from mlseg.prediction.export import ExportOptions

  return ExportOptions(
    workdir=pathlib.Path(values["workdir"].value),
    out=pathlib.Path(values["out"].value),
    format=values["format"].value,
    views=values["views"].value,
    platforms=tuple(platforms),
  )


def main(argv: list[str]) -> int:
  """Runs a command line and returns the exit code."""
  try:
    with machine_faults():
      options = parse(argv)
      from mlseg.console import Reporter
      from mlseg.prediction.export import export

      runtime.keep_compiled_programs()
      export(options, Reporter())
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  command.begin("mlseg", "the same command starts again")
  sys.exit(main(sys.argv))
