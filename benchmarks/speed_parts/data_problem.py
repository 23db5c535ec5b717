"""A folder of many images and masks, made for the part 'data'."""

import os
import pathlib

import cv2
import numpy as np

DISTINCT = 200  # images that are made; the others are further names of the same files


def make_folder(root: pathlib.Path, count: int, side: int) -> None:
  """Writes grey images [side, side], smooth with noise, and masks of one disc.

  Args:
    root: of the folders `images` and `masks`, made if they are missing.
    count: number of images.
    side: of each, pixels.
  """
  rows, columns = np.mgrid[:side, :side] / side
  for name in ("images", "masks"):
    (root / name).mkdir(parents=True, exist_ok=True)
  for n in range(count):
    paths = [root / name / f"case{n}.png" for name in ("images", "masks")]
    if n >= DISTINCT:
      for path in paths:
        os.link(path.with_name(f"case{n % DISTINCT}.png"), path)
      continue
    rng = np.random.default_rng(n)
    smooth = cv2.resize(rng.normal(size=(16, 16)), (side, side), interpolation=cv2.INTER_CUBIC)
    (row, column), radius = rng.uniform(0.2, 0.8, 2), rng.uniform(0.05, 0.2)
    mask = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
    image = 120 + 40 * smooth + 50 * mask + 6 * rng.normal(size=mask.shape)
    cv2.imwrite(str(paths[0]), np.clip(image, 0, 255).astype(np.uint8))
    cv2.imwrite(str(paths[1]), 255 * mask.astype(np.uint8))
