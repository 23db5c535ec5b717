"""Trains 20 steps on meshes and saves what is computed.

    python -m tests.end_to_end.sharded_steps OUT S,D,M

For each mesh of S × D × M devices (seed, data, model), OUT/S,D,M.npz holds per step the losses, the
gradient of their sum and the statistics of batch normalisation, and the last parameters and their
average. The network has dropout and deep supervision.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.data.cases import Cases
from mlseg.devices import processes, sharding
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import split as recipe_split
from mlseg.training import batches, objective
from mlseg.training.checkpoint import flatten
from mlseg.training.feed import make_feed
from mlseg.training.programs import Programs

NUM_STEPS = 20
CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "smoke.py"
OVERRIDES = {
  # Few activations: each may be zero up to rounding, and then a ReLU passes it on one mesh only.
  "data.image_size": 8,
  "batch_size": 8,
  "model.filters": 16,
  "optimizer.name": "sgd",
  "optimizer.learning_rate": 0.01,
  "auxiliary.name": "none",
  "weighting.name": "fixed",
}
# Keys that the recipe's file has not.
MORE = {"optimizer": {"ema": 0.9}, "model": {"dropout": 0.2, "deep_supervision": 1}}


def _noise(cases: Cases) -> Cases:
  """Returns cases with noise as pictures.

  In the black parts of real ones all activations of a channel are one number, and where that is
  zero up to rounding, they pass a ReLU all together or not at all.
  """
  rng = np.random.default_rng(0)
  return cases._replace(images=rng.integers(0, 256, cases.images.shape, np.uint8))


def steps(layout: sharding.Layout, placement: str) -> dict[str, np.ndarray]:
  """Returns what 20 steps compute on a mesh, by name."""
  flags = [f"--config.data.placement={placement}", "--config.log_every=1"]
  flags += [f"--config.{name}={value}" for name, value in OVERRIDES.items()]
  content = parse.content(["", f"--config={CONFIG}", *flags])
  recipe = experiment.read(content | {name: content[name] | MORE[name] for name in MORE})
  cases = _noise(recipe_data.load_cases(recipe.data, [recipe.losses.targets]))
  split = recipe_split.make_split(recipe.data, recipe.batch_size, cases, None, 0)
  mesh = sharding.make_mesh(layout)
  count = layout.seed
  built = Programs([recipe], cases, split, strategy="map", num_models=count, mesh=mesh)
  state = built.init(list(range(count)))
  inputs = built.inputs([split] * count, [0] * count)
  feed = make_feed(recipe, cases, [split] * count, built.keys(state), mesh)
  losses = recipe_losses.make_losses(recipe.losses, 2)
  loss_fn = objective.make_loss_fn(recipe.network.make(2, 1), losses, 2)
  batch_at = batches.make_batch_at(recipe)

  def gradients_of_one(state, data):
    batch = batch_at(data, jax.random.split(state.key)[0], state.step)
    rest = {name: value for name, value in state.variables.items() if name != "params"}

    def total(params):
      losses, _ = loss_fn(params, rest, batch)
      return sum(losses.values())

    return jax.grad(total)(state.variables["params"])

  def gradients_of_first(state, inputs, data):
    first = jax.tree.map(lambda x: x[0], state)
    if placement == "host":
      return gradients_of_one(first, jax.tree.map(lambda x: x[0], data))
    return gradients_of_one(first, data._replace(train=inputs.train[0]))

  with jax.set_mesh(mesh):
    gradients_at = jax.jit(gradients_of_first, out_shardings=sharding.everywhere(mesh))
  small = jax.jit(lambda tree: tree, out_shardings=sharding.everywhere(mesh))
  found: dict[str, list[np.ndarray]] = {}
  for step in range(NUM_STEPS):
    data = feed.batches(step)
    with jax.set_mesh(mesh):
      gradients = gradients_at(state, inputs, data)
    state, log = built.training.run(state, inputs, data, built.number(1))
    seen = {
      "gradients": gradients,
      "losses": jax.tree.map(lambda x: x[0], log.losses),
      "statistics": jax.tree.map(lambda x: x[0], small(state.variables["batch_stats"])),
    }
    for name, value in flatten(jax.device_get(seen)).items():
      found.setdefault(name, []).append(value)
  last = {"params": state.variables["params"], "average": state.average["params"]}
  last = jax.device_get(jax.tree.map(lambda x: x[0], small(last)))
  return {name: np.stack(values) for name, values in found.items()} | flatten(last)


if __name__ == "__main__":
  processes.start()
  for text in sys.argv[2:]:
    *layout, placement = text.split(",")
    arrays = steps(sharding.Layout(*map(int, layout)), placement)
    if sharding.is_main():
      jnp.savez(pathlib.Path(sys.argv[1]) / f"{text}.npz", **arrays)
  processes.shutdown()
