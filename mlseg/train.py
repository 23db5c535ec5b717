"""The training loop, from the config to the table, to be read from top to bottom."""

import contextlib
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mlseg import (
  builders,
  case_tables,
  model_file,
  result_files,
  results,
  run_folder,
  seeds,
  sharding,
  split_builders,
)
from mlseg.checkpoint import Checkpoints
from mlseg.data import cross_validation, splits
from mlseg.data.cases import Cases
from mlseg.errors import UserError
from mlseg.feed import make_feed
from mlseg.group import Group, Model, Run
from mlseg.log import Reporter, shown_scores
from mlseg.member import Member
from mlseg.programs import Brief, Programs
from mlseg.run_folder import write_file
from mlseg.stopping import Stopped, stop_signals
from mlseg.train_step import TrainState


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
    builders.check_config(config)
  config = configs[0]
  strategy = _strategy(runs)
  cases = builders.make_cases(configs)
  pairs = split_builders.find_near_duplicates(config, cases)
  duplicates = splits.groups(len(cases.ids), pairs, cases.patients)
  numbers = [config.seed + n for n in range(config.num_seeds)]
  parts = {seed: split_builders.make_split(config, cases, duplicates, seed) for seed in numbers}
  equal = cross_validation.equalised(parts)
  models = [Model(n, seed, equal[seed]) for n in range(len(runs)) for seed in numbers]
  own_group = [(model,) for model in models] if strategy == "loop" else [tuple(models)]
  groups = [Group(tuple(runs), chosen) for chosen in own_group]
  descriptions = [run_folder.describe(c, cases.fingerprint, strategy) for c in configs]
  for run, description in zip(runs, descriptions, strict=True):
    run_folder.check(run.workdir, description)

  # ---- Devices and programs
  in_parts = config.batch_size // config.num_microbatches
  layout = sharding.plan(jax.device_count(), len(groups[0].models), in_parts, **config.mesh)
  results.say_header(reporter, runs, cases, parts[numbers[0]])
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
  results.say_layout(reporter, strategy, len(models), len(runs), layout)

  with contextlib.ExitStack() as stack:
    # ---- The runs' folders
    if sharding.is_main():
      for run, description in zip(runs, descriptions, strict=True):
        stack.enter_context(run_folder.opened(run.workdir))
        run_folder.claim(run.workdir, description)
        write_file(run.workdir / "split.json", results.split_json(cases, pairs, parts))
        write_file(run.workdir / "data.csv", case_tables.data_csv(cases, duplicates))
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
  parts: dict[int, splits.Split],
  best: dict[int, Any],
  reporter: Reporter,
) -> dict[str, Any]:
  """Tests the seeds of a run and writes its rows, results and figures; returns the results."""
  config, workdir = run.config, run.workdir
  tested = {
    seed: results.test_seed(programs, config, cases, parts[seed], variables, reporter)
    for seed, variables in best.items()
  }
  summary = results.summarize_seeds(config, tested)
  if sharding.is_main():
    model_file.write(workdir, best)
    result_files.write(workdir, cases, parts, tested, summary)
  if run.title:  # one of many, which a table will show
    reporter.say(f"{run.name}: test {shown_scores(summary['metrics'])}, in {workdir}")
    return summary
  title = f"{run.name}, test set, per image unless pooled; percent, distances in pixels"
  names = cases.class_names[1:]
  reporter.results(title, summary, names[0] if len(names) == 1 else "foreground")
  reporter.say(f"rows, results and figures are in {workdir}")
  return summary


def _train_group(
  group: Group,
  members: Member,
  programs: Programs,
  cases: Cases,
  folder: pathlib.Path,
  stop: list[int],
  reporter: Reporter,
) -> tuple[TrainState, dict[tuple[int, int], str]]:
  """Trains a group of models to its end, from its last checkpoint if there is one.

  Returns:
    The state, and by run and seed what is to be said of each model that diverged.
  """
  config, per_epoch = group.runs[0].config, programs.steps_per_epoch
  checkpoints = Checkpoints(folder, programs.state, len(group.models))
  state, brief = _start(group, programs, checkpoints, reporter)
  parts = [model.split for model in group.models]
  feed = make_feed(config, cases, parts, programs.keys(state), programs.mesh)
  stopped = np.asarray(brief.stopped)[: len(group.models)]
  step = _step(group, brief)
  finished = step == programs.num_steps or stopped.all()
  if not finished:
    reporter.say(f"{group.title}: compiled in {programs.training.seconds:.1f} s")

  # ---- Steps: the host waits for the devices when they have come to a log step, and nowhere else
  with reporter.bar(group.title, programs.num_steps, step):
    epoch_start = step, time.perf_counter()
    while not finished:
      if not step % per_epoch:
        epoch_start = step, time.perf_counter()
      batches, num_steps = feed.batches(step), _steps_to_log(config, step % per_epoch, per_epoch)
      state, log = programs.training.run(state, members, batches, programs.number(num_steps))
      step += num_steps
      if step < programs.num_steps:
        feed.prepare(step)
      epoch, rest = divmod(step, per_epoch)
      validation = None
      if not rest:
        part, number = feed.validation(), programs.number(epoch)
        state, validation = programs.training.validate(state, members, part, number)
      log, validation, brief = jax.device_get((log, validation, programs.brief(state)))

      # ---- What was reported
      active = np.flatnonzero(~stopped).tolist()
      speed = _speed(config, step, epoch_start) * len(active)
      logged = log, validation, brief
      records = [group.record(n, step, step / per_epoch, speed, logged) for n in active]
      if sharding.is_main():
        group.append(active, records)
      reporter.step(records)
      if validation is not None:
        reporter.epoch(group.title, records, config.num_epochs)
      stopped = brief.stopped[: len(group.models)]
      finished = step == programs.num_steps or stopped.all()
      signum = sharding.largest(stop[0] if stop else 0)  # one process is told, and all of them stop
      if finished or signum or (not rest and epoch % config.checkpoint_every == 0):
        checkpoints.save(step, state)
      if signum:
        checkpoints.close()
        raise Stopped(signum, step)
  checkpoints.close()
  for line in group.skipped(brief):
    reporter.say(line)
  return state, group.diverged(brief)


def _start(
  group: Group, programs: Programs, checkpoints: Checkpoints, reporter: Reporter
) -> tuple[TrainState, Brief]:
  """Returns the state that a group begins with, new or restored; lines beyond it are dropped."""
  state: TrainState | None = checkpoints.restore(reporter.say)
  if state is None:
    state = programs.init([model.seed for model in group.models])
  else:
    state = _fill(state, programs, len(group.models))
  brief = jax.device_get(programs.brief(state))
  step = _step(group, brief)
  if step:
    reporter.say(f"{group.title}: goes on from step {step} of {programs.num_steps}")
  if sharding.is_main():
    group.rewind(step)
  return state, brief


def _fill(state: TrainState, programs: Programs, count: int) -> TrainState:
  """Returns a restored state in which the models that only fill up the mesh are stopped."""
  stopped = jax.device_get(programs.brief(state).stopped)
  stopped = stopped | (np.arange(len(stopped)) >= count)
  return state._replace(stopped=sharding.place(stopped, sharding.by_member(programs.mesh)))


def _step(group: Group, brief: Brief) -> int:
  """Returns how many steps a group has done; a model that stopped may have done fewer."""
  return int(np.asarray(brief.step)[: len(group.models)].max())


def _steps_to_log(config: ConfigDict, in_epoch: int, per_epoch: int) -> int:
  """Returns how many steps there are to the next log step, at most to the end of the epoch."""
  return min(config.log_every - in_epoch % config.log_every, per_epoch - in_epoch)


def _speed(config: ConfigDict, step: int, start: tuple[int, float]) -> float:
  """Returns images per second since the start of the epoch, validation and checkpoint included."""
  return (step - start[0]) * config.batch_size / (time.perf_counter() - start[1])


def _strategy(runs: Sequence[Run]) -> str:
  """Returns how the models are trained: as the first run was started, or as its config says."""
  config = runs[0].config
  count = len(runs) * config.num_seeds
  platform, devices = jax.default_backend(), jax.device_count()
  chosen = seeds.choose(config.seeds.strategy, count, platform, devices)
  if config.seeds.strategy == "auto":
    chosen = run_folder.strategy_of(runs[0].workdir) or chosen
  if len(runs) > 1 and chosen == "loop":
    raise UserError("config.seeds.strategy 'loop' is for the seeds of one config, not for several")
  return chosen
