"""The whole path of a training, from the recipe to the table, to be read from top to bottom."""

import contextlib
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from mlseg.console import Reporter, shown_scores
from mlseg.data.cases import Cases
from mlseg.data.splits import cross_validation, grouped
from mlseg.devices import model_axis, sharding
from mlseg.errors import UserError
from mlseg.postprocessing.choice import describe
from mlseg.recipe import data as recipe_data
from mlseg.recipe import split as recipe_split
from mlseg.recipe.experiment import Experiment
from mlseg.training import calibrate, case_counts, ensemble, provenance, scoring, tracking
from mlseg.training import outputs as run_outputs
from mlseg.training.groups import Group, Run, SeedModel, print_header, print_layout
from mlseg.training.loop import Observe, train_group
from mlseg.training.programs import Programs
from mlseg.training.stopping import stop_signals
from mlseg.workdir import model_file, run_folder


class DivergedError(Exception):
  """Too many steps in a row had a loss or gradient that was not finite.

  Attributes:
    messages: for each (run, seed), why that model diverged.
  """

  def __init__(self, messages: dict[tuple[int, int], str]):
    super().__init__("; ".join(messages.values()))
    self.messages = messages


def train(
  experiment: Experiment,
  workdir: pathlib.Path,
  reporter: Reporter,
  observe: Observe | None = None,
  is_tested: bool = True,
) -> dict[str, Any]:
  """Trains all seeds of a recipe, tests them, and writes the run's folder.

  A run that was interrupted goes on where its last checkpoint stands, with the same numbers.

  Args:
    experiment: the recipe, from `recipe.experiment.read`.
    workdir: the run's folder, made if it is missing.
    reporter: the console.
    observe: `observe(records)`, with the lines of `metrics.jsonl` as they are written; returns
      whether the training goes on.
    is_tested: whether the models are tested; if not, there are no rows, results and figures.

  Returns:
    The content of `results.json`; {} where the models are not tested.

  Raises:
    UserError: the recipe, the data or the folder is not right; nothing was changed.
    Stopped: SIGTERM or SIGINT came; the state is saved.
    DivergedError: `config.max_nonfinite` steps in a row were not finite.
  """
  runs, checkpoints = [Run(experiment, workdir)], workdir / "checkpoints"
  (summary,) = train_together(runs, checkpoints, reporter, observe, is_tested)
  return summary


def train_together(
  runs: Sequence[Run],
  checkpoints: pathlib.Path,
  reporter: Reporter,
  observe: Observe | None = None,
  is_tested: bool = True,
) -> list[dict[str, Any]]:
  """Trains several runs as `train` does one, their models side by side in one program.

  Args:
    runs: their recipes have the same `common`.
    checkpoints: folder of the common checkpoints.
    reporter: the console.
    observe: as in `train`.
    is_tested: as in `train`.

  Returns:
    The content of each `results.json`.

  Raises:
    UserError, Stopped, DivergedError: as `train`; the runs that did not diverge are complete.
  """
  # ---- Check everything that needs no data
  experiments = [run.experiment for run in runs]
  first = experiments[0]
  strategy, seeds = _strategy(runs), first.seeds.numbers
  per_group = 1 if strategy == "loop" else len(runs) * len(seeds)
  in_parts = first.batch_size // first.num_microbatches
  layout = sharding.plan(jax.device_count(), per_group, in_parts, **first.mesh)
  for run in runs:
    run_folder.check(run.workdir, {"config": run.experiment.content}, run.experiment.defaults)
  first.network.check_pretrained()
  tracking.check(first.trackers)

  # ---- Load the data, and check everything before anything is written
  wanted = [one.losses.targets for one in experiments]
  cases = recipe_data.load_cases(first.data, wanted, reporter)
  pairs = recipe_data.find_near_duplicates(cases)
  duplicates = grouped.groups(len(cases.ids), pairs, cases.patients)
  parts = {
    seed: recipe_split.make_split(first.data, first.batch_size, cases, duplicates, seed)
    for seed in seeds
  }
  if first.prediction.ensemble and any(
    not np.array_equal(part.test, parts[seeds[0]].test) for part in parts.values()
  ):
    raise UserError(
      "config.data.fold must be a fold with config.prediction.ensemble: one split of all seeds"
    )
  equal = cross_validation.equalised(parts)
  models = [SeedModel(n, seed, equal[seed]) for n in range(len(runs)) for seed in seeds]
  chosen = [(model,) for model in models] if strategy == "loop" else [tuple(models)]
  groups = [Group(tuple(runs), own) for own in chosen]
  descriptions = [provenance.describe(e.content, cases.fingerprint, strategy) for e in experiments]
  for run, description in zip(runs, descriptions, strict=True):
    run_folder.check(run.workdir, description, run.experiment.defaults)

  # ---- Programs
  print_header(reporter, runs, cases, parts[seeds[0]], layout)
  programs = Programs(
    experiments,
    cases,
    equal[seeds[0]],
    strategy=strategy,
    num_models=-(-per_group // layout.seed) * layout.seed,
    mesh=sharding.make_mesh(layout),
  )
  inputs = [
    programs.inputs([m.split for m in group.models], [m.run for m in group.models])
    for group in groups
  ]
  reporter.print(f"model   {first.network.name}, {programs.num_params:,} parameters")
  print_layout(reporter, strategy, len(models), len(runs), layout)

  with contextlib.ExitStack() as stack:
    # ---- The runs' folders
    if sharding.is_main():
      for run, description in zip(runs, descriptions, strict=True):
        stack.enter_context(run_folder.opened(run.workdir))
        run_folder.claim(run.workdir, description, run.experiment.defaults)
        run_outputs.write_data(run.workdir, cases, duplicates, pairs, parts)
    sharding.wait_for_all("folders")
    trackers = None
    if sharding.is_main():
      trackers = tracking.Tracking(runs, cases, reporter.print)
      stack.callback(trackers.close)
    stop = stack.enter_context(stop_signals())

    # ---- Train every group, and keep the variables of each model's best validation epoch
    best: dict[tuple[int, int], Any] = {}
    diverged: dict[tuple[int, int], str] = {}
    for group, own_inputs in zip(groups, inputs, strict=True):
      folder = checkpoints / group.folder
      state, messages = train_group(
        group, own_inputs, programs, cases, folder, stop, reporter, trackers, observe
      )
      for index, model in enumerate(group.models):
        best[model.run, model.seed] = programs.best(state, index)
      diverged |= messages
      if diverged and len(runs) == 1:
        raise DivergedError(diverged)

    # ---- Test, and write the tables, results and figures
    summaries: list[dict[str, Any]] = []
    for n, run in enumerate(runs):
      if any(failed == n for failed, _ in diverged):
        continue
      own = {seed: best[n, seed] for seed in seeds}
      if not is_tested:
        summaries.append({})
        continue
      summaries.append(_finish(run, programs, cases, parts, own, duplicates, reporter))
      if trackers:
        trackers.summary(n, summaries[-1])
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
  groups: np.ndarray,
  reporter: Reporter,
) -> dict[str, Any]:
  """Tests the seeds of a run and writes its rows, results and figures; returns the results."""
  workdir, testing = run.workdir, programs.testing
  tested = {
    seed: scoring.score_seed(testing, run.experiment, cases, parts[seed], variables, reporter)
    for seed, variables in best.items()
  }
  mean, entry = None, None
  if run.experiment.prediction.ensemble:
    split, models = next(iter(parts.values())), list(best.values())
    mean = scoring.score_ensemble(testing, run.experiment, cases, split, models, reporter)
    absent = run.experiment.metrics.absent
    entry = ensemble.summarize(mean, absent, groups[split.test], len(models))
  summary = scoring.summarize_seeds(
    run.experiment, tested, cases.class_names, entry, cases.finding_names
  )
  if sharding.is_main():
    if broken := model_file.write(workdir, best):
      reporter.print(
        f"{run.name}: {len(broken)} arrays of {model_file.NAME} have values that are not finite"
        f" ({broken[0]}, for instance); mlseg.predict refuses it"
      )
    run_outputs.write(workdir, cases, parts, tested, summary, mean)
  if run.title:  # one of many, which a table will show
    reporter.print(f"{run.name}: test {shown_scores(summary['metrics'])}, in {workdir}")
    if entry:
      reporter.print(f"{run.name}: {ensemble.line(entry)}")
    return summary
  title = f"{run.name}, test set, per image unless pooled; percent, distances in pixels"
  names = cases.class_names[1:]
  positive = case_counts.positive(cases)
  reporter.results(title, summary, names[0] if len(names) == 1 else "foreground", positive)
  for name, scores in [*((f"seed {seed}", own) for seed, own in tested.items()), ("mean", mean)]:
    if scores and scores.choice:
      reporter.print(f"{name}: {describe(scores.choice)}")
    if scores and scores.calibration:
      reporter.print(f"{name}: {calibrate.in_words(scores.calibration)}")
  if entry:
    reporter.print(ensemble.line(entry))
  reporter.print(f"rows, results and figures are in {workdir}")
  return summary


def _strategy(runs: Sequence[Run]) -> str:
  """Returns how the models are trained: as the first run was started, or as its recipe asks for."""
  seeds = runs[0].experiment.seeds
  count = len(runs) * seeds.num
  platform, devices = jax.default_backend(), jax.device_count()
  chosen = model_axis.choose(seeds.strategy, count, platform, devices)
  if seeds.strategy == "auto":
    chosen = run_folder.strategy_of(runs[0].workdir) or chosen
  if len(runs) > 1 and chosen == "loop":
    raise UserError("config.seeds.strategy 'loop' is for the seeds of one config, not for several")
  return chosen
