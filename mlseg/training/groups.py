"""The models that are trained together: whose they are, what they are called, what they log."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from mlseg.console import Reporter
from mlseg.data.cases import Cases
from mlseg.data.splits.grouped import Split
from mlseg.devices.sharding import Layout
from mlseg.recipe.properties import loss_names
from mlseg.training.programs import Brief
from mlseg.training.step import StepLog
from mlseg.training.validation import Validation
from mlseg.workdir.metrics_log import MetricsFile


class Run(NamedTuple):
  """A config and the folder of its run."""

  config: ConfigDict
  workdir: pathlib.Path
  title: str = ""  # what a person calls it, where that is not the config's name and variant

  @property
  def name(self) -> str:
    """What a person calls it."""
    return self.title or f"{self.config.name}:{self.config.variant}"


class Model(NamedTuple):
  """One model of a run."""

  run: int  # its place among the runs
  seed: int
  split: Split


class Group(NamedTuple):
  """Models of one program."""

  runs: tuple[Run, ...]
  models: tuple[Model, ...]

  @property
  def title(self) -> str:
    """What a person calls the group."""
    return self.name(0) if len(self.models) == 1 else f"{len(self.models)} models"

  @property
  def folder(self) -> str:
    """The name of the folder of the group's checkpoints."""
    first, last = self.models[0].seed, self.models[-1].seed
    return f"seed_{first}" if len(self.models) == 1 else f"seeds_{first}_to_{last}"

  def name(self, place: int) -> str:
    """Returns what a person calls a model."""
    model = self.models[place]
    prefix = f"{self.runs[model.run].name}, " if len(self.runs) > 1 else ""
    return f"{prefix}seed {model.seed}"

  def record(
    self,
    place: int,
    step: int,
    epoch: float,
    speed: float,
    logged: tuple[StepLog, Validation | None, Brief],
  ) -> dict[str, Any]:
    """Returns the line of `metrics.jsonl` of a model.

    Args:
      place: of the model.
      step: steps done.
      epoch: epochs done.
      speed: images per second, of all models together.
      logged: on the host, the models first.
    """
    log, validation, brief = logged
    names = loss_names(self.runs[self.models[place].run].config)
    record = {
      "seed": self.models[place].seed,
      "step": step,
      "epoch": epoch,
      "losses": {name: float(log.losses[name][place]) for name in names},
      "weights": {name: float(log.weights[name][place]) for name in names},
      "images_per_second": speed,
      "nonfinite": int(brief.nonfinite.total[place]),
    }
    if validation is not None:
      losses = {name: float(validation.losses[name][place]) for name in names}
      scores = {
        "dice": validation.dice, "accuracy": validation.accuracy, "auc": validation.auc
      }  # fmt: skip
      known = {name: float(values[place]) for name, values in scores.items() if values is not None}
      record["validation"] = {**known, "losses": losses}
    return record

  def append(self, places: list[int], records: list[dict[str, Any]]) -> None:
    """Adds lines to the `metrics.jsonl` of each model's run."""
    for number, file in self._files().items():
      own = zip(places, records, strict=True)
      file.append([record for place, record in own if self.models[place].run == number])

  def rewind(self, step: int) -> None:
    """Drops the lines that the group will write again from this step on."""
    for number, file in self._files().items():
      file.rewind([model.seed for model in self.models if model.run == number], step)

  def _files(self) -> dict[int, MetricsFile]:
    numbers = sorted({model.run for model in self.models})
    return {n: MetricsFile(self.runs[n].workdir / "metrics.jsonl") for n in numbers}

  def diverged(self, brief: Brief) -> dict[tuple[int, int], str]:
    """Returns, by run and seed, what is to be said of each model that did not stay finite."""
    limit = self.runs[0].config.max_nonfinite
    said = {}
    for place, model in enumerate(self.models):
      in_row = int(brief.nonfinite.in_row[place])
      if in_row < limit:
        continue
      names = [name for name, counts in brief.nonfinite.losses.items() if counts[place]]
      what = f"loss {', '.join(names)}" if names else "the gradient, though no loss,"
      said[model.run, model.seed] = (
        f"{self.name(place)} stopped at step {int(brief.step[place])}: {what} was not finite in"
        f" {in_row} steps in a row (config.max_nonfinite is {limit})"
      )
    return said

  def skipped(self, brief: Brief) -> list[str]:
    """Returns what is to be said of models that skipped steps."""
    totals = np.asarray(brief.nonfinite.total)[: len(self.models)]
    return [
      f"{self.name(place)}: {total} steps were skipped as not finite"
      for place, total in enumerate(totals)
      if total
    ]


def say_header(reporter: Reporter, runs: Sequence[Run], cases: Cases, split: Split) -> None:
  """Prints what is about to be trained on what."""
  config = runs[0].config
  names = ", ".join(run.name for run in runs)
  where = runs[0].workdir if len(runs) == 1 else runs[0].workdir.parent
  sizes = " / ".join(str(len(part)) for part in split)
  height, width = cases.images.shape[1:3]
  reporter.say(f"run     {names} in {where}")
  reporter.say(
    f"data    {config.data.name}, {len(cases.ids)} images of {height}×{width},"
    f" {sizes} for training / validation / test ({config.data.split} split)"
  )
  reporter.say(
    f"device  {jax.device_count()} × {jax.devices()[0].device_kind}, jax {jax.__version__}"
  )


def say_layout(
  reporter: Reporter, strategy: str, num_models: int, num_runs: int, layout: Layout
) -> None:
  """Prints how several models are trained, and on which devices, where there is a choice."""
  if num_models > 1:
    configs = f" of {num_runs} configs" if num_runs > 1 else ""
    reporter.say(f"models  {num_models}{configs}, strategy {strategy}")
  if max(layout) > 1:
    sizes = ", ".join(f"{name} {size}" for name, size in layout._asdict().items())
    reporter.say(f"mesh    {sizes}; {jax.process_count()} processes")
