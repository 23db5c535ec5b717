"""Trains a grid of configs, each with its seeds, and prints one table.

    python -m mlseg.sweep --config=configs/dmf_busi.py --variants=all --config.num_seeds=10
    python -m mlseg.sweep --config=configs/dmf_busi.py --grid=optimizer.learning_rate=1e-4,1e-3
    python -m mlseg.sweep --config=... --variants=all --workdir=DIR --task=2 --num_tasks=4
    python -m mlseg.sweep --config=... --variants=all --workdir=DIR --table

Configs that differ in learning rate, losses, weighting or auxiliary loss only are trained side by
side in one program. Each leaves the folder that `mlseg.main` leaves, in one of its own below
--workdir; what is complete there is not trained again.
"""

import hashlib
import importlib.util
import itertools
import json
import os
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import flags
from ml_collections import ConfigDict

from mlseg import main, runtime
from mlseg.errors import UserError, require

if TYPE_CHECKING:
  from mlseg.group import Run
  from mlseg.log import Reporter

# Models of one program on a CPU, where more at once gain no speed and take memory.
_CPU_MODELS = 16


class Options(NamedTuple):
  """What a command line asks for beside the points of its grid."""

  workdir: pathlib.Path
  task: int
  num_tasks: int
  together: int
  table: bool


class Point(NamedTuple):
  """One config of the grid, and the name of its folder and row."""

  name: str
  config: ConfigDict


def parse(argv: list[str]) -> tuple[list[Point], Options]:
  """Returns the grid and the options of a command line.

  Raises:
    UserError: a flag, a config file, a key or a value is not right.
  """
  values = flags.FlagValues()
  define: dict[str, Any] = {"flag_values": values}
  flags.DEFINE_string("config", None, "The recipe: a file of configs/.", **define)
  flags.DEFINE_string("variants", None, "Variants of the recipe, with commas; or 'all'.", **define)
  flags.DEFINE_multi_string("grid", [], "KEY=V1,V2,...: values of a key; repeatable.", **define)
  flags.DEFINE_string("workdir", None, "The folder of all. Default: runs/sweep-HASH.", **define)
  flags.DEFINE_integer("task", 0, "Which part of the grid, from 0.", **define)
  flags.DEFINE_integer("num_tasks", 1, "In how many parts the grid is trained.", **define)
  flags.DEFINE_integer(
    "together", 0, f"Most models of one program; 0: {_CPU_MODELS} on a CPU, else all.", **define
  )
  flags.DEFINE_bool("table", False, "Train nothing; print the table of what is there.", **define)
  help_wanted = flags.DEFINE_bool("help", False, "Show this help.", **define)
  overrides = [word for word in argv[1:] if re.match("--?config[.]", word)]
  try:
    rest = values([word for word in argv if word not in overrides])
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from error
  if help_wanted.value:
    print(f"{__doc__}\n{values.main_module_help() or values}")
    raise SystemExit(0)
  if len(rest) > 1:
    raise UserError(f"unexpected argument {rest[1]!r}: options are given as --name=value")
  if values.config is None:
    raise UserError("--config is missing: give a recipe, for instance configs/dmf_busi.py")
  require(values.num_tasks >= 1, "--num_tasks must be at least 1", values.num_tasks)
  rule = f"--task must be from 0 to {values.num_tasks - 1}, one below --num_tasks"
  require(0 <= values.task < values.num_tasks, rule, values.task)
  require(values.together >= 0, "--together must not be negative", values.together)
  points = _points(values.config, values.variants, values.grid, overrides)
  digest = hashlib.sha256(
    "\n".join([values.config, *(p.name for p in points), *overrides]).encode()
  )
  workdir = pathlib.Path(values.workdir or f"runs/sweep-{digest.hexdigest()[:8]}")
  options = Options(workdir, values.task, values.num_tasks, values.together, values.table)
  return points, options


def _points(
  path: str, variants: str | None, grid: Sequence[str], overrides: Sequence[str]
) -> list[Point]:
  """Returns every combination of variants and values, in order."""
  names = [""] if variants is None else _variants(path, variants)
  axes = [_axis(text) for text in grid]
  points: dict[str, Point] = {}
  for variant, settings in itertools.product(names, itertools.product(*axes)):
    given = [f"--config.{key}={value}" for key, value in settings]
    recipe = f"{path}:{variant}" if variant else path
    config, _ = main.parse(["mlseg.sweep", f"--config={recipe}", *overrides, *given])
    words = [config.variant, *(f"{key.split('.')[-1]}={value}" for key, value in settings)]
    name = re.sub(r"[^\w+.=()-]", "_", ",".join(words).replace(",", "__"))
    if name in points:
      raise UserError(f"the grid has {name!r} twice")
    points[name] = Point(name, config)
  return list(points.values())


def _variants(path: str, text: str) -> list[str]:
  """Returns the variants of a recipe that were asked for."""
  if text != "all":
    return text.split(",")
  spec = importlib.util.spec_from_file_location("mlseg_recipe", path)
  if spec is None or spec.loader is None or not pathlib.Path(path).is_file():
    raise UserError(f"--variants=all: there is no recipe {path}")
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  if not hasattr(module, "VARIANTS"):
    raise UserError(f"--variants=all: {path} has no VARIANTS; name them instead")
  return list(module.VARIANTS)


def _axis(text: str) -> list[tuple[str, str]]:
  """Returns the settings (key, value) of one --grid; a comma within brackets does not part values.

  Example:
    >>> _axis("weighting.fixed=(1,2,1),(1,1,1)")
    [('weighting.fixed', '(1,2,1)'), ('weighting.fixed', '(1,1,1)')]
  """
  key, equals, values = text.partition("=")
  if not key or not equals or not values:
    raise UserError(f"--grid must be KEY=VALUE,VALUE,..., not {text!r}")
  return [(key, value) for value in re.split(r",(?![^(]*\))", values)]


def sweep(points: Sequence[Point], options: Options, reporter: "Reporter") -> None:
  """Trains this task's part of a grid, and writes and prints the table of all that is there.

  Raises:
    UserError: a config, the data or a folder is not right.
    Stopped: SIGTERM or SIGINT came; the state is saved.
    DivergedError: models did not stay finite; all others are complete.
  """
  from mlseg import sharding, train
  from mlseg.group import Run

  runs = [Run(point.config, options.workdir / point.name) for point in points]
  diverged = []
  if not options.table:
    mine = runs[options.task :: options.num_tasks]
    for group in _groups([run for run in mine if not _complete(run)], options.together):
      try:
        train.train_together(group, _checkpoints(group, options.workdir), reporter)
      except train.DivergedError as error:
        reporter.say(str(error))
        diverged.append(str(error))
  if sharding.is_main():
    _write_table(points, options.workdir, reporter)
  if diverged:
    raise train.DivergedError("; ".join(diverged))


def _groups(runs: "Sequence[Run]", together: int) -> "list[list[Run]]":
  """Returns the runs, those together that one program trains."""
  import jax

  from mlseg import builders, seeds
  from mlseg.together import common_part

  most = together or (_CPU_MODELS if jax.default_backend() == "cpu" else sys.maxsize)
  groups: dict[str, list[list[Run]]] = {}
  for run in runs:
    config = run.config
    builders.check_config(config)
    chosen = seeds.choose(
      config.seeds.strategy,
      config.num_seeds * len(runs),
      jax.default_backend(),
      jax.device_count(),
    )
    key = str(run.workdir) if chosen == "loop" else common_part(config)
    alike = groups.setdefault(key, [[]])
    if alike[-1] and (len(alike[-1]) + 1) * config.num_seeds > most:
      alike.append([])
    alike[-1].append(run)
  return [group for alike in groups.values() for group in alike]


def _checkpoints(group: "Sequence[Run]", workdir: pathlib.Path) -> pathlib.Path:
  """Returns the folder of a group's checkpoints: a run's own, or one for these very runs."""
  if len(group) == 1:
    return group[0].workdir / "checkpoints"
  names = "\n".join(run.workdir.name for run in group)
  return workdir / "checkpoints" / hashlib.sha256(names.encode()).hexdigest()[:8]


def _complete(run: "Run") -> bool:
  """Returns whether a run of this very config has its results."""
  try:
    there = json.loads((run.workdir / "results.json").read_text())["config"]
  except (OSError, ValueError, KeyError, TypeError):
    return False
  return there == json.loads(json.dumps(run.config.to_dict()))


def _write_table(points: Sequence[Point], workdir: pathlib.Path, reporter: "Reporter") -> None:
  """Writes `table.csv` and `table.md`, and prints the latter."""
  from mlseg.report import sweep_table
  from mlseg.run_folder import write_file

  results = {point.name: workdir / point.name / "results.json" for point in points}
  rows = sweep_table.rows(results)
  if not rows:
    reporter.say(f"no run is complete in {workdir}")
    return
  write_file(workdir / "table.csv", sweep_table.to_csv(rows))
  write_file(workdir / "table.md", sweep_table.to_markdown(rows))
  reporter.say(sweep_table.to_markdown(rows))
  missing = [name for name, path in results.items() if not path.exists()]
  if missing:
    reporter.say(f"not complete: {', '.join(missing)}")
  reporter.say(f"table.csv and table.md are in {workdir}")


def run(argv: list[str]) -> int:
  """Runs a command line; returns the exit code, as `mlseg.main` does."""
  try:
    points, options = parse(argv)
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    return 2
  mine = points[options.task :: options.num_tasks]
  if not mine:
    print(f"mlseg: task {options.task} has nothing to do: the grid has {len(points)} points")
    return 0
  models = sum(point.config.num_seeds for point in mine)
  return main.run(lambda reporter: sweep(points, options, reporter), mine[0].config, models)


if __name__ == "__main__":
  runtime.use_huge_pages(sys.orig_argv, os.environ)
  sys.exit(run(sys.argv))
