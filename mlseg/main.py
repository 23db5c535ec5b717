"""Trains a config: `python -m mlseg.main --config=configs/dmf_busi.py [--config.KEY=VALUE ...]`."""

import os
import pathlib
import sys
from typing import TYPE_CHECKING

from mlseg.devices import command, runtime
from mlseg.errors import UserError

if TYPE_CHECKING:
  from ml_collections import ConfigDict

  from mlseg.console import Reporter


def main(argv: list[str]) -> int:
  """Runs a command line; returns the exit code.

  0 done, or saved after SIGTERM; 1 diverged; 2 wrong use, or a disk that is full; 75 another
  process of the job was lost; 130 stopped by Ctrl-C, and saved where training had begun.
  """
  # Imported here: Ctrl-C is to be heard while they load.
  from mlseg.recipe import parse
  from mlseg.training import launch

  try:
    config, workdir = parse.parse(argv)
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    return 2
  return launch.run(lambda reporter: _train(config, workdir, reporter), *parse.models_of(config))


def _train(config: "ConfigDict", workdir: pathlib.Path, reporter: "Reporter") -> None:
  from mlseg.devices import sharding
  from mlseg.recipe import experiment
  from mlseg.report import write
  from mlseg.training import train

  recipe = experiment.read(config)
  train.train(recipe, workdir, reporter)
  if recipe.content["report"] and sharding.is_main():
    reporter.print(f"the report is {write.report([workdir], workdir / 'report')}")


if __name__ == "__main__":
  command.begin("mlseg")
  runtime.use_huge_pages(sys.orig_argv, os.environ)
  sys.exit(main(sys.argv))
