"""Trains a config: `python -m mlseg.main --config=configs/dmf_busi.py [--config.KEY=VALUE ...]`."""

import hashlib
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from absl import flags
from ml_collections import ConfigDict, config_flags

from mlseg import runtime
from mlseg.errors import UserError

if TYPE_CHECKING:
  from mlseg.log import Reporter


def parse(argv: list[str]) -> tuple[ConfigDict, pathlib.Path]:
  """Returns the config and the folder that a command line asks for.

  Raises:
    UserError: a flag, a config file, a key or a value is not right.
  """
  values = flags.FlagValues()
  recipe = config_flags.DEFINE_config_file(
    "config", None, "The recipe: a file of configs/, with an optional :variant.", flag_values=values
  )
  folder = flags.DEFINE_string(
    "workdir",
    None,
    "The run's folder; a run that stopped there goes on. Default: runs/NAME-VARIANT-HASH, the same"
    " for the same config.",
    flag_values=values,
  )
  help_wanted = flags.DEFINE_bool("help", False, "Show this help.", flag_values=values)
  # The config flag looks for the overrides of its keys in sys.argv, wherever its value comes from.
  previous, sys.argv = sys.argv, argv
  try:
    rest = values(argv)
    config = recipe.value
    getattr(config, "name", None)  # a file that is missing shows at its first use
  except Exception as error:  # a config file is code, and can fail in any way
    raise UserError(_one_line(error)) from error
  finally:
    sys.argv = previous
  if help_wanted.value:
    print(f"{__doc__}\n{values.main_module_help() or values}")
    raise SystemExit(0)
  if len(rest) > 1:
    raise UserError(f"unexpected argument {rest[1]!r}: options are given as --name=value")
  if config is None:
    raise UserError("--config is missing: give a recipe, for instance configs/dmf_busi.py")
  if not isinstance(config, ConfigDict):
    raise UserError(f"the config file must return a ConfigDict, not {type(config).__name__}")
  return config, pathlib.Path(folder.value or _default_workdir(config))


def _one_line(error: Exception) -> str:
  """Returns what went wrong while flags were read, in one line for a person."""
  cause = error.args[0] if error.args else error
  if isinstance(cause, KeyError):  # ml_collections: a key, and on a second line what is near it
    key, _, hint = str(cause.args[0]).partition("\n")
    return f"unknown config key {key}. {hint}".strip()
  if isinstance(error, KeyError):  # below a section that is not there: the key in two quotes
    return "unknown config key " + str(cause).strip('"')
  text = str(cause)
  if "Traceback" in text:  # ml_collections hands on what the config file raised, as text
    text = text.strip().splitlines()[-1].partition(": ")[2]
  if "Attempted" in text:  # ml_collections: where it looked for the file
    text = text[text.index("[Errno") :].partition("] ")[2]
  return " ".join(text.split()) or type(error).__name__


def _default_workdir(config: ConfigDict) -> str:
  """Returns a name that is the same for the same config, so that the same command goes on.

  Also on other devices: the mesh does not count.
  """
  recipe = ConfigDict({name: value for name, value in config.items() if name != "mesh"})
  digest = hashlib.sha256(recipe.to_json_best_effort(sort_keys=True).encode()).hexdigest()
  return f"runs/{config.name}-{config.variant}-{digest[:8]}"


def main(argv: list[str]) -> int:
  """Runs a command line; returns the exit code.

  0 done, or saved after SIGTERM; 1 diverged; 2 wrong use; 75 another process of the job was lost;
  130 saved after Ctrl-C.
  """
  try:
    config, workdir = parse(argv)
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    return 2
  return run(lambda reporter: _train(config, workdir, reporter), config, config.num_seeds)


def _train(config: ConfigDict, workdir: pathlib.Path, reporter: "Reporter") -> None:
  from mlseg import train

  train.train(config, workdir, reporter)


def run(work: Callable[["Reporter"], int | None], config: ConfigDict, num_models: int) -> int:
  """Does a command's work, in as many processes as the job has; returns the exit code.

  Args:
    work: a function of the console; returns the exit code, None for 0.
    config: the recipe, which says how models are trained.
    num_models: that are trained.
  """
  # After the flags: a mistake in them should not wait for jax to load.
  import jax

  from mlseg import distributed, sharding, train
  from mlseg.log import Reporter
  from mlseg.stopping import Stopped

  try:
    runtime.keep_compiled_programs()
    runtime.share_cpu(config.seeds.strategy, num_models)
    distributed.start()
    code = work(Reporter(quiet=not sharding.is_main())) or 0
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    code = 2
  except train.DivergedError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    code = 1
  except Stopped as stopped:
    if sharding.is_main():
      print(f"mlseg: {stopped}")
    code = 0 if stopped.signum == signal.SIGTERM else 130
  except Exception as error:
    loss = distributed.describe_loss(error)
    if loss is None:
      raise
    print(f"mlseg: {loss}", file=sys.stderr)
    distributed.leave(distributed.EXIT_LOST)
  if code in (1, 2) and jax.distributed.is_initialized():
    distributed.leave(code)
  distributed.shutdown()
  return code


if __name__ == "__main__":
  runtime.use_huge_pages(sys.orig_argv, os.environ)
  sys.exit(main(sys.argv))
