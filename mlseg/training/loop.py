"""The training loop of a group of models."""

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mlseg.console import Reporter
from mlseg.data.cases import Cases
from mlseg.devices import sharding
from mlseg.recipe.experiment import Experiment
from mlseg.training.checkpoint import Checkpoints
from mlseg.training.feed import make_feed
from mlseg.training.groups import Group
from mlseg.training.model_parts import ModelInputs
from mlseg.training.programs import Programs, Status
from mlseg.training.step import TrainState
from mlseg.training.stopping import Stopped
from mlseg.training.tracking import Tracking

# `observe(records)`, with lines of `metrics.jsonl`; returns whether the training goes on.
Observe = Callable[[Sequence[Mapping[str, Any]]], bool]


def train_group(
  group: Group,
  inputs: ModelInputs,
  programs: Programs,
  cases: Cases,
  folder: pathlib.Path,
  stop: list[int],
  reporter: Reporter,
  tracking: Tracking | None = None,
  observe: Observe | None = None,
) -> tuple[TrainState, dict[tuple[int, int], str]]:
  """Trains a group of models to its end, from its last checkpoint if there is one.

  Returns:
    The state, and by (run, seed) why a model diverged.
  """
  experiment, per_epoch = group.runs[0].experiment, programs.steps_per_epoch
  checkpoints = Checkpoints(folder, programs.state, len(group.models))
  state, status = _start(group, inputs, programs, checkpoints, reporter)
  parts = [model.split for model in group.models]
  feed = make_feed(experiment, cases, parts, programs.keys(state), programs.mesh)
  stopped = np.asarray(status.stopped)[: len(group.models)]
  step = _step(group, status)
  finished = step == programs.num_steps or bool(stopped.all())
  if not finished:
    reporter.print(f"{group.title}: compiled in {programs.training.seconds:.1f} s")

  # ---- Steps: the host waits for the devices when they have come to a log step, and nowhere else
  with reporter.bar(group.title, programs.num_steps, step, len(group.models)):
    epoch_start = step, time.perf_counter()
    while not finished:
      if not step % per_epoch:
        epoch_start = step, time.perf_counter()
      batches, num_steps = (
        feed.batches(step),
        _steps_to_log(experiment, step % per_epoch, per_epoch),
      )
      cosines = None  # those of the first step of the epoch, before it is taken
      if programs.training.cosines and not step % (per_epoch * experiment.cosines_every):
        cosines = programs.training.cosines(state, inputs, batches, programs.number(0))
      state, log = programs.training.run(state, inputs, batches, programs.number(num_steps))
      step += num_steps
      if step < programs.num_steps:
        feed.prepare(step)
      epoch, rest = divmod(step, per_epoch)
      validation = None
      is_last = step == programs.num_steps
      if is_last or (not rest and epoch % experiment.validation_every == 0):
        part, number = feed.validation(), programs.number(epoch)
        state, validation = programs.training.validate(state, inputs, part, number)
      logged = jax.device_get((log, validation, programs.status(state), cosines))
      _, validation, status, _ = logged

      # ---- What was reported
      active = np.flatnonzero(~stopped).tolist()
      speed = _speed(experiment, step, epoch_start) * len(active)
      records = [group.record(n, step, step / per_epoch, speed, logged) for n in active]
      if sharding.is_main():
        group.append(active, records)
      if tracking:
        tracking.records(group, active, records)
        if validation is not None:
          tracking.predictions(group, active, validation.predictions, step, epoch)
      reporter.step(records)
      if validation is not None:
        reporter.epoch(group.title, records, experiment.num_epochs)
      goes_on = observe is None or observe(records)
      stopped = status.stopped[: len(group.models)]
      finished = is_last or bool(stopped.all()) or not goes_on
      signum = sharding.largest(stop[0] if stop else 0)  # one process is told, and all of them stop
      if finished or signum or (not rest and epoch % experiment.checkpoint_every == 0):
        checkpoints.save(step, state)
      if signum:
        checkpoints.close(verify=step)
        raise Stopped(signum, step)
  checkpoints.close()
  for line in group.skipped(status):
    reporter.print(line)
  return state, group.diverged(status)


def _start(
  group: Group,
  inputs: ModelInputs,
  programs: Programs,
  checkpoints: Checkpoints,
  reporter: Reporter,
) -> tuple[TrainState, Status]:
  """Returns the state that a group begins with, new or restored; lines beyond it are dropped."""
  state: TrainState | None = checkpoints.restore(reporter.print)
  if state is None:
    numbers = [model.seed for model in group.models]
    state = programs.init(numbers, inputs.covariate_statistics)
  else:
    state = _fill(state, programs, len(group.models))
  status = jax.device_get(programs.status(state))
  step = _step(group, status)
  if step:
    reporter.print(f"{group.title}: goes on from step {step} of {programs.num_steps}")
  if sharding.is_main() and (damaged := group.rewind(step)):
    reporter.print(f"{group.title}: {damaged} damaged lines of metrics.jsonl are left out")
  return state, status


def _fill(state: TrainState, programs: Programs, count: int) -> TrainState:
  """Returns a restored state in which the models that only fill up the mesh are stopped."""
  stopped = jax.device_get(programs.status(state).stopped)
  stopped = stopped | (np.arange(len(stopped)) >= count)
  return state._replace(stopped=sharding.place(stopped, sharding.by_model(programs.mesh)))


def _step(group: Group, status: Status) -> int:
  """Returns how many steps a group has done; a model that stopped may have done fewer."""
  return int(np.asarray(status.step)[: len(group.models)].max())


def _steps_to_log(experiment: Experiment, in_epoch: int, per_epoch: int) -> int:
  """Returns how many steps there are to the next log step, at most to the end of the epoch."""
  return min(experiment.log_every - in_epoch % experiment.log_every, per_epoch - in_epoch)


def _speed(experiment: Experiment, step: int, start: tuple[int, float]) -> float:
  """Returns images per second since the start of the epoch, validation and checkpoint included."""
  return (step - start[0]) * experiment.batch_size / (time.perf_counter() - start[1])
