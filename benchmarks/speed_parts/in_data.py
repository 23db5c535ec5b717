"""A folder of many images: how long it is read, and a network that is trained on it."""

import os
import resource
import time
from typing import Any

import jax
import numpy as np

from mlseg.data.cases import Cases
from mlseg.devices import sharding
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment as recipe_experiment
from mlseg.recipe import parse
from mlseg.recipe import split as recipe_split
from mlseg.training import feed
from mlseg.training.programs import Programs
from speed_parts.problem import Problem
from speed_parts.worker import Session

PARTS = ("--config.data.fractions=(0.7, 0.15, 0.15)", "--config.data.split=random")


def recipe(problem: Problem, options: dict[str, Any]) -> recipe_experiment.Experiment:
  """Returns `configs/folder.py` with the sizes of a problem, a folder and a placement."""
  config, _ = parse.parse(
    [
      "",
      "--config=configs/folder.py:fixed",
      f"--config.data.root={options['root']}",
      f"--config.data.image_size={problem.size}",
      "--config.data.diameter=0",
      "--config.data.folder.duplicate_bits=-1",
      f"--config.data.num_processes={options.get('processes', 0)}",
      f"--config.data.placement={options.get('placement', 'device')}",
      f"--config.model.filters={problem.filters}",
      f"--config.model.depth={problem.depth}",
      f"--config.batch_size={problem.batch}",
      f"--config.log_every={options.get('log_every', 1)}",
      *PARTS,
    ]
  )
  return recipe_experiment.read(config)


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Reads the folder into the cache, or from there; with `options['placement']`, compiles too."""
  os.environ["MLSEG_CACHE"] = options["cache"]
  experiment = recipe(problem, options)
  started = time.perf_counter()
  cases = recipe_data.load_cases(experiment.data, (), None)
  facts: dict[str, Any] = {"seconds": time.perf_counter() - started, "resident": _resident()}
  if "placement" not in options:
    return Session(facts, {"nothing": lambda steps: 0.0})
  return _training(experiment, cases, facts)


def _training(
  experiment: recipe_experiment.Experiment, cases: Cases, facts: dict[str, Any]
) -> Session:
  """Returns a session whose run 'train' takes steps as the loop of `mlseg.training` does."""
  groups = np.arange(len(cases.ids))
  split = recipe_split.make_split(experiment.data, experiment.batch_size, cases, groups, 0)
  mesh = sharding.make_mesh(sharding.plan(jax.device_count(), 1, experiment.batch_size))
  programs = Programs([experiment], cases, split, strategy="loop", num_models=1, mesh=mesh)
  state = programs.init([0])
  inputs = programs.inputs([split], [0])
  source = feed.make_feed(experiment, cases, [split], programs.keys(state), mesh)
  held, waited = [state, 0], []

  def train(steps: int) -> dict[str, Any]:
    """Returns the loss, and what share of the time the host was gathering batches."""
    gathering, started = 0.0, time.perf_counter()
    for _ in range(steps):
      batches = source.batches(held[1])
      number = programs.number(experiment.log_every)
      held[0], log = programs.training.run(held[0], inputs, batches, number)
      held[1] += experiment.log_every
      before = time.perf_counter()
      source.prepare(held[1])  # while the device works
      gathering += time.perf_counter() - before
      jax.block_until_ready(held[0])
    waited.append(gathering / (time.perf_counter() - started))
    return {"loss": float(sum(log.losses.values()).sum()), "gathering": waited[-1]}

  def gather(steps: int) -> float:
    """Prepares batches while no device works."""
    for _ in range(steps):
      held[1] += experiment.log_every
      source.prepare(held[1])
    jax.block_until_ready(source.batches(held[1]))
    return 0.0

  train(1)
  facts |= {"resident": _resident(), "images": experiment.log_every * experiment.batch_size}
  return Session(facts, {"train": train, "gather": gather, "resident": lambda steps: _resident()})


def _resident() -> int:
  """Returns the peak memory of the process in bytes."""
  return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
