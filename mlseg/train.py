"""The training loop, from the config to the table, to be read from top to bottom."""

import pathlib
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from mlseg import builders, loss_builders, results, run_folder
from mlseg.checkpoint import Checkpoints, flatten
from mlseg.data import splits
from mlseg.data.cases import Cases
from mlseg.log import Reporter
from mlseg.programs import Programs, build_programs, device_data, validation_data
from mlseg.run_folder import MetricsFile, write_file
from mlseg.train_step import Best, NonFinite, TrainState


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked for it
  """The run was asked to stop; what it had done is saved. `signum` is the signal."""

  def __init__(self, signum: int, step: int):
    super().__init__(
      f"stopped by {signal.Signals(signum).name} and saved at step {step};"
      " the same command goes on from there"
    )
    self.signum = signum


class DivergedError(Exception):
  """Too many steps in a row had a loss or gradient that was not finite."""


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
  # ---- Load and check everything before anything is written
  builders.check_config(config)
  cases = builders.make_cases(config)
  pairs = splits.near_duplicates(cases.hashes)
  groups = splits.groups(len(cases.ids), pairs)
  seeds = [config.seed + i for i in range(config.num_seeds)]
  parts = {seed: builders.make_split(config, cases, groups, seed) for seed in seeds}
  run_folder.check(workdir, run_folder.describe(config, cases.fingerprint))
  results.say_header(reporter, config, cases, parts[seeds[0]], workdir)
  programs = build_programs(config, cases, parts[seeds[0]])
  reporter.say(f"model   {config.model.name}, {programs.num_params:,} parameters")

  with run_folder.opened(workdir), _stop_signals() as stop:
    # ---- The run's folder
    run_folder.claim(workdir, run_folder.describe(config, cases.fingerprint))
    write_file(workdir / "split.json", results.split_json(cases, pairs, parts))

    # ---- Train every seed
    best = {
      seed: _train_seed(config, cases, parts[seed], seed, programs, workdir, stop, reporter)
      for seed in seeds
    }

    # ---- Test each from its best validation epoch
    tested = {
      seed: results.test_seed(programs, config, cases, parts[seed].test, best[seed], reporter)
      for seed in seeds
    }
    summary = results.write(workdir, config, cases, parts, tested)
    first = seeds[0]
    results.write_examples(
      workdir, programs, cases, parts[first].test, tested[first].counts, best[first]
    )
  reporter.results(
    f"{config.name}:{config.variant}, test set, per image unless pooled; percent, distances in"
    " pixels",
    summary,
  )
  reporter.say(f"rows, results and figures are in {workdir}")
  return summary


def _train_seed(
  config: ConfigDict,
  cases: Cases,
  split: splits.Split,
  seed: int,
  programs: Programs,
  workdir: pathlib.Path,
  stop: list[int],
  reporter: Reporter,
) -> Best:
  """Trains one seed to its end, from its last checkpoint if there is one."""
  # ---- The state, new or restored
  checkpoints = Checkpoints(workdir / "checkpoints" / f"seed_{seed}")
  state: TrainState = programs.init(jax.random.key(seed))
  restored = checkpoints.restore(state, reporter.say)
  if restored is not None:
    state = restored
    reporter.say(f"seed {seed}: goes on from step {int(state.step)} of {programs.num_steps}")
  step = int(state.step)
  metrics_file = MetricsFile(workdir / "metrics.jsonl")
  metrics_file.rewind(seed, step)

  # ---- The data, once on the device
  data = device_data(cases, split)
  validation_part = validation_data(data, split)

  # ---- Steps: the host waits for the device once per log step, in `device_get`, and nowhere else
  names = list(loss_builders.loss_names(config))
  finished = _finished(config, programs, step, jax.device_get(state.best.epoch))
  if not finished:
    reporter.say(f"seed {seed}: compiled in {programs.training().seconds:.1f} s")
  with reporter.bar(f"seed {seed}", programs.num_steps, step):
    epoch_start = step, time.perf_counter()
    while not finished:
      in_epoch = step % programs.steps_per_epoch
      if not in_epoch:
        epoch_start = step, time.perf_counter()
      to_log = config.log_every - in_epoch % config.log_every
      count = min(to_log, programs.steps_per_epoch - in_epoch)
      state, log = programs.training().run(state, data, np.int32(count))
      step += count
      epoch, rest = divmod(step, programs.steps_per_epoch)
      validation = None
      if not rest:
        state, validation = programs.training().validate(state, *validation_part, np.int32(epoch))
      saves = not rest and (epoch % config.checkpoint_every == 0 or step == programs.num_steps)
      log, validation, nonfinite, best_epoch, arrays = jax.device_get(
        (log, validation, state.nonfinite, state.best.epoch, flatten(state) if saves else None)
      )
      record = {
        "seed": seed,
        "step": step,
        "epoch": step / programs.steps_per_epoch,
        "losses": {name: float(log.losses[name]) for name in names},
        "weights": {name: float(log.weights[name]) for name in names},
        "images_per_second": _speed(config, step, epoch_start),
        "nonfinite": int(nonfinite.total),
      }
      if validation is not None:
        losses = {name: float(validation.losses[name]) for name in names}
        record["validation"] = {"dice": float(validation.dice), "losses": losses}
      metrics_file.append(record)
      reporter.step(record)
      if validation is not None:
        reporter.epoch(record, config.num_epochs)
      _check_finite(config, nonfinite, step)
      finished = _finished(config, programs, step, best_epoch)
      if stop or (finished and not saves):
        arrays = jax.device_get(flatten(state))
      if arrays is not None:
        checkpoints.save(step, arrays)
      if stop:
        checkpoints.close()
        raise Stopped(stop[0], step)
  checkpoints.close()
  if int(state.nonfinite.total):
    reporter.say(f"seed {seed}: {int(state.nonfinite.total)} steps were skipped as not finite")
  return state.best


def _speed(config: ConfigDict, step: int, start: tuple[int, float]) -> float:
  """Returns images per second since the start of the epoch, validation and checkpoint included."""
  return (step - start[0]) * config.batch_size / (time.perf_counter() - start[1])


def _finished(config: ConfigDict, programs: Programs, step: int, best_epoch: int) -> bool:
  """Returns whether all steps are done, or `patience` epochs brought no better score."""
  epoch, rest = divmod(step, programs.steps_per_epoch)
  stale = config.patience and not rest and epoch - best_epoch >= config.patience
  return step == programs.num_steps or bool(stale)


def _check_finite(config: ConfigDict, nonfinite: NonFinite, step: int) -> None:
  if nonfinite.in_row < config.max_nonfinite:
    return
  names = [name for name, count in nonfinite.losses.items() if count]
  what = f"loss {', '.join(names)}" if names else "the gradient, though no loss,"
  raise DivergedError(
    f"stopped at step {step}: {what} was not finite in {int(nonfinite.in_row)} steps in a row"
    f" (config.max_nonfinite is {config.max_nonfinite})"
  )


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
  """Yields a list that holds the signal once SIGTERM or SIGINT came; a second one kills."""
  stop: list[int] = []

  def handle(signum: int, _: Any) -> None:
    stop.append(signum)
    signal.signal(signum, signal.SIG_DFL)

  if threading.current_thread() is not threading.main_thread():
    yield stop  # Python delivers signals to the main thread alone
    return
  old = {signum: signal.signal(signum, handle) for signum in (signal.SIGTERM, signal.SIGINT)}
  try:
    yield stop
  finally:
    for signum, handler in old.items():
      signal.signal(signum, handler)
