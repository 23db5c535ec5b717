"""Reduces the logs of the runs of a study to rows by epoch."""

import collections
import math
import pathlib
import statistics
from collections.abc import Callable, Mapping

from mlseg.files import Row
from mlseg.workdir import metrics_log, run_folder


def shares(record: dict) -> dict[str, float]:
  """Returns the weight of each loss as a share of the sum of the weights."""
  total = sum(record["weights"].values())
  return {name: weight / total for name, weight in record["weights"].items()}


def by_epoch(records: list[dict], values: Callable[[dict], Mapping[str, float]]) -> list[Row]:
  """Returns a row per loss and epoch: the mean of a value over steps and seeds, and its range.

  Args:
    records: of the log.
    values: a function of a record that returns the value of each loss.
  """
  found: dict[tuple[str, int], dict[int, list[float]]] = {}
  for record in records:
    for name, value in values(record).items():
      key = name, math.ceil(record["epoch"] - 1e-9)
      by_seed = found.setdefault(key, collections.defaultdict(list))
      by_seed[record["seed"]].append(value)
  rows = []
  for (name, epoch), by_seed in found.items():
    means = [statistics.fmean(own) for own in by_seed.values()]
    ends = {"mean": statistics.fmean(means), "low": min(means), "high": max(means)}
    rows.append({"loss": name, "epoch": epoch, **{k: round(v, 5) for k, v in ends.items()}})
  return rows


def minutes(records: list[dict], batch_size: int, seed: int) -> float:
  """Returns how long the training steps of a model took."""
  total, last = 0.0, 0
  for record in (record for record in records if record["seed"] == seed):
    if record["images_per_second"]:
      total += (record["step"] - last) * batch_size / record["images_per_second"] / 60
      last = record["step"]
  return round(total, 1)


def models(labels: Mapping[str, str], run: pathlib.Path) -> list[Row]:
  """Returns a row for each model of a run, with the minutes of its training steps.

  Args:
    labels: of its cell.
    run: its folder.
  """
  records, batch = metrics_log.read(run), run_folder.read(run).config["batch_size"]
  seeds = dict.fromkeys(record["seed"] for record in records)
  return [{**labels, "seed": seed, "minutes": minutes(records, batch, seed)} for seed in seeds]
