"""The network that all frameworks train, as numbers, and its data; imports numpy alone.

The reference is a U-Net. Each level of encoder and decoder has two times 3×3 convolution, batch
norm and ReLU. Between levels are 2×2 max pooling in the encoder, and in the decoder a 2×2
transposed convolution, whose result is concatenated with the encoder's. A convolution has a bias
unless batch norm follows, which would cancel it; with these biases the network would have 1,943,778
parameters.
"""

import itertools
from typing import NamedTuple

import numpy as np

NORM_MOMENTUM = 0.9  # share of the old value in the running statistics
NORM_EPSILON = 1e-5
LEARNING_RATE = 1e-3  # of Adam
SMOOTH = 1e-5  # in numerator and denominator of the overlap losses
LOSSES = ("cross_entropy", "soft_iou", "soft_dice")


class Problem(NamedTuple):
  """A network and its input."""

  depth: int = 4  # how many times the image is halved
  filters: int = 16  # channels of the first level
  size: int = 128  # side of an image, pixels
  batch: int = 16
  num_classes: int = 2
  seed: int = 0


REFERENCE = Problem()
TOY = Problem(depth=1, filters=4, size=16, batch=4)  # compiles in seconds


def level_sizes(problem: Problem) -> list[int]:
  """Returns the channels of all levels."""
  return [problem.filters << level for level in range(problem.depth + 1)]


def num_params(problem: Problem) -> int:
  """Returns the number of parameters."""
  sizes = level_sizes(problem)

  def block(before: int, after: int) -> int:
    """Counts two convolutions, each with scale and shift of a batch norm."""
    return 9 * after * (before + after) + 2 * 2 * after

  encoder = sum(block(a, b) for a, b in zip([1, *sizes[:-1]], sizes, strict=True))
  decoder = sum(
    4 * below * here + here + block(2 * here, here) for here, below in itertools.pairwise(sizes)
  )
  return encoder + decoder + (sizes[0] + 1) * problem.num_classes


def make_data(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
  """Returns images [B, H, W, 1] float32 and masks [B, H, W] uint8: bright ellipses in noise."""
  rng = np.random.default_rng(problem.seed)
  rows, columns = np.mgrid[: problem.size, : problem.size] / problem.size
  masks = np.zeros((problem.batch, problem.size, problem.size), np.uint8)
  for mask in masks:
    row, column = rng.uniform(0.3, 0.7, 2)
    height, width = rng.uniform(0.1, 0.3, 2)
    mask[((rows - row) / height) ** 2 + ((columns - column) / width) ** 2 < 1] = 1
  images = 0.3 + 0.3 * masks + 0.2 * rng.standard_normal(masks.shape)
  return images[..., None].astype(np.float32), masks
