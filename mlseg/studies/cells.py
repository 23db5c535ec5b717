"""Trains the cells of a study, side by side where one program can; a failure stops no other."""

import collections
import hashlib
import itertools
import json
import pathlib
import shutil
import sys
from collections.abc import Mapping, Sequence

import jax

from mlseg.console import Reporter
from mlseg.devices import model_axis, sharding
from mlseg.errors import UserError
from mlseg.files import read_json, to_json, write_file
from mlseg.recipe import experiment, parse
from mlseg.recipe.experiment import Experiment
from mlseg.studies import study_file
from mlseg.studies.grid import Cell
from mlseg.training import train
from mlseg.training.groups import Run
from mlseg.training.stopping import Stopped

# Models of one program on a CPU, where more at once gain no speed and take memory.
CPU_MODELS = 16
_GROUP = "members.json"  # names the cells of a group, beside its checkpoints
_FAILED = "failed.json"  # of a cell that diverged


def train_cells(
  cells: Sequence[Cell],
  mine: Sequence[Cell],
  workdir: pathlib.Path,
  together: int,
  reporter: Reporter,
) -> dict[str, str]:
  """Trains what is not complete of some cells; a cell that fails does not stop the others.

  Groups that were interrupted go on as they were, from their checkpoints.

  Args:
    cells: of the whole grid.
    mine: which of them to train.
    workdir: the folder of all.
    together: most models of one program; 0: `CPU_MODELS` on a CPU, else all.
    reporter: the console.

  Returns:
    By the name of a cell that failed, why.

  Raises:
    UserError: no cell can be trained, for one and the same reason.
    Stopped: SIGTERM or SIGINT came; the state is saved.
  """
  experiments, wrong = _read(mine)
  failures = divergences(mine, workdir) | wrong
  todo = [c for c in mine if c.name not in failures and not is_complete(c, workdir)]
  groups = _interrupted(cells, todo, workdir)
  experiments |= _read([cell for group in groups for cell in group])[0]  # those of other tasks
  resumed = {cell.name for group in groups for cell in group}
  groups += _groups([c for c in todo if c.name not in resumed], experiments, together)
  to_train = {cell.name for cell in todo}
  complete = [cell for cell in mine if cell.name not in failures | dict.fromkeys(to_train)]
  done, total = _num_models(complete), _num_models([*complete, *todo])
  failed_before = f", {len(failures)} failed" if failures else ""
  reporter.print(
    f"cells   {len(complete)} of {len(mine)} done, {len(todo)} to train{failed_before}"
  )
  for group in groups:
    size = _num_models([cell for cell in group if cell.name in to_train])
    reporter.begin_part(done, total)
    failed, mistakes = _train(group, experiments, workdir, reporter)
    failures |= failed | mistakes
    wrong |= mistakes
    done += size
  if wrong and len(wrong) == len(mine) and len(set(failures.values())) == 1:
    raise UserError(failures[mine[0].name])
  return failures


def _num_models(cells: Sequence[Cell]) -> int:
  return sum(parse.models_of(cell.recipe)[1] for cell in cells)


def is_complete(cell: Cell, workdir: pathlib.Path) -> bool:
  """Returns whether a run of this very config has its results."""
  return _is_of(cell, workdir / cell.name / "results.json")


def _is_of(cell: Cell, path: pathlib.Path) -> bool:
  """Returns whether a JSON file has the config of a cell."""
  try:
    there = read_json(path)["config"]
  except (UserError, KeyError, TypeError):
    return False
  return there == json.loads(to_json(cell.recipe))


def divergences(cells: Sequence[Cell], workdir: pathlib.Path) -> dict[str, str]:
  """Returns, by the name of a cell that diverged when it was trained, why."""
  paths = {cell.name: workdir / cell.name / _FAILED for cell in cells}
  return {
    cell.name: str(read_json(paths[cell.name]).get("reason", "it diverged"))
    for cell in cells
    if _is_of(cell, paths[cell.name])
  }


def _interrupted(
  cells: Sequence[Cell], todo: Sequence[Cell], workdir: pathlib.Path
) -> list[list[Cell]]:
  """Returns the groups that have checkpoints and cells that are to be trained."""
  by_name, wanted = {cell.name: cell for cell in cells}, {cell.name for cell in todo}
  groups = []
  for path in sorted((workdir / "checkpoints").glob(f"*/{_GROUP}")):
    try:
      names = read_json(path)
    except UserError:
      continue
    known = study_file.is_texts(names) and all(name in by_name for name in names)
    if known and wanted.intersection(names) and _same_configs([by_name[n] for n in names], workdir):
      groups.append([by_name[name] for name in names])
      wanted -= set(names)
  return groups


def _same_configs(group: Sequence[Cell], workdir: pathlib.Path) -> bool:
  return all(_is_of(cell, workdir / cell.name / "config.json") for cell in group)


def _read(cells: Sequence[Cell]) -> tuple[dict[str, Experiment], dict[str, str]]:
  """Returns the experiments of the cells by name, and what is wrong with the recipes of others."""
  experiments, wrong = {}, {}
  for cell in cells:
    try:
      experiments[cell.name] = experiment.read(cell.recipe)
    except UserError as error:
      wrong[cell.name] = str(error)
  return experiments, wrong


def _groups(
  cells: Sequence[Cell], experiments: Mapping[str, Experiment], together: int
) -> list[list[Cell]]:
  """Returns the cells in groups of about one size, each of which one program trains."""
  most = together or (CPU_MODELS if jax.default_backend() == "cpu" else sys.maxsize)
  alike: dict[str, list[Cell]] = {}
  for cell in cells:
    seeds, common = experiments[cell.name].seeds, experiments[cell.name].common
    count = seeds.num * len(cells)
    platform, devices = jax.default_backend(), jax.device_count()
    strategy = model_axis.choose(seeds.strategy, count, platform, devices)
    alike.setdefault(cell.name if strategy == "loop" else common, []).append(cell)
  groups = []
  for same in alike.values():
    per_group = max(1, most // experiments[same[0].name].seeds.num)
    number = -(-len(same) // per_group)
    bounds = [round(n * len(same) / number) for n in range(number + 1)]
    groups += [same[a:b] for a, b in itertools.pairwise(bounds)]
  return groups


def _train(
  group: Sequence[Cell],
  experiments: Mapping[str, Experiment],
  workdir: pathlib.Path,
  reporter: Reporter,
) -> tuple[dict[str, str], dict[str, str]]:
  """Trains a group; returns why cells failed: by themselves, and through mistakes of the user's."""
  runs = [Run(experiments[cell.name], workdir / cell.name, cell.name) for cell in group]
  try:
    train.train_together(runs, _checkpoints(group, workdir), reporter)
  except train.DivergedError as error:
    failures = _note_diverged(group, workdir, error)
  except UserError as error:
    if len(group) > 1:  # of one cell, perhaps: each for itself
      both = [_train([cell], experiments, workdir, reporter) for cell in group]
      failed, mistakes = zip(*both, strict=True)
      return dict(collections.ChainMap(*failed)), dict(collections.ChainMap(*mistakes))
    reporter.print(f"{group[0].name} failed: {error}")
    return {}, {group[0].name: str(error)}
  except Stopped:
    raise
  except Exception as error:
    if jax.process_count() > 1:  # the others do not know, and would wait for this one
      raise
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    reporter.print(f"{', '.join(cell.name for cell in group)} failed: {text}")
    return {cell.name: text for cell in group}, {}
  else:
    failures = {}
  if len(group) > 1 and sharding.is_main():  # all that it was for is written
    shutil.rmtree(_checkpoints(group, workdir), ignore_errors=True)
  return failures, {}


def _note_diverged(
  group: Sequence[Cell], workdir: pathlib.Path, error: train.DivergedError
) -> dict[str, str]:
  """Returns why cells diverged, and writes it into their folders."""
  reasons: dict[str, str] = {}
  for (run, _), text in error.messages.items():
    name = group[run].name
    reasons[name] = f"{reasons[name]}; {text}" if name in reasons else text
  for cell in group:
    if cell.name in reasons and sharding.is_main():
      content = {"reason": reasons[cell.name], "config": cell.recipe}
      write_file(workdir / cell.name / _FAILED, to_json(content, indent=2) + "\n")
  return reasons


def _checkpoints(group: Sequence[Cell], workdir: pathlib.Path) -> pathlib.Path:
  """Returns the folder of a group's checkpoints: a cell's own, or one for these very cells."""
  if len(group) == 1:
    return workdir / group[0].name / "checkpoints"
  names = json.dumps([cell.name for cell in group])
  folder = workdir / "checkpoints" / hashlib.sha256(names.encode()).hexdigest()[:8]
  if sharding.is_main():
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / _GROUP, names + "\n")
  return folder
