"""Writes a page about runs: tables of scores, figures, predictions, and an audit of the data.

    python -m mlseg.report WORKDIR... --out=DIR [--reference=NAME]

A WORKDIR is a run's folder, or a folder with runs anywhere below it, such as that of a sweep. The
page is DIR/index.html, one file that needs no network; its figures are also in DIR/figures, as PNG
and SVG. The same files give the same report. A report that is already in DIR is replaced.

NAME is the run that the others are compared with: the name that the report gives it, its folder, or
its label in a study. Without it, that is the reference of the study, or the first WORKDIR, if that
is the folder of a run; else no runs are compared.
"""

import pathlib
import sys

from mlseg.devices import command
from mlseg.errors import UserError, machine_faults


def main(argv: list[str]) -> int:
  """Runs a command line; returns the exit code."""
  from absl import flags  # Ctrl-C is to be heard while this and others load

  from mlseg.report.write import report

  values = flags.FlagValues()
  out = flags.DEFINE_string("out", None, "The folder of the report.", flag_values=values)
  words = "The run that others are compared with: its name, its folder, or its label in a study."
  reference = flags.DEFINE_string("reference", None, words, flag_values=values)
  help_wanted = flags.DEFINE_bool("help", False, "Show this help.", flag_values=values)
  try:
    workdirs = [pathlib.Path(word) for word in values(argv)[1:]]
    if help_wanted.value:
      print(f"{__doc__}\n{values.main_module_help() or values}")
      return 0
    if not workdirs:
      raise UserError("no folder of runs: python -m mlseg.report WORKDIR... --out=DIR")
    if not out.value:
      raise UserError("--out is missing: give the folder of the report")
    with machine_faults():
      index = report(workdirs, pathlib.Path(out.value), reference.value)
  except (UserError, flags.Error) as error:
    print(f"mlseg.report: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
  print(index)
  return 0


if __name__ == "__main__":
  command.begin("mlseg.report", "the same command starts again")
  sys.exit(main(sys.argv))
