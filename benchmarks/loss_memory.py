"""Compares the peak memory of training under several losses with that under one loss.

    python benchmarks/loss_memory.py [--small] [--out=FOLDER]

Prints a table, and writes `loss_memory.json` into the folder, by default `results/` beside the
script.

The network is that of `configs/response_ct.py` with all its heads. A training step is compiled
under all five losses, and under each of two single losses; XLA leaves out the heads that a loss
does not read. The memory is that of the arguments and temporaries, as the compiler plans it, so the
numbers are deterministic and nothing is run. The published bound for several losses is 1.15 to 1.20
times the memory of a single one.
"""

import argparse
import json
import pathlib
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))

from mlseg.devices import compiler
from mlseg.recipe import data as recipe_data
from mlseg.recipe import gram as recipe_gram
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import model as recipe_model
from mlseg.recipe import optimizer as recipe_optimizer
from mlseg.recipe import parse
from mlseg.recipe import weighting as recipe_weighting
from mlseg.training import batches, objective
from mlseg.training import step as train_step

RECIPE = ROOT / "configs" / "response_ct.py"
SINGLE = ("classification_cross_entropy", "soft_dice")
SMALL = (
  "batch_size=4", "data.image_size=64", "data.cohort.slices=4", "model.width=0.35",
  "model.convention=keras",
)  # fmt: skip


class Memory(NamedTuple):
  """The memory of a compiled program, in bytes."""

  arguments: int
  temporary: int

  @property
  def peak(self) -> int:
    """Returns the bytes that are held at the same time."""
    return self.arguments + self.temporary


def measure(losses: tuple[str, ...], overrides: tuple[str, ...] = ()) -> Memory:
  """Returns the memory of a training step of the recipe's network.

  Args:
    losses: names of losses of the recipe; (): all of them.
    overrides: settings of the config, such as 'batch_size=4'.
  """
  flags = [f"--config.{override}" for override in overrides]
  config, _ = parse.parse(["", f"--config={RECIPE}", "--config.model.pretrained=none", *flags])
  config.losses = losses or config.losses
  if len(config.losses) == 1:
    config.weighting.name, config.weighting.per_epoch = "fixed", False
  config.weighting.fixed = (1.0,) * len(config.losses)
  model = recipe_model.make_model(config, 2, 2)
  edges = jnp.arange(1.0, config.model.num_textures)
  functions = recipe_losses.make_losses(recipe_losses.read(config), 2, 2, edges=edges)
  loss_fn = objective.make_loss_fn(model, functions, 2)
  optimizer = recipe_optimizer.make_optimizer(config, 100)
  method = recipe_weighting.make_weighting(config, 10)
  gram_at = recipe_gram.place(config.weighting.gram_at, config.losses)
  step = train_step.make_step(loss_fn, optimizer, method, gram_at)
  height, width = recipe_data.read(config).input_shape
  count = config.batch_size
  masks = jax.ShapeDtypeStruct((count, height, width), jnp.uint8)
  batch = batches.Batch(
    masks.update(shape=(*masks.shape, 1), dtype=jnp.float32),
    masks,
    jax.ShapeDtypeStruct((count,), jnp.int32),
    valid=masks.update(dtype=bool),
    textures=jax.ShapeDtypeStruct((count,), jnp.float32),
  )

  def init(key: jax.Array) -> train_step.TrainState:
    variables = model.init(key, jnp.zeros((1, height, width, 1)))
    return train_step.init_state(key, variables, optimizer, method, tuple(functions))

  state = jax.eval_shape(init, jax.random.key(0))
  lowered = jax.jit(step, donate_argnums=0).lower(state, batch)
  found = lowered.compile(compiler.compiler_options()).memory_analysis()
  return Memory(found.argument_size_in_bytes, found.temp_size_in_bytes)


def main() -> None:
  """Prints the table and writes the file."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--small", action="store_true", help="toy sizes: tests the benchmark itself")
  parser.add_argument("--out", type=pathlib.Path, default=HERE / "results", help="output folder")
  options = parser.parse_args()
  overrides = SMALL if options.small else ()
  whole = measure((), overrides)
  print(f"jax {jax.__version__}, {jax.default_backend()}")
  print(
    f"all five losses: {whole.peak / 1e6:.0f} MB, of which {whole.temporary / 1e6:.0f} temporary"
  )
  found = {"all": whole}
  for name in SINGLE:
    found[name] = one = measure((name,), overrides)
    ratio = whole.peak / one.peak
    print(f"{name} alone: {one.peak / 1e6:.0f} MB; all five need {ratio:.3f} times as much")
  table = {name: one._asdict() | {"peak": one.peak} for name, one in found.items()}
  table["jax"], table["device"] = jax.__version__, jax.default_backend()
  (options.out / "loss_memory.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
  main()
