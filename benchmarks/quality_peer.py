"""segmentation-models-pytorch's U-Net with its usual recipe, the peer of `quality.py`.

Dice loss + cross-entropy at equal weights, Adam with a cosine schedule, ImageNet weights in the
encoder, the variables of the best validation epoch. Augmentation is in torch, with the ranges of
the recipe of mlseg beside which it is trained.
"""

import copy
import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

# ImageNet's mean and standard deviation, of images in [0, 1].
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Options(NamedTuple):
  """What both trainings have in common."""

  encoder: str  # a name of segmentation-models-pytorch
  weights: str  # file of the encoder's weights under torchvision's names; '': from scratch
  num_epochs: int
  batch_size: int
  learning_rate: float
  augmentation: Mapping[str, float]  # of the recipe: ranges of the maps and of the intensity
  seed: int


class Part(NamedTuple):
  """Some cases of a data set."""

  images: np.ndarray  # [N, H, W, 1 or 3] uint8
  masks: np.ndarray  # [N, H, W] uint8, classes


class Peer(NamedTuple):
  """What a training gave."""

  predictions: np.ndarray  # [N, H, W] uint8, classes of the test cases
  validation: list[float]  # mean Dice of the lesion after each epoch
  seconds: float  # of training and validation
  params: int


def make_network(options: Options) -> nn.Module:
  """Returns the U-Net with two classes, its encoder with the weights of the file."""
  network = smp.Unet(options.encoder, encoder_weights=None, in_channels=3, classes=2)
  if options.weights:
    arrays = load_file(options.weights)
    missing = nn.Module.load_state_dict(network.encoder, arrays, strict=False).missing_keys
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing:
      raise ValueError(f"{options.weights} lacks {missing[:3]} of {options.encoder}")
  return network


def inputs_of(images: np.ndarray) -> Tensor:
  """Returns [N, 3, H, W] in [0, 1]; a grey image is repeated to three channels."""
  x = torch.tensor(images).permute(0, 3, 1, 2).float() / 255
  return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x


def augment(
  images: Tensor, masks: Tensor, ranges: Mapping[str, float], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
  """Returns images [B, 3, H, W] and masks [B, H, W] under random maps, as in mlseg's recipe."""
  count, height, width = masks.shape

  def uniform(largest: float) -> Tensor:
    return largest * (2 * torch.rand(count, generator=generator) - 1)

  angle = torch.deg2rad(uniform(ranges["rotation"]))
  slant = torch.tan(torch.deg2rad(uniform(ranges["shear"])))
  size = 1 + uniform(ranges["scale"])
  mirror = torch.where(torch.rand(count, generator=generator) < ranges["flip_horizontal"], -1.0, 1)
  cos, sin = torch.cos(angle), torch.sin(angle)
  rotate = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
  one, zero = torch.ones(count), torch.zeros(count)
  shear = torch.stack([torch.stack([one, slant], -1), torch.stack([zero, one], -1)], -2)
  flip = torch.stack([torch.stack([mirror, zero], -1), torch.stack([zero, one], -1)], -2)
  matrix = flip @ shear @ rotate / size[:, None, None]
  theta = torch.cat([matrix, torch.zeros(count, 2, 1)], -1)
  grid = functional.affine_grid(theta, [count, 1, height, width], align_corners=False)
  images = functional.grid_sample(images, grid, align_corners=False)
  labels = functional.grid_sample(
    masks[:, None].float(), grid, mode="nearest", align_corners=False
  )[:, 0].long()
  contrast, shift = (uniform(ranges[name])[:, None, None, None] for name in
                     ("contrast", "brightness"))  # fmt: skip
  mean = images.mean((1, 2, 3), keepdim=True)
  return (mean + (images - mean) * (1 + contrast) + shift).clamp(0, 1), labels


def train(options: Options, parts: Mapping[str, Part], threads: int) -> Peer:
  """Trains on the part 'train', chooses the epoch on 'validation', and predicts 'test'."""
  torch.manual_seed(options.seed)
  torch.set_num_threads(threads)
  generator = torch.Generator().manual_seed(options.seed)
  network = make_network(options).to(memory_format=torch.channels_last)
  mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
  images, masks = inputs_of(parts["train"].images), torch.tensor(parts["train"].masks).long()
  steps = len(images) // options.batch_size
  optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate)
  schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps * options.num_epochs)
  dice_loss = smp.losses.DiceLoss(mode="multiclass")
  scores: list[float] = []
  best: tuple[float, Any] = (-math.inf, None)
  started = time.perf_counter()
  for _ in range(options.num_epochs):
    network.train()
    order = torch.randperm(len(images), generator=generator)
    for own in order[: steps * options.batch_size].split(options.batch_size):
      x, y = augment(images[own], masks[own], options.augmentation, generator)
      x = ((x - mean) / std).contiguous(memory_format=torch.channels_last)
      optimizer.zero_grad(set_to_none=True)
      logits = network(x)
      (dice_loss(logits, y) + functional.cross_entropy(logits, y)).backward()
      optimizer.step()
      schedule.step()
    predicted = predict(network, parts["validation"].images, options.batch_size)
    scores.append(float(np.mean(lesion_dice(predicted, parts["validation"].masks))))
    if scores[-1] > best[0]:
      best = scores[-1], copy.deepcopy(network.state_dict())
  seconds = time.perf_counter() - started
  network.load_state_dict(best[1])
  predictions = predict(network, parts["test"].images, options.batch_size)
  return Peer(predictions, scores, seconds, sum(p.numel() for p in network.parameters()))


def predict(network: nn.Module, images: np.ndarray, batch_size: int) -> np.ndarray:
  """Returns the most probable classes [N, H, W] uint8."""
  network.eval()
  mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (MEAN, STD))
  with torch.inference_mode():
    parts = [
      network(((x - mean) / std).contiguous(memory_format=torch.channels_last)).argmax(1)
      for x in inputs_of(images).split(batch_size)
    ]
  return torch.cat(parts).to(torch.uint8).numpy()


def lesion_dice(predictions: np.ndarray, masks: np.ndarray) -> np.ndarray:
  """Returns [N], 2 |A ∩ B| / (|A| + |B|) of class 1; 1 where both are empty."""
  predicted, true = predictions == 1, masks == 1
  both = predicted.sum((1, 2)) + true.sum((1, 2))
  return np.where(both, 2 * (predicted & true).sum((1, 2)) / np.maximum(both, 1), 1.0)
