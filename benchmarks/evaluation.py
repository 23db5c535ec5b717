"""Times metrics beside the forward pass, on 1 000 images of 512×512 with the U-Net of `dmf_busi`.

    python benchmarks/evaluation.py  # about ten minutes on two cores
    python benchmarks/evaluation.py --images=100 --size=256

1. Evaluation with all overlap metrics, per case and summarised, as a ratio to the forward pass
   alone. Both run over the same chunk of images one after the other, in random order, so that a
   slow moment of the machine affects both. The ratio is that of the sums over all chunks.
2. Surface metrics of the same number of masks, in one process and in one for each CPU.

The images are noise and the masks smooth random regions. The content of the images does not affect
the times of overlap metrics, and hardly those of surface metrics.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Generator

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from mlseg import metrics
from mlseg.data import pipeline
from mlseg.devices import compiler
from mlseg.metrics import process_pool
from mlseg.recipe import model as recipe_model
from mlseg.recipe import parse
from mlseg.training.evaluation import make_evaluate

CHUNK = 20
BATCH = 4


def make_masks(count: int, size: int, seed: int) -> np.ndarray:
  """Returns masks [N, size, size] uint8, each with a region of about a tenth of the pixels."""
  rng = np.random.default_rng(seed)
  coarse = rng.normal(size=(count, size // 16, size // 16))
  smooth = ndimage.zoom(ndimage.gaussian_filter(coarse, (0, 2, 2)), (1, 16, 16), order=1)
  limits = np.quantile(smooth, 0.9, axis=(1, 2), keepdims=True)
  return (smooth > limits).astype(np.uint8)


def time_overlap(num_images: int, size: int) -> None:
  """Prints the ratio of the time of an evaluation to that of its forward pass."""
  config = parse.parse(["", "--config=configs/dmf_busi.py"])[0]
  model = recipe_model.make_model(config, 2)
  shape = jnp.zeros((1, size, size, 1))
  variables = model.init(jax.random.key(0), shape)

  def predict(variables, images):
    return model.apply(variables, pipeline.to_float(images), False)[0]

  def forward(variables, images):
    batches = images.reshape(-1, BATCH, *images.shape[1:])
    return jax.lax.map(lambda batch: predict(variables, batch).logits, batches)

  options = compiler.compiler_options()
  run_forward = jax.jit(forward, compiler_options=options)
  run_evaluate = jax.jit(make_evaluate(predict, 2, BATCH), compiler_options=options)
  masks = make_masks(num_images, size, 0)
  rng = np.random.default_rng(1)
  counts, ratios, totals = [], [], {"forward": 0.0, "evaluate": 0.0}
  for start in range(-CHUNK, num_images, CHUNK):  # the first chunk compiles, and is not counted
    images = rng.integers(0, 256, (CHUNK, size, size, 1), np.uint8)
    chunk = masks[max(start, 0) : max(start, 0) + CHUNK]

    def evaluate(images=images, chunk=chunk):
      return metrics.per_case(run_evaluate(variables, images, chunk).counts), images

    variants: dict[str, Callable] = {
      "forward": lambda images=images: jax.block_until_ready(run_forward(variables, images)),
      "evaluate": evaluate,
    }
    seconds = {}
    for name in random.sample(list(variants), 2):
      started = time.perf_counter()
      variants[name]()
      seconds[name] = time.perf_counter() - started
    if start >= 0:
      counts.append(np.asarray(run_evaluate(variables, images, chunk).counts))
      ratios.append(seconds["evaluate"] / seconds["forward"])
      totals = {name: total + seconds[name] for name, total in totals.items()}
  started = time.perf_counter()
  metrics.summarize(np.concatenate(counts))
  summary = time.perf_counter() - started
  ratio = (totals["evaluate"] + summary) / totals["forward"]
  low, middle, high = statistics.quantiles(ratios, n=4)
  print(
    f"{num_images} images of {size}×{size}: forward {totals['forward']:.1f} s, evaluation"
    f" {totals['evaluate'] + summary:.1f} s, ratio {ratio:.3f}"
    f" (chunks: median {middle:.3f}, quartiles {low:.3f} to {high:.3f});"
    f" the summary alone {1e3 * summary:.1f} ms"
  )


def time_surfaces(num_images: int, size: int) -> None:
  """Prints the time of surface metrics in one process and in several."""
  masks = make_masks(num_images, size, 0)
  predictions = np.roll(masks, (3, 2), (1, 2)) | (make_masks(num_images, size, 2) & masks)
  seconds, tables = {}, []
  for number in (process_pool.usable_cpus(), 1):
    lines = _progress(f"{number} processes")
    started = time.perf_counter()
    tables.append(
      metrics.per_case_surface(
        predictions, masks, 2, num_processes=number, progress=lambda *n, lines=lines: lines.send(n)
      )
    )
    seconds[number] = time.perf_counter() - started
  for name, values in tables[0].metrics.items():
    np.testing.assert_array_equal(values, tables[1].metrics[name])
  text = ", ".join(f"{number} process(es) {value:.1f} s" for number, value in seconds.items())
  print(f"surface metrics of {num_images} images of {size}×{size}, two classes: {text}")


def _progress(title: str) -> Generator:
  """Returns a generator that is sent (done, total) and prints a line at each tenth of the work."""

  def lines():
    tenth = 0
    while True:
      done, total = yield
      if 10 * done // total > tenth:
        tenth = 10 * done // total
        print(f"  {title}: {done}/{total}", flush=True)

  printer = lines()
  next(printer)
  return printer


if __name__ == "__main__":
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--images", type=int, default=1000, help="a multiple of 20, at least 40")
  parser.add_argument("--size", type=int, default=512, help="a multiple of 16")
  arguments = parser.parse_args()
  time_overlap(arguments.images, arguments.size)
  time_surfaces(arguments.images, arguments.size)
