"""The multi-task network in PyTorch, on MobileNetV2 or EfficientNet-Lite0, eager or compiled."""

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


class EfficientNetLite(nn.Module):
  """Maps images [B, 3, H, W] to the features of EfficientNet-Lite0, finest first."""

  def __init__(self, size: int):
    super().__init__()
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=size)
    self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6(inplace=True))
    self.blocks = network._blocks
    self.last = nn.Sequential(network._conv_head, network._bn1, nn.ReLU6(inplace=True))

  def forward(self, images: Tensor) -> list[Tensor]:
    """Returns the outputs of the last blocks before each halving, and of the last convolution."""
    activations, features = self.stem(images), []
    for block in self.blocks:
      if tuple(block._depthwise_conv.stride) == (2, 2):
        features.append(activations)
      activations = block(activations)
    return [*features, self.last(activations)]


class MobileNet(nn.Sequential):
  """Maps images [B, 3, H, W] to the features of MobileNetV2, finest first."""

  def __init__(self):
    super().__init__(*torchvision_models().mobilenet_v2(weights=None).features)

  def forward(self, images: Tensor) -> list[Tensor]:
    """Returns the outputs of the layers `ENDS`."""
    activations, features = images, []
    for index, layer in enumerate(self):
      activations = layer(activations)
      if index in ENDS:
        features.append(activations)
    return features


class MultiTaskUNet(nn.Module):
  """Maps images [B, 1, H, W] in [0, 1] to logits [B, C, H, W] and [B, labels]."""

  def __init__(self, problem: Problem, encoder: str = problems.MOBILENET):
    super().__init__()
    is_mobile = encoder == problems.MOBILENET
    self.encoder = MobileNet() if is_mobile else EfficientNetLite(problem.size)
    filters = problems.decoder_filters(problem)
    deepest, *others = problems.ENCODER_FILTERS[encoder]
    coarse = (deepest, *filters)
    skips = (*others, 0)
    self.levels = nn.ModuleList(map(Level, coarse, filters, skips))
    self.segmentation = nn.Conv2d(filters[-1], problem.num_classes, 1)
    self.hidden = nn.Linear(deepest, problems.UNITS)
    self.classification = nn.Linear(problems.UNITS, problems.NUM_LABELS)
    self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
    self.register_buffer("std", torch.tensor(STD).reshape(1, 3, 1, 1))

  def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the scores of pixels and of images; a grey image is repeated to three channels."""
    features = self.encoder((images - self.mean) / self.std)
    activations = features[-1]
    pooled = activations.mean((2, 3))
    skips: list[Tensor | None] = [*reversed(features[:-1]), None]
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
  network = MultiTaskUNet(problem, options.get("encoder", problems.MOBILENET))
  return in_torch.session_of(network, images, truth, total, options)
