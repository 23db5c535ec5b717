"""What each weighting costs: by itself, and as a part of a training step of the BUSI U-Net.

    python benchmarks/weighting.py  # everything: about half an hour on two cores
    python benchmarks/weighting.py --methods=mgda,cagrad --rounds=10 --no-torch

Three tables are printed, and with `--csv=FILE` the rows of the first two are written.

1. Microseconds per update under jit, in a compiled loop, for 3, 8 and 64 losses.
2. A training step with the weighting, as a ratio to the step with fixed weights that ran just
   before or after it: the median and the quartiles over the rounds. A ratio near 1 drowns in the
   noise of a shared machine, so beside it stands the weighting alone as a share of the step. For
   methods that compare gradients, 'logits' is the Gram matrix at the network's outputs and
   'params' that of K separate backward passes.
3. Where the extra `peers` is installed: steps of LibMTL and TorchJD with the same network and
   losses in torch, as ratios to torch's own step on the plain sum.
"""

import argparse
import csv
import random
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlseg import weighting
from mlseg.data import pipeline
from mlseg.devices import compiler
from mlseg.recipe import data as recipe_data
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import model as recipe_model
from mlseg.recipe import optimizer as recipe_optimizer
from mlseg.recipe import parse
from mlseg.training import batches, objective
from mlseg.training import step as train_step
from mlseg.weighting.registry import METHODS

CONFIG = "configs/dmf_busi.py:fixed"
NUM_LOSSES = (3, 8, 64)
ALONE_SECONDS = 0.1  # of one timing of the updates alone
Step = Callable[[], Any]


class Cost(NamedTuple):
  """The figures of one method."""

  method: str
  microseconds: dict[int, float]  # per update, by the number of losses
  ratios: tuple[float, float, float]  # step at the logits to a fixed one: quartiles
  backward_share: float  # what it adds, as a share of one backward pass


def update_time(method: weighting.LossWeighting, num_losses: int) -> float:
  """Returns the seconds of one update in a compiled loop."""
  rng = np.random.default_rng(0)
  losses = jnp.asarray(rng.gamma(2.0, 1.0, (16, num_losses)), jnp.float32)
  rows = jnp.asarray(rng.normal(size=(16, num_losses, 2 * num_losses)), jnp.float32)
  grams = rows @ rows.swapaxes(1, 2)

  @jax.jit
  def loop(state: Any, num_updates: jax.Array) -> Any:
    def body(i: jax.Array, carry: Any) -> Any:
      state, total = carry
      key = jax.random.fold_in(jax.random.key(0), i)
      weights, state = method.update(losses[i % 16], state, gram=grams[i % 16], key=key)
      return state, total + weights

    return jax.lax.fori_loop(0, num_updates, body, (state, jnp.zeros(num_losses)))

  state = method.init(losses[0])

  def seconds(number: int) -> float:
    started = time.perf_counter()
    jax.block_until_ready(loop(state, number))
    return time.perf_counter() - started

  seconds(1)
  number = 16
  while seconds(number) < ALONE_SECONDS / 4:
    number *= 4
  return min(seconds(number) for _ in range(5)) / number


class Network(NamedTuple):
  """What the steps of all variants have in common."""

  config: Any
  loss_fn: weighting.SplitLoss
  variables: Any
  batch: batches.Batch


def make_network(batch_size: int) -> Network:
  """Returns the network of the recipe, with one batch of its data."""
  config = parse.parse(["", f"--config={CONFIG}", f"--config.batch_size={batch_size}"])[0]
  cases = recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets])
  images = pipeline.to_float(jnp.asarray(cases.images[:batch_size]))
  masks = jnp.asarray(cases.masks[:batch_size])
  batch = batches.Batch(images, masks)
  model = recipe_model.make_model(config, 2)
  loss_fn = objective.make_loss_fn(
    model, recipe_losses.make_losses(recipe_losses.read(config), 2), 2
  )
  return Network(config, loss_fn, model.init(jax.random.key(0), images[:1]), batch)


def make_training_step(network: Network, method: weighting.LossWeighting, gram_at: str) -> Step:
  """Returns a function that trains one step and waits for it."""
  optimizer = recipe_optimizer.make_optimizer(network.config, 1000)
  step = train_step.make_step(network.loss_fn, optimizer, method, gram_at=gram_at)
  variables = jax.tree.map(jnp.copy, network.variables)
  names = tuple(recipe_losses.loss_names(network.config))
  state = train_step.init_state(jax.random.key(0), variables, optimizer, method, names)
  compiled = jax.jit(step, donate_argnums=0).lower(state, network.batch)
  run = compiled.compile(compiler.compiler_options())
  held = [state]

  def one() -> None:
    held[0], log = run(held[0], network.batch)
    jax.block_until_ready((held[0], log))

  return one


def make_forward(network: Network) -> Step:
  """Returns a function that computes the losses alone, and waits for them."""
  params = network.variables["params"]
  model_state = {name: v for name, v in network.variables.items() if name != "params"}
  lowered = jax.jit(network.loss_fn).lower(params, model_state, network.batch)
  run = lowered.compile(compiler.compiler_options())
  return lambda: jax.block_until_ready(run(params, model_state, network.batch))


def paired_ratios(
  variants: dict[str, Step], baseline: Step, rounds: int
) -> dict[str, tuple[list[float], list[float]]]:
  """Returns, per variant, its times, and their ratios to the baseline's run next to each.

  In every round the variants run in a new order, and the order of baseline and variant is random.
  """
  results: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in variants}
  for step in (baseline, *variants.values()):
    step()
  for _ in range(rounds):
    for name in random.sample(list(variants), len(variants)):
      pair = [("baseline", baseline), ("variant", variants[name])]
      random.shuffle(pair)
      seconds = {which: _time(step) for which, step in pair}
      times, ratios = results[name]
      times.append(seconds["variant"])
      ratios.append(seconds["variant"] / seconds["baseline"])
  return results


def _time(step: Step) -> float:
  started = time.perf_counter()
  step()
  return time.perf_counter() - started


def _quartiles(values: Iterable[float]) -> tuple[float, float, float]:
  low, middle, high = statistics.quantiles(values, n=4)
  return low, middle, high


def _table(header: str, rows: Iterable[Iterable[str]]) -> str:
  columns = header.count("|") + 1
  lines = [f"| {header} |", "|" + "---|" * columns]
  return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])


def _steps_table(network: Network, names: list[str], alone: dict, rounds: int) -> list[Cost]:
  methods = {name: factory() for name, factory in METHODS.items()}
  baseline = make_training_step(network, weighting.fixed(), "logits")
  variants = {"forward pass alone": make_forward(network)}
  variants["fixed, again"] = make_training_step(network, weighting.fixed(), "logits")
  variants["any Gram method, params"] = make_training_step(network, methods["mgda"], "params")
  for name in names:
    variants[name] = make_training_step(network, methods[name], "logits")
  results = paired_ratios(variants, baseline, rounds)
  step = statistics.median(results["fixed, again"][0])
  forward = statistics.median(results["forward pass alone"][1]) * step
  print(
    f"A step with fixed weights takes {1e3 * step:.1f} ms, {1e3 * forward:.1f} of them forward."
  )
  rows, quartiles = [], {}
  for name, (_, ratios) in results.items():
    low, middle, high = quartiles[name] = _quartiles(ratios)
    shown = f"{100 * alone[name][3] / step:.4f} %" if name in alone else ""
    rows.append((name, f"{middle:.3f}", f"{low:.3f} to {high:.3f}", shown))
  print(_table("weighting | step, ratio to fixed | quartiles | alone, share of the step", rows))
  # The Gram matrix costs the same for all that need one; beside it a method adds its own update.
  gram_ratios = [quartiles[name][1] for name in names if methods[name].needs_gram]
  gram = max(statistics.median(gram_ratios) - 1, 0) * step if gram_ratios else 0.0
  backward = step - forward
  costs = []
  for name in names:
    added = alone[name][3] + (gram if methods[name].needs_gram else 0.0)
    costs.append(Cost(name, alone[name], quartiles[name], added / backward))
  return costs


def _peers_table(network: Network, rounds: int) -> None:
  try:
    import torch_peers
  except ImportError as error:
    print(f"No steps of torch: {error}.")
    return
  images, masks = (np.asarray(part) for part in network.batch[:2])
  options = network.config.model
  variants = dict(torch_peers.steppers(images, masks, options.depth, options.filters))
  baseline = variants.pop("torch, plain sum")
  results = paired_ratios(variants, baseline, rounds)
  rows = []
  for name, (_, ratios) in results.items():
    low, middle, high = _quartiles(ratios)
    rows.append((name, f"{middle:.3f}", f"{low:.3f} to {high:.3f}"))
  print(_table("in torch | step, ratio to torch's plain sum | quartiles", rows))


def _write(path: str, costs: list[Cost]) -> None:
  with open(path, "w", newline="", encoding="utf-8") as file:
    writer = csv.writer(file, lineterminator="\n")
    sizes = [f"microseconds_{number}" for number in NUM_LOSSES]
    writer.writerow(["method", *sizes, "step_ratio", "low", "high", "backward_share"])
    for cost in costs:
      low, middle, high = cost.ratios
      numbers = [*(1e6 * cost.microseconds[number] for number in NUM_LOSSES), middle, low, high]
      writer.writerow([cost.method, *(f"{x:.4g}" for x in [*numbers, cost.backward_share])])


def benchmark(arguments: argparse.Namespace) -> None:
  """Prints the tables."""
  methods = {name: factory() for name, factory in METHODS.items()}
  names = arguments.methods.split(",") if arguments.methods else list(methods)
  alone: dict[str, dict[int, float]] = {}
  for name in names:
    alone[name] = {number: update_time(methods[name], number) for number in NUM_LOSSES}
  device = jax.devices()[0].device_kind
  print(
    f"{device}, jax {jax.__version__}, batch {arguments.batch_size}, {arguments.rounds} rounds\n"
  )
  rows = ((name, *(f"{1e6 * alone[name][n]:.3g}" for n in NUM_LOSSES)) for name in names)
  print(_table("µs per update | K = 3 | K = 8 | K = 64", rows))
  network = make_network(arguments.batch_size)
  costs = _steps_table(network, names, alone, arguments.rounds)
  if arguments.csv:
    _write(arguments.csv, costs)
  if arguments.torch:
    _peers_table(network, arguments.rounds)


if __name__ == "__main__":
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--methods", default="", help="names, separated by commas; default: all")
  parser.add_argument("--rounds", type=int, default=25)
  parser.add_argument("--batch-size", type=int, default=8)
  parser.add_argument("--csv", default="", help="file for the rows")
  parser.add_argument("--torch", action=argparse.BooleanOptionalAction, default=True)
  benchmark(parser.parse_args())
