"""The multi-task network in PyTorch, with torchvision's MobileNetV2, eager or compiled."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from speed_parts import in_torch
from speed_parts import multitask_problem as problems
from speed_parts.problem import NORM_EPSILON, NORM_MOMENTUM, Problem, make_data
from speed_parts.torchvision_models import torchvision_models
from speed_parts.worker import Session

# ImageNet's mean and standard deviation, for images in [0, 1].
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
ENDS = (1, 3, 6, 13, 18)  # indices of the layers whose outputs are features, at strides 2 to 32


class Level(nn.Module):
  """A level of the decoder, which doubles the height and width of its input."""

  def __init__(self, before: int, filters: int, skip: int):
    super().__init__()
    self.up = nn.ConvTranspose2d(before, filters, 2, 2)
    layers: list[nn.Module] = []
    for channels in (filters + skip, filters):
      layers.append(nn.Conv2d(channels, filters, 3, padding=1, bias=False))
      layers.append(nn.BatchNorm2d(filters, eps=NORM_EPSILON, momentum=1 - NORM_MOMENTUM))
      layers.append(nn.ReLU(inplace=True))  # as in torchvision's encoder
    self.merge = nn.Sequential(*layers)

  def forward(self, coarse: Tensor, skip: Tensor | None) -> Tensor:
    """Returns features of twice the size of `coarse`, which is the size of `skip`."""
    activations = self.up(coarse)
    if skip is not None:
      activations = torch.cat([activations, skip], dim=1)
    return self.merge(activations)


class MultiTaskUNet(nn.Module):
  """Maps images [B, 1, H, W] in [0, 1] to logits [B, C, H, W] and [B, labels]."""

  def __init__(self, problem: Problem):
    super().__init__()
    self.encoder = torchvision_models().mobilenet_v2(weights=None).features
    filters = problems.decoder_filters(problem)
    coarse = (problems.ENCODER_FILTERS[0], *filters)
    skips = (*problems.ENCODER_FILTERS[1:], 0)
    self.levels = nn.ModuleList(map(Level, coarse, filters, skips))
    self.segmentation = nn.Conv2d(filters[-1], problem.num_classes, 1)
    self.hidden = nn.Linear(problems.ENCODER_FILTERS[0], problems.UNITS)
    self.classification = nn.Linear(problems.UNITS, problems.NUM_LABELS)
    self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
    self.register_buffer("std", torch.tensor(STD).reshape(1, 3, 1, 1))

  def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the scores of pixels and of images; a grey image is repeated to three channels."""
    activations = (images - self.mean) / self.std
    features: list[Tensor | None] = []
    for index, layer in enumerate(self.encoder):
      activations = layer(activations)
      if index in ENDS:
        features.append(activations)
    pooled = activations.mean((2, 3))
    skips = [*reversed(features[:-1]), None]
    for level, skip in zip(self.levels, skips, strict=True):
      activations = level(activations, skip)
    hidden = functional.relu(self.hidden(pooled))
    return self.segmentation(activations), self.classification(hidden)


def losses_of(outputs: tuple[Tensor, Tensor], masks: Tensor, labels: Tensor) -> Tensor:
  """Returns the cross-entropies [2] of the pixels and, weighted by class, of the images.

  The mean is over images, as in Keras and mlseg; PyTorch's would divide by the sum of the weights.
  """
  logits, class_logits = outputs
  weights = class_logits.new_tensor(problems.LABEL_WEIGHTS)
  diagnosis = functional.cross_entropy(class_logits, labels, weight=weights, reduction="none")
  return torch.stack([functional.cross_entropy(logits, masks), diagnosis.mean()])


def total(outputs: tuple[Tensor, Tensor], masks: Tensor, labels: Tensor) -> Tensor:
  """Returns the weighted sum of the losses."""
  losses = losses_of(outputs, masks, labels)
  return (losses * losses.new_tensor(tuple(problems.LOSS_WEIGHTS.values()))).sum()


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Builds the network; the options are those of `in_torch.session_of`."""
  torch.manual_seed(problem.seed)
  images, masks = make_data(problem)
  truth = tuple(
    torch.tensor(part, dtype=torch.long) for part in (masks, problems.make_labels(problem))
  )
  return in_torch.session_of(MultiTaskUNet(problem), images, truth, total, options)
