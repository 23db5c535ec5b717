"""The models that one compiled program trains, their names, and what they log."""

import itertools
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mlseg.console import Reporter
from mlseg.data.cases import Cases
from mlseg.data.splits.grouped import Split
from mlseg.devices.sharding import Layout
from mlseg.models.layers import onednn
from mlseg.recipe import split as recipe_split
from mlseg.recipe.experiment import Experiment
from mlseg.report import recipes
from mlseg.training import case_counts
from mlseg.training.programs import Status
from mlseg.training.step import StepLog
from mlseg.training.validation import Validation
from mlseg.workdir.metrics_log import MetricsFile, pair_name


class Run(NamedTuple):
  """A recipe that is trained into a folder."""

  experiment: Experiment
  workdir: pathlib.Path
  title: str = ""  # its name for a person, where that is not the recipe's name and what it trains

  @property
  def name(self) -> str:
    """Its name for a person: not the variant, since the recipe may have another weighting."""
    return self.title or f"{self.experiment.name}, {recipes.trains(self.experiment.content)}"


class SeedModel(NamedTuple):
  """One model of a run: one of its seeds."""

  run: int  # the index of its run
  seed: int
  split: Split


class Group(NamedTuple):
  """The models of one program, of one run or of several."""

  runs: tuple[Run, ...]
  models: tuple[SeedModel, ...]

  @property
  def title(self) -> str:
    """The name of the group for a person."""
    return self.name(0) if len(self.models) == 1 else f"{len(self.models)} models"

  @property
  def folder(self) -> str:
    """The name of the folder of the group's checkpoints."""
    first, last = self.models[0].seed, self.models[-1].seed
    return f"seed_{first}" if len(self.models) == 1 else f"seeds_{first}_to_{last}"

  def name(self, index: int) -> str:
    """Returns the name of a model for a person."""
    model = self.models[index]
    prefix = f"{self.runs[model.run].name}, " if len(self.runs) > 1 else ""
    return f"{prefix}seed {model.seed}"

  def record(
    self,
    index: int,
    step: int,
    epoch: float,
    speed: float,
    logged: tuple[StepLog, Validation | None, Status, np.ndarray | None],
  ) -> dict[str, Any]:
    """Returns the line of `metrics.jsonl` of a model.

    Args:
      index: of the model.
      step: steps done.
      epoch: epochs done.
      speed: images per second, of all models together.
      logged: on the host, the axis of the models first; the last are the cosines [M, K, K] between
        the gradients of all losses of the group, in the order of their names, or None.
    """
    log, validation, status, cosines = logged
    losses = self.runs[self.models[index].run].experiment.losses
    weights = {name: float(log.weights[name][index]) for name in losses.names}
    record = {
      "seed": self.models[index].seed,
      "step": step,
      "epoch": epoch,
      "losses": {name: float(log.losses[name][index]) for name in losses.names},
      "weights": weights,
      "images_per_second": speed,
      "nonfinite": int(status.nonfinite.total[index]),
    }
    if losses.auxiliary is not None:
      record["auxiliary_share"] = weights[losses.auxiliary] / sum(weights.values())
    if cosines is not None:
      order = sorted(log.losses)
      record["cosines"] = {
        pair_name(one, other): float(cosines[index, order.index(one), order.index(other)])
        for one, other in itertools.combinations(losses.names, 2)
      }
    if validation is not None:
      values = {name: float(validation.losses[name][index]) for name in losses.names}
      scores = {name: float(found[index]) for name, found in validation.scores.items()}
      record["validation"] = {**scores, "losses": values}
    return record

  def append(self, indices: list[int], records: list[dict[str, Any]]) -> None:
    """Adds lines to the `metrics.jsonl` of each model's run."""
    for run, file in self._files().items():
      own = zip(indices, records, strict=True)
      file.append([record for index, record in own if self.models[index].run == run])

  def rewind(self, step: int) -> int:
    """Drops the lines that the group will write again from this step on, and damaged ones.

    Returns:
      The number of damaged lines.
    """
    return sum(
      file.rewind([model.seed for model in self.models if model.run == run], step)
      for run, file in self._files().items()
    )

  def _files(self) -> dict[int, MetricsFile]:
    runs = sorted({model.run for model in self.models})
    return {n: MetricsFile(self.runs[n].workdir / "metrics.jsonl") for n in runs}

  def diverged(self, status: Status) -> dict[tuple[int, int], str]:
    """Returns, by (run, seed), why a model diverged, for the models that did."""
    limit = self.runs[0].experiment.max_nonfinite
    messages = {}
    for index, model in enumerate(self.models):
      in_row = int(status.nonfinite.in_row[index])
      if in_row < limit:
        continue
      names = [name for name, counts in status.nonfinite.losses.items() if counts[index]]
      what = f"loss {', '.join(names)}" if names else "the gradient, though no loss,"
      messages[model.run, model.seed] = (
        f"{self.name(index)} stopped at step {int(status.step[index])}: {what} was not finite in"
        f" {in_row} steps in a row (config.max_nonfinite is {limit})"
      )
    return messages

  def skipped(self, status: Status) -> list[str]:
    """Returns a message for each model that skipped steps."""
    totals = np.asarray(status.nonfinite.total)[: len(self.models)]
    return [
      f"{self.name(index)}: {total} steps were skipped as not finite"
      for index, total in enumerate(totals)
      if total
    ]


def print_header(
  reporter: Reporter, runs: Sequence[Run], cases: Cases, split: Split, layout: Layout
) -> None:
  """Prints what is about to be trained, on which data and devices."""
  data = runs[0].experiment.data
  names = ", ".join(run.name for run in runs)
  where = runs[0].workdir if len(runs) == 1 else runs[0].workdir.parent
  sizes = " / ".join(str(len(part)) for part in split)
  height, width = cases.images.shape[1:3]
  most = "up to " if data.patch_size else ""  # images keep their sizes
  reporter.print(f"run     {names} in {where}")
  reporter.print(
    f"data    {data.name}, {len(cases.ids)} images of {most}{height}×{width},"
    f" {sizes} for training / validation / test ({data.split} split)"
  )
  for line in case_counts.lines(cases, split, recipe_split.hidden_of(data, cases, split.train)):
    reporter.print(line)
  if len(runs) == 1:
    reporter.print(f"losses  {', '.join(runs[0].experiment.losses.names)}")
  device = f"{jax.device_count()} × {jax.devices()[0].device_kind}"
  words = (
    f"device  {device}",
    f"jax {jax.__version__}",
    onednn.describe(layout.data * layout.model),
  )
  reporter.print(", ".join(filter(None, words)))


def print_layout(
  reporter: Reporter, strategy: str, num_models: int, num_runs: int, layout: Layout
) -> None:
  """Prints how several models are trained, and on which devices, where there is a choice."""
  if num_models > 1:
    recipes = f" of {num_runs} configs" if num_runs > 1 else ""
    reporter.print(f"models  {num_models}{recipes}, strategy {strategy}")
  if max(layout) > 1:
    sizes = ", ".join(f"{name} {size}" for name, size in layout._asdict().items())
    reporter.print(f"mesh    {sizes}; {jax.process_count()} processes")
