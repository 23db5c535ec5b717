"""Trains a grid of configs, each with its seeds, and prints its tables.

    python -m mlseg.sweep --study=configs/studies/dmf_busi.py
    python -m mlseg.sweep --study=configs/studies/dmf_busi.py --cells='grouped/*' --table
    python -m mlseg.sweep --config=configs/dmf_busi.py --variants=all --config.num_seeds=10
    python -m mlseg.sweep --config=configs/dmf_busi.py --grid=optimizer.learning_rate=1e-4,1e-3
    python -m mlseg.sweep --study=... --workdir=DIR --task=2 --num_tasks=4

Options of the recipe, --config.KEY=VALUE, are those of all cells that have such a key.
--reference=LABEL names the label of the last axis that the others are compared with.

Configs that differ in learning rate, losses, weighting or auxiliary loss only are trained side by
side in one program. Each leaves the folder that `mlseg.main` leaves, in one of its own below
--workdir; what is complete there is not trained again, and what was interrupted goes on. A cell
that fails is reported, and does not stop the others: the exit code is then 1.

    python -m mlseg.sweep --config=configs/strong.py --optimize=40 \
        --range=optimizer.learning_rate=1e-4:1e-2:log --range=model.dropout=0:0.3 --workdir=DIR

searches the values of some keys, by the scores on the validation cases alone, with Optuna (pip
install 'mlseg-jax[optuna]'): a trial is a training with drawn values, those that are worse than
the median of the others at the same epoch are stopped, and no trial is tested. A range is
KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B,... DIR gets a folder per trial, trials.csv and
search.json; the same command goes on, also with more trials, and the command that trains and tests
the best values is printed.

--workdir gets rows.csv (a row per cell and seed), dice.csv (a row per test case and seed),
comparisons.csv (tests against the study's reference), table.md and study.json, which
`python -m mlseg.report DIR --out=...` makes a page of.
"""

import fnmatch
import hashlib
import os
import pathlib
import re
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from mlseg.devices import command, runtime
from mlseg.errors import UserError, require

if TYPE_CHECKING:
  from absl import flags

  from mlseg.console import Reporter
  from mlseg.studies import grid, search


class SweepOptions(NamedTuple):
  """What a command line asks for beside the cells of its grid."""

  workdir: pathlib.Path
  mine: "tuple[grid.Cell, ...]"  # the cells that this command trains
  together: int
  table: bool


def parse_search(argv: list[str]) -> "search.SearchOptions | None":
  """Returns what a command line asks to search; None where it has no --optimize.

  Raises:
    UserError: a flag, a recipe, a key or a value is not right.
  """
  from absl import flags

  values = _flags()
  overrides = [word for word in argv[1:] if re.match("--?config[.]", word)]
  try:
    values([word for word in argv if word not in overrides])
  except flags.Error:
    return None  # `parse` says what is wrong
  if not values.optimize and not values.range:
    return None
  from mlseg.recipe import parse as recipe_parse
  from mlseg.studies import search

  require(values.optimize >= 1, "--optimize must be at least 1", values.optimize)
  for name in ("study", "variants", "cells", "reference"):
    if values[name].value:
      raise UserError(f"--{name} does not go with --optimize, which searches one recipe")
  if values.grid or values.table:
    raise UserError("--grid and --table do not go with --optimize: give a --range for each key")
  if values.config is None or not values.range:
    raise UserError("--optimize needs --config and at least one --range=KEY=LOW:HIGH")
  recipe = recipe_parse.content([argv[0], f"--config={values.config}", *overrides])
  ranges = tuple(map(search.read_range, values.range))
  keys = [own.key for own in ranges]
  for key in keys:
    if keys.count(key) > 1:
      raise UserError(f"--range has the key {key} twice")
  words = [values.config, *values.range, *overrides]
  digest = hashlib.sha256("\n".join(words).encode()).hexdigest()[:8]
  workdir = pathlib.Path(values.workdir or f"runs/search-{digest}")
  return search.SearchOptions(recipe, ranges, values.optimize, workdir)


def run_search(options: "search.SearchOptions", argv: list[str], reporter: "Reporter") -> None:
  """Searches, and prints the best values and the command that trains and tests them."""
  from mlseg.studies import search

  found = search.search(options, reporter)
  best = found.best
  if best is None:
    reporter.print("no trial is complete")
    return
  reporter.print(
    f"trial {best.number} is the best of {len(found.trials)}: validation {best.score:.4f}"
  )
  for key, share in found.importance.items():
    reporter.print(f"importance of {key}: {100 * share:.0f} %")
  given = [word for word in argv[1:] if re.match(r"--?config[.=]", word)]
  chosen = [f"--config.{key}={value}" for key, value in best.values.items()]
  reporter.print(" ".join(["python -m mlseg.main", *given, *chosen]))
  reporter.print(f"trials.csv and search.json are in {options.workdir}")


def parse(argv: list[str]) -> "tuple[grid.Grid, SweepOptions]":
  """Returns the grid and the options of a command line.

  Raises:
    UserError: a flag, a study, a config file, a key or a value is not right.
  """
  from absl import flags  # Ctrl-C is to be heard while this and others load

  values = _flags()
  overrides = [word for word in argv[1:] if re.match("--?config[.]", word)]
  try:
    rest = values([word for word in argv if word not in overrides])
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from error
  if values.help or values.helpshort:
    print(f"{__doc__}\n{values.main_module_help() or values}")
    print("python -m mlseg.main --help lists the keys of recipes.")
    raise SystemExit(0)
  if len(rest) > 1:
    raise UserError(f"unexpected argument {rest[1]!r}: options are given as --name=value")
  require(values.num_tasks >= 1, "--num_tasks must be at least 1", values.num_tasks)
  rule = f"--task must be from 0 to {values.num_tasks - 1}, one below --num_tasks"
  require(0 <= values.task < values.num_tasks, rule, values.task)
  require(values.together >= 0, "--together must not be negative", values.together)
  whole, name = _grid(values, overrides)
  if values.reference is not None:
    from mlseg.studies import grid

    whole = grid.with_reference(whole, values.reference)
  mine = tuple(_chosen(whole, values.cells)[values.task :: values.num_tasks])
  workdir = pathlib.Path(values.workdir or f"runs/{name}")
  return whole, SweepOptions(workdir, mine, values.together, values.table)


def _chosen(whole: "grid.Grid", patterns: list[str]) -> "list[grid.Cell]":
  """Returns the cells that match a pattern, in the grid's order; all of them without a pattern."""
  for pattern in patterns:
    if not any(fnmatch.fnmatch(cell.name, pattern) for cell in whole.cells):
      names = ", ".join(cell.name for cell in whole.cells)
      raise UserError(f"--cells={pattern} is none of {names}")
  return [
    cell
    for cell in whole.cells
    if not patterns or any(fnmatch.fnmatch(cell.name, pattern) for pattern in patterns)
  ]


def _flags() -> "flags.FlagValues":
  from absl import flags

  values = flags.FlagValues()
  define: dict[str, Any] = {"flag_values": values}
  flags.DEFINE_string("study", None, "What to train: a file of configs/studies/.", **define)
  flags.DEFINE_string("config", None, "Without a study, the recipe: a file of configs/.", **define)
  flags.DEFINE_string("variants", None, "Variants of the recipe, with commas; or 'all'.", **define)
  flags.DEFINE_multi_string("grid", [], "KEY=V1,V2,...: values of a key; repeatable.", **define)
  flags.DEFINE_integer("optimize", 0, "Trials of a search over the ranges, in all.", **define)
  flags.DEFINE_multi_string("range", [], "KEY=LOW:HIGH[:log] or KEY=A,B,...; repeatable.", **define)
  some = "Train only cells with such names, as 'grouped/*'; repeatable."
  flags.DEFINE_multi_string("cells", [], some, **define)
  words = "Label of the last axis that the others are compared with. Default: the study's."
  flags.DEFINE_string("reference", None, words, **define)
  where = "The folder of all. Default: runs/STUDY, or runs/sweep-HASH."
  flags.DEFINE_string("workdir", None, where, **define)
  flags.DEFINE_integer("task", 0, "Which part of the grid, from 0.", **define)
  flags.DEFINE_integer("num_tasks", 1, "In how many parts the grid is trained.", **define)
  most = "Most models of one program; 0: 16 on a CPU, else all."
  flags.DEFINE_integer("together", 0, most, **define)
  flags.DEFINE_bool("table", False, "Train nothing; print the tables of what is there.", **define)
  flags.DEFINE_bool("help", False, "Show this help.", **define)
  flags.DEFINE_bool("helpshort", False, "As --help.", **define)
  return values


def _grid(values: "flags.FlagValues", overrides: list[str]) -> "tuple[grid.Grid, str]":
  """Returns the grid that flags ask for, and the default name of its folder."""
  from mlseg.studies import grid

  if values.study is not None:
    if values.config is not None or values.variants is not None or values.grid:
      raise UserError(
        "--study names recipe and axes: --config, --variants, --grid do not go with it"
      )
    whole, words = grid.of_study(values.study, overrides), overrides
    name = whole.name
  else:
    if values.config is None:
      raise UserError(
        "--study or --config is missing: give a study or a recipe, for instance"
        " --config=configs/dmf_busi.py"
      )
    whole = grid.of_flags(values.config, values.variants, values.grid, overrides)
    name, words = "sweep", [values.config, *(cell.name for cell in whole.cells), *overrides]
  digest = hashlib.sha256("\n".join(words).encode()).hexdigest()[:8]
  return whole, f"{name}-{digest}" if words else name


def sweep(whole: "grid.Grid", options: SweepOptions, reporter: "Reporter") -> int:
  """Trains this command's part of a grid, and writes and prints the tables of all that is there.

  Returns:
    The exit code: 1 where cells failed; all others are complete.

  Raises:
    UserError: a config, the data or a folder is not right.
    Stopped: SIGTERM or SIGINT came; the state is saved.
  """
  from mlseg.devices import sharding
  from mlseg.studies import cells

  failures = {}
  if not options.table:
    failures = cells.train_cells(
      whole.cells, options.mine, options.workdir, options.together, reporter
    )
  if sharding.is_main():
    _write_tables(whole, options.workdir, failures, reporter)
  for name, reason in failures.items():
    print(f"mlseg: {name} failed: {reason}", file=sys.stderr)
  return 1 if failures else 0


def _write_tables(
  whole: "grid.Grid", workdir: pathlib.Path, failures: dict[str, str], reporter: "Reporter"
) -> None:
  """Writes the files of a study, and prints its tables."""
  from mlseg.files import write_file
  from mlseg.report import leader, study, tables
  from mlseg.studies import tables as study_files
  from mlseg.studies.cells import divergences, is_complete

  complete = [cell for cell in whole.cells if is_complete(cell, workdir)]
  if not complete:
    reporter.print(f"no run is complete in {workdir}")
    return
  # Cells that this command did not train may have diverged before.
  failures = divergences(whole.cells, workdir) | failures
  study_files.write(whole, complete, workdir, failures)
  text = "\n".join(
    f"## {table.title}\n\n{tables.to_markdown(table)}\n{table.note}\n"
    for table in study.tables(workdir)
  )
  text += f"\n{leader.RULE}\n"
  write_file(workdir / "table.md", text)
  reporter.print(text)
  reporter.print(f"rows.csv, dice.csv, comparisons.csv and table.md are in {workdir}")


def run(argv: list[str]) -> int:
  """Runs a command line; returns the exit code, as `mlseg.main` does."""
  from mlseg.recipe.parse import models_of
  from mlseg.training import launch

  try:
    if (searched := parse_search(argv)) is not None:
      return launch.run(
        lambda reporter: run_search(searched, argv, reporter), *models_of(searched.recipe)
      )
    whole, options = parse(argv)
  except UserError as error:
    print(f"mlseg: {error}", file=sys.stderr)
    return 2
  if not options.mine:
    print(f"mlseg: this task has nothing to do: the grid has {len(whole.cells)} cells")
    return 0
  models = sum(models_of(cell.recipe)[1] for cell in options.mine)
  strategy = models_of(options.mine[0].recipe)[0]
  return launch.run(lambda reporter: sweep(whole, options, reporter), strategy, models)


if __name__ == "__main__":
  command.begin("mlseg")
  runtime.use_huge_pages(sys.orig_argv, os.environ)
  sys.exit(run(sys.argv))
