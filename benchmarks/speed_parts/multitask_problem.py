"""The multi-task network as numbers, and its data, as in `configs/multitask_busi.py`.

The network is MobileNetV2 with a U-Net's decoder and a classification head. The decoder has five
levels: a 2×2 transposed convolution with a bias, whose result is concatenated with the encoder's
features of that size, and twice 3×3 convolution, batch norm and ReLU. A 1×1 convolution is last.
The head takes the mean of the last features, then a dense layer with ReLU, and a dense layer.

A problem's depth is the number of halvings in the encoder, and its filters are those of the
decoder's finest level, which double from level to level.
"""

import numpy as np

from speed_parts.problem import Problem, level_sizes

NAME = "MobileNetV2 with a U-Net's decoder and a head of classes"
UNITS = 128  # of the head's hidden layer
NUM_LABELS = 2  # benign and malignant
# 'balanced': n / (2 n_c), of the 437 benign and 210 malignant cases.
LABEL_WEIGHTS = (647 / (2 * 437), 647 / (2 * 210))
LOSS_WEIGHTS = {"cross_entropy": 5.0, "classification_weighted_cross_entropy": 1.0}
# Of MobileNetV2 of width 1 without its classifier, in Keras and torchvision alike.
ENCODER_PARAMS = 2_223_872
ENCODER_FILTERS = (1280, 96, 32, 24, 16)  # of its features, coarsest first

REFERENCE = Problem(depth=5, filters=16, size=128, batch=32)
TOY = Problem(depth=5, filters=2, size=64, batch=4)


def decoder_filters(problem: Problem) -> tuple[int, ...]:
  """Returns the channels of the decoder's levels, coarsest first."""
  return tuple(reversed(level_sizes(problem)[: problem.depth]))


def make_labels(problem: Problem) -> np.ndarray:
  """Returns diagnoses [B], int32; a third is malignant, as in BUSI."""
  return (np.arange(problem.batch) % 3 == 0).astype(np.int32)


def num_params(problem: Problem) -> int:
  """Returns the number of parameters."""
  filters = decoder_filters(problem)
  coarse = (ENCODER_FILTERS[0], *filters)
  skips = (*ENCODER_FILTERS[1:], 0)  # the finest level has no skip

  def level(before: int, after: int, skip: int) -> int:
    """Counts the transposed convolution, and two convolutions with scale and shift each."""
    return (4 * before + 1) * after + 9 * after * (after + skip + after) + 2 * 2 * after

  decoder = sum(map(level, coarse, filters, skips))
  scores = (filters[-1] + 1) * problem.num_classes
  head = (ENCODER_FILTERS[0] + 1) * UNITS + (UNITS + 1) * NUM_LABELS
  return ENCODER_PARAMS + decoder + scores + head
