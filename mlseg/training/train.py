"""The training loop, from the config to the table, to be read from top to bottom."""

import contextlib
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
from ml_collections import ConfigDict

from mlseg.console import Reporter, shown_scores
from mlseg.data.cases import Cases
from mlseg.data.splits import cross_validation, grouped
from mlseg.devices import model_axis, sharding
from mlseg.errors import UserError
from mlseg.recipe import check as recipe_check
from mlseg.recipe import data as recipe_data
from mlseg.training import outputs as run_outputs
from mlseg.training import provenance, scoring
from mlseg.training.groups import Group, Model, Run, say_header, say_layout
from mlseg.training.loop import _train_group
from mlseg.training.programs import Programs
from mlseg.training.stopping import stop_signals
from mlseg.workdir import model_file, run_folder


class DivergedError(Exception):
  """Too many steps in a row had a loss or gradient that was not finite.

  Attributes:
    said: by run and seed, what is to be said of each model.
  """

  def __init__(self, said: dict[tuple[int, int], str]):
    super().__init__("; ".join(said.values()))
    self.said = said


def train(config: ConfigDict, workdir: pathlib.Path, reporter: Reporter) -> dict[str, Any]:
  """Trains all seeds of a config, tests them, and writes the run's folder.

  A run that was interrupted goes on where its last checkpoint stands, with the same numbers.

  Args:
    config: the recipe; see `configs/`.
    workdir: the run's folder, made if it is missing.
    reporter: the console.

  Returns:
    What `results.json` holds.

  Raises:
    UserError: the config, the data or the folder is not right; nothing was changed.
    Stopped: SIGTERM or SIGINT came; the state is saved.
    DivergedError: `config.max_nonfinite` steps in a row were not finite.
  """
  (summary,) = train_together([Run(config, workdir)], workdir / "checkpoints", reporter)
  return summary


def train_together(
  runs: Sequence[Run], checkpoints: pathlib.Path, reporter: Reporter
) -> list[dict[str, Any]]:
  """Trains several runs as `train` does one, their models side by side in one program.

  Args:
    runs: their configs have the same `together.common_part`.
    checkpoints: folder of the common checkpoints.
    reporter: the console.

  Returns:
    What each `results.json` holds.

  Raises:
    UserError, Stopped, DivergedError: as `train`; the runs that did not diverge are complete.
  """
  # ---- Load and check everything before anything is written
  configs = [run.config for run in runs]
  for config in configs:
    recipe_check.check_config(config)
  config = configs[0]
  strategy = _strategy(runs)
  cases = recipe_data.make_cases(configs)
  pairs = recipe_data.find_near_duplicates(config, cases)
  duplicates = grouped.groups(len(cases.ids), pairs, cases.patients)
  numbers = [config.seed + n for n in range(config.num_seeds)]
  parts = {seed: recipe_data.make_split(config, cases, duplicates, seed) for seed in numbers}
  equal = cross_validation.equalised(parts)
  models = [Model(n, seed, equal[seed]) for n in range(len(runs)) for seed in numbers]
  own_group = [(model,) for model in models] if strategy == "loop" else [tuple(models)]
  groups = [Group(tuple(runs), chosen) for chosen in own_group]
  descriptions = [provenance.describe(c, cases.fingerprint, strategy) for c in configs]
  for run, description in zip(runs, descriptions, strict=True):
    run_folder.check(run.workdir, description)

  # ---- Devices and programs
  in_parts = config.batch_size // config.num_microbatches
  layout = sharding.plan(jax.device_count(), len(groups[0].models), in_parts, **config.mesh)
  say_header(reporter, runs, cases, parts[numbers[0]])
  programs = Programs(
    configs,
    cases,
    equal[numbers[0]],
    strategy=strategy,
    num_members=-(-len(groups[0].models) // layout.seed) * layout.seed,
    mesh=sharding.make_mesh(layout),
  )
  members = [
    programs.members([m.split for m in group.models], [m.run for m in group.models])
    for group in groups
  ]
  reporter.say(f"model   {config.model.name}, {programs.num_params:,} parameters")
  say_layout(reporter, strategy, len(models), len(runs), layout)

  with contextlib.ExitStack() as stack:
    # ---- The runs' folders
    if sharding.is_main():
      for run, description in zip(runs, descriptions, strict=True):
        stack.enter_context(run_folder.opened(run.workdir))
        run_folder.claim(run.workdir, description)
        run_outputs.write_data(run.workdir, cases, duplicates, pairs, parts)
    sharding.wait_for_all("folders")
    stop = stack.enter_context(stop_signals())

    # ---- Train every group; of each model keep the variables of its best validation epoch
    best: dict[tuple[int, int], Any] = {}
    diverged: dict[tuple[int, int], str] = {}
    for group, own_members in zip(groups, members, strict=True):
      folder = checkpoints / group.folder
      state, said = _train_group(group, own_members, programs, cases, folder, stop, reporter)
      for n, model in enumerate(group.models):
        best[model.run, model.seed] = programs.best(state, n)
      diverged |= said
      if diverged and len(runs) == 1:
        raise DivergedError(diverged)

    # ---- Test, and write what a run leaves
    summaries = []
    for n, run in enumerate(runs):
      if any(place == n for place, _ in diverged):
        continue
      own = {seed: best[n, seed] for seed in numbers}
      summaries.append(_finish(run, programs, cases, parts, own, reporter))
    sharding.wait_for_all("end")
  if diverged:
    raise DivergedError(diverged)
  return summaries


def _finish(
  run: Run,
  programs: Programs,
  cases: Cases,
  parts: dict[int, grouped.Split],
  best: dict[int, Any],
  reporter: Reporter,
) -> dict[str, Any]:
  """Tests the seeds of a run and writes its rows, results and figures; returns the results."""
  config, workdir = run.config, run.workdir
  tested = {
    seed: scoring.test_seed(programs, config, cases, parts[seed], variables, reporter)
    for seed, variables in best.items()
  }
  summary = scoring.summarize_seeds(config, tested)
  if sharding.is_main():
    model_file.write(workdir, best)
    run_outputs.write(workdir, cases, parts, tested, summary)
  if run.title:  # one of many, which a table will show
    reporter.say(f"{run.name}: test {shown_scores(summary['metrics'])}, in {workdir}")
    return summary
  title = f"{run.name}, test set, per image unless pooled; percent, distances in pixels"
  names = cases.class_names[1:]
  reporter.results(title, summary, names[0] if len(names) == 1 else "foreground")
  reporter.say(f"rows, results and figures are in {workdir}")
  return summary


def _strategy(runs: Sequence[Run]) -> str:
  """Returns how the models are trained: as the first run was started, or as its config says."""
  config = runs[0].config
  count = len(runs) * config.num_seeds
  platform, devices = jax.default_backend(), jax.device_count()
  chosen = model_axis.choose(config.seeds.strategy, count, platform, devices)
  if config.seeds.strategy == "auto":
    chosen = run_folder.strategy_of(runs[0].workdir) or chosen
  if len(runs) > 1 and chosen == "loop":
    raise UserError("config.seeds.strategy 'loop' is for the seeds of one config, not for several")
  return chosen
