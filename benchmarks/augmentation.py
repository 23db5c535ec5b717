"""Times the elastic and affine warping of an image and its mask, beside scipy's.

    python benchmarks/augmentation.py
    python benchmarks/augmentation.py --size=128 --channels=1

The variants run in turn, in random order. The one with scipy smooths the same kind of random field
with `gaussian_filter`, and samples the image channel by channel (order 1) and the mask (order 0)
with `map_coordinates`. The third variant does the same with JAX's `map_coordinates`, in one
program. The ratios within each round are given as median and quartiles.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import ndimage as jax_ndimage
from scipy import ndimage

from mlseg.data import augmentation, spatial

OPTIONS = {"rotation": 180.0, "scale": 0.1, "elastic": 2.0, "elastic_sigma": 10.0}

# The scale of Simard's fields that gives the same standard deviation.
ALPHA = OPTIONS["elastic"] * 2 * np.sqrt(3 * np.pi) * OPTIONS["elastic_sigma"]


def in_scipy(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> None:
  """Warps an image [H, W, I] and its mask [H, W]."""
  centre = (np.array(mask.shape) - 1) / 2
  angle, size = np.deg2rad(rng.uniform(-180, 180)), rng.uniform(0.9, 1.1)
  matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / size
  grid = np.mgrid[: mask.shape[0], : mask.shape[1]].reshape(2, -1) - centre[:, None]
  points = (matrix @ grid + centre[:, None]).reshape(2, *mask.shape)
  for axis in range(2):
    field = rng.uniform(-1, 1, mask.shape).astype(np.float32)
    smooth = ndimage.gaussian_filter(field, OPTIONS["elastic_sigma"], mode="constant")
    points[axis] += ALPHA * smooth
  for channel in np.moveaxis(image, -1, 0):
    ndimage.map_coordinates(channel, points, order=1)
  ndimage.map_coordinates(mask, points, order=0)


def in_jax_scipy(key: jax.Array, images: jax.Array, masks: jax.Array) -> tuple:
  """Warps images [B, H, W, I] and masks [B, H, W] with JAX's `map_coordinates`."""
  keys = jax.random.split(key, 3)
  count = len(images)
  angle = jax.random.uniform(keys[0], (count,), minval=-np.pi, maxval=np.pi)
  size = jax.random.uniform(keys[1], (count,), minval=0.9, maxval=1.1)
  matrix = spatial.inverse_matrix(angle, jnp.zeros(count), size)
  fields = spatial.smooth_fields(keys[2], masks.shape, OPTIONS["elastic_sigma"])
  moved = OPTIONS["elastic"] * fields
  points = moved + spatial.affine(matrix, masks.shape)

  def one(image: jax.Array, mask: jax.Array, rows: jax.Array, columns: jax.Array) -> tuple:
    read = jax_ndimage.map_coordinates
    channels = [
      read(image[..., i].astype(jnp.float32), [rows, columns], 1) for i in range(image.shape[-1])
    ]
    return jnp.stack(channels, -1), read(mask, [rows, columns], 0)

  return jax.vmap(one)(images, masks, *points)


def main() -> None:
  """Prints the times per image and their ratios."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--size", type=int, default=250, help="side of the images, pixels")
  parser.add_argument("--channels", type=int, default=3, help="number of their channels")
  parser.add_argument("--batch", type=int, default=16, help="number of images at once")
  parser.add_argument("--rounds", type=int, default=15, help="how often each variant runs")
  options = parser.parse_args()
  rng = np.random.default_rng(0)
  shape = (options.batch, options.size, options.size)
  images = rng.integers(0, 256, (*shape, options.channels), np.uint8)
  masks = rng.integers(0, 3, shape).astype(np.uint8)
  on_device = jnp.asarray(images), jnp.asarray(masks)
  ours = jax.jit(lambda key: augmentation.augment(key, *on_device, **OPTIONS))
  plain = jax.jit(lambda key: in_jax_scipy(key, *on_device))

  def scipys(_: jax.Array) -> None:
    for image, mask in zip(images, masks, strict=True):
      in_scipy(rng, image.astype(np.float32), mask)

  variants: dict[str, Callable] = {"mlseg": ours, "JAX's map_coordinates": plain, "scipy": scipys}
  times: dict[str, list[float]] = {name: [] for name in variants}
  for number in range(-1, options.rounds):
    for name in random.sample(list(variants), len(variants)):
      start = time.perf_counter()
      jax.block_until_ready(variants[name](jax.random.key(number)))
      if number >= 0:  # the first round compiles
        times[name].append((time.perf_counter() - start) / options.batch)
  print(f"{options.size}×{options.size}×{options.channels}, batches of {options.batch}")
  for name, values in times.items():
    ratios = [value / own for value, own in zip(values, times["mlseg"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(
      f"{name}: {1e3 * statistics.median(values):.2f} ms an image,"
      f" {middle:.1f} ({low:.1f} to {high:.1f}) times mlseg's"
    )


if __name__ == "__main__":
  main()
