"""The multi-task network as numbers, and its data, as in `configs/multitask_busi.py`.

The network is an encoder with a U-Net's decoder and a classification head. The decoder has five
levels: a 2×2 transposed convolution with a bias, whose result is concatenated with the encoder's
features of that size, and twice 3×3 convolution, batch norm and ReLU. A 1×1 convolution is last.
The head takes the mean of the last features, then a dense layer with ReLU, and a dense layer.

A problem's depth is the number of halvings in the encoder, and its filters are those of the
decoder's finest level, which double from level to level.
"""

import numpy as np

from speed_parts.problem import Problem, level_sizes

NAMES = {
  "mobilenet_v2": "MobileNetV2 with a U-Net's decoder and a head of classes",
  "efficientnet_lite0": "EfficientNet-Lite0 with a U-Net's decoder and a head of classes",
}
MOBILENET = "mobilenet_v2"
UNITS = 128  # of the head's hidden layer
NUM_LABELS = 2  # benign and malignant
# 'balanced': n / (2 n_c), of the 437 benign and 210 malignant cases.
LABEL_WEIGHTS = (647 / (2 * 437), 647 / (2 * 210))
LOSS_WEIGHTS = {"cross_entropy": 5.0, "classification_weighted_cross_entropy": 1.0}
# Of the encoders without their classifiers, in the networks of Keras and PyTorch alike.
ENCODER_PARAMS = {"mobilenet_v2": 2_223_872, "efficientnet_lite0": 3_371_008}
ENCODER_FILTERS = {  # of their features, coarsest first
  "mobilenet_v2": (1280, 96, 32, 24, 16),
  "efficientnet_lite0": (1280, 112, 40, 24, 16),
}

REFERENCE = Problem(depth=5, filters=16, size=128, batch=32)
TOY = Problem(depth=5, filters=2, size=64, batch=4)


def decoder_filters(problem: Problem) -> tuple[int, ...]:
  """Returns the channels of the decoder's levels, coarsest first."""
  return tuple(reversed(level_sizes(problem)[: problem.depth]))


def make_labels(problem: Problem) -> np.ndarray:
  """Returns diagnoses [B], int32; a third is malignant, as in BUSI."""
  return (np.arange(problem.batch) % 3 == 0).astype(np.int32)


def num_params(problem: Problem, encoder: str = MOBILENET) -> int:
  """Returns the number of parameters."""
  filters = decoder_filters(problem)
  deepest, *others = ENCODER_FILTERS[encoder]
  coarse = (deepest, *filters)
  skips = (*others, 0)  # the finest level has no skip

  def level(before: int, after: int, skip: int) -> int:
    """Counts the transposed convolution, and two convolutions with scale and shift each."""
    return (4 * before + 1) * after + 9 * after * (after + skip + after) + 2 * 2 * after

  decoder = sum(map(level, coarse, filters, skips))
  scores = (filters[-1] + 1) * problem.num_classes
  head = (deepest + 1) * UNITS + (UNITS + 1) * NUM_LABELS
  return ENCODER_PARAMS[encoder] + decoder + scores + head
