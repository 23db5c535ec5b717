"""The weights that every method gives on one and the same recorded training run, as a figure.

    python benchmarks/weights_over_a_run.py record    # trains; writes benchmarks/recorded_run.csv
    python benchmarks/weights_over_a_run.py draw      # writes docs/reference/weights.png

The run is `configs/dmf_busi.py:fixed`: 20 epochs on BUSI under three losses with equal weights. Per
step the losses are recorded, and the Gram matrix of their gradients at the logits. The methods see
these and have no influence on them, so the figure shows how they judge the same course of events,
not where each would lead.
"""

import csv
import pathlib
import sys

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np

from mlseg import weighting
from mlseg.devices import compiler
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import model as recipe_model
from mlseg.recipe import optimizer as recipe_optimizer
from mlseg.recipe import split as recipe_split
from mlseg.training import batches, objective
from mlseg.training import step as train_step
from mlseg.training.batches import Data
from mlseg.weighting import LossWeighting
from mlseg.weighting.registry import METHODS

matplotlib.use("agg")
from matplotlib import pyplot as plt

HERE = pathlib.Path(__file__).resolve().parent
ROWS = HERE / "recorded_run.csv"
FIGURE = HERE.parent / "docs" / "reference" / "weights.png"
STEPS_PER_EPOCH = 14
COLOURS = ("#0072b2", "#d55e00", "#009e73")


def record() -> None:
  """Trains with equal weights, and writes losses and Gram matrices."""
  config = parse.parse(["", "--config=configs/dmf_busi.py:fixed"])[0]
  loaded = recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets])
  split = recipe_split.make_split(
    recipe_data.read(config), config.batch_size, loaded, None, config.seed
  )
  steps_per_epoch = len(split.train) // config.batch_size
  num_steps = steps_per_epoch * config.num_epochs
  model = recipe_model.make_model(config, len(loaded.class_names))
  losses = recipe_losses.make_losses(recipe_losses.read(config), len(loaded.class_names))
  loss_fn = objective.make_loss_fn(model, losses, len(loaded.class_names))
  optimizer = recipe_optimizer.make_optimizer(config, num_steps)
  recorder = _recorder(len(losses))
  step = train_step.make_step(loss_fn, optimizer, recorder, gram_at="logits")
  batch_at = batches.make_batch_at(experiment.read(config))
  variables = model.init(jax.random.key(config.seed), jnp.zeros((1, 128, 128, 1)))
  state = train_step.init_state(
    jax.random.key(config.seed), variables, optimizer, recorder, tuple(losses)
  )

  def one(state, data):
    data_key = jax.random.split(state.key)[0]
    return step(state, batch_at(data, data_key, state.step))

  compiled = jax.jit(one, donate_argnums=0, compiler_options=compiler.compiler_options())
  data = jax.tree.map(jnp.asarray, Data(loaded.images, loaded.masks, train=split.train))
  names = sorted(losses)
  header = [*names, *(f"gram_{a}_{b}" for a in names for b in names)]
  rows = []
  for number in range(num_steps):
    state, log = compiled(state, data)
    rows.append([*(log.losses[name] for name in names), *np.ravel(state.weighting_state)])
    if number % steps_per_epoch == 0:
      print(number, [f"{value:.4g}" for value in rows[-1][:3]], flush=True)
  with ROWS.open("w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["step", *header])
    writer.writerows([i, *(f"{value:.7g}" for value in row)] for i, row in enumerate(rows))


def _recorder(num_losses: int) -> LossWeighting:
  """Returns weights of 1 whose state is the last Gram matrix."""
  ones = weighting.fixed()

  def update(losses, state, *, gram=None, **extra):
    return ones.update(losses, ())[0], gram

  return LossWeighting(lambda _: jnp.zeros((num_losses, num_losses)), update, needs_gram=True)


def draw() -> None:
  """Draws one panel per method."""
  with ROWS.open(newline="", encoding="utf-8") as file:
    header, *rows = csv.reader(file)
  values = np.array(rows, np.float32)[:, 1:]
  names, losses = header[1:4], values[:, :3]
  grams = values[:, 3:].reshape(-1, 3, 3)
  methods = {name: factory() for name, factory in METHODS.items()}
  del methods["fixed"], methods["dynamic_memory_fusion"]
  methods["dynamic_weight_average"] = weighting.per_epoch(
    weighting.dynamic_weight_average(include_current=True), STEPS_PER_EPOCH
  )
  statistics = ("variance", "mad", "bayesian")
  fusion = {f"dynamic_memory_fusion {s}": weighting.dynamic_memory_fusion(s) for s in statistics}
  panels = {**fusion, **methods}
  columns = 5
  rows_of_panels = -(-(len(panels) + 1) // columns)
  figure, axes = plt.subplots(
    rows_of_panels, columns, figsize=(15, 2.2 * rows_of_panels), sharex=True, layout="constrained"
  )
  flat = list(axes.flat)
  _lines(flat[0], losses, "the losses")
  for axis, (name, method) in zip(flat[1:], panels.items(), strict=False):
    weights = np.asarray(_weights(method, losses, grams))
    shares = weights / np.abs(weights).sum(axis=1, keepdims=True)
    _lines(axis, shares, name)
    axis.set_ylim(min(0, shares.min()) - 0.02, 1.02)
  for axis in flat[len(panels) + 1 :]:
    axis.set_axis_off()
  for axis in axes[-1]:
    axis.set_xlabel("step")
  figure.legend(flat[0].lines, names, loc="outside upper center", ncols=3, frameon=False)
  figure.savefig(FIGURE, dpi=90)


def _weights(method: LossWeighting, losses: np.ndarray, grams: np.ndarray) -> jax.Array:
  """Returns the weights [steps, K] over the recorded run."""

  def body(state, row):
    losses, gram, number = row
    key = jax.random.fold_in(jax.random.key(0), number)
    weights, state = method.update(losses, state, gram=gram, key=key)
    return state, weights

  inputs = (jnp.asarray(losses), jnp.asarray(grams), jnp.arange(len(losses)))
  return jax.jit(lambda: jax.lax.scan(body, method.init(losses[0]), inputs)[1])()


def _lines(axis: plt.Axes, values: np.ndarray, title: str) -> None:
  for k, colour in enumerate(COLOURS):
    axis.plot(values[:, k], color=colour, linewidth=1)
  axis.set_title(title, fontsize=9)
  axis.tick_params(labelsize=7)
  axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
  commands = {"record": record, "draw": draw}
  if len(sys.argv) != 2 or sys.argv[1] not in commands:
    raise SystemExit(f"usage: python {sys.argv[0]} {'|'.join(commands)}")
  commands[sys.argv[1]]()
