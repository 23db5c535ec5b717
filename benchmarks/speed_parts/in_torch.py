"""The reference network in PyTorch, with channels last, eager or compiled by `torch.compile`."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from speed_parts import problem as problems
from speed_parts.problem import Problem
from speed_parts.worker import Session


class UNet(nn.Module):
  """Maps images [B, 1, H, W] to logits [B, C, H, W]."""

  def __init__(self, problem: Problem):
    super().__init__()
    sizes = problems.level_sizes(problem)
    self.down = nn.ModuleList(
      self._block(before, after) for before, after in zip([1, *sizes[:-1]], sizes, strict=True)
    )
    levels = list(reversed(range(problem.depth)))
    self.ups = nn.ModuleList(nn.ConvTranspose2d(sizes[i + 1], sizes[i], 2, 2) for i in levels)
    self.merge = nn.ModuleList(self._block(2 * sizes[i], sizes[i]) for i in levels)
    self.head = nn.Conv2d(sizes[0], problem.num_classes, 1)

  @staticmethod
  def _block(before: int, after: int) -> nn.Module:
    layers: list[nn.Module] = []
    for channels in (before, after):
      layers.append(nn.Conv2d(channels, after, 3, padding=1, bias=False))
      momentum = 1 - problems.NORM_MOMENTUM
      layers.append(nn.BatchNorm2d(after, eps=problems.NORM_EPSILON, momentum=momentum))
      layers.append(nn.ReLU())
    return nn.Sequential(*layers)

  def forward(self, images: Tensor) -> Tensor:
    """Returns the logits."""
    skips = []
    activations = images
    for block in self.down[:-1]:
      skips.append(block(activations))
      activations = functional.max_pool2d(skips[-1], 2)
    activations = self.down[-1](activations)
    for up, block, skip in zip(self.ups, self.merge, reversed(skips), strict=True):
      activations = block(torch.cat([up(activations), skip], dim=1))
    return self.head(activations)


def losses_of(logits: Tensor, labels: Tensor) -> Tensor:
  """Returns cross-entropy, soft IoU and soft Dice [3] of logits [B, C, H, W], labels [B, H, W]."""
  masks = functional.one_hot(labels, logits.shape[1]).permute(0, 3, 1, 2).float()
  probabilities = logits.softmax(1)
  overlap = (probabilities * masks).sum((2, 3))
  both = probabilities.sum((2, 3)) + masks.sum((2, 3))
  smooth = problems.SMOOTH
  iou = 1 - ((overlap + smooth) / (both - overlap + smooth)).mean()
  dice = 1 - ((2 * overlap + smooth) / (both + smooth)).mean()
  return torch.stack([functional.cross_entropy(logits, labels), iou, dice])


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Builds the network; the options are those of `session_of`."""
  torch.manual_seed(problem.seed)
  images, masks = problems.make_data(problem)
  labels = torch.tensor(masks, dtype=torch.long)

  def total(logits: Tensor, labels: Tensor) -> Tensor:
    return losses_of(logits, labels).sum()

  return session_of(UNet(problem), images, (labels,), total, options)


def session_of(
  network: nn.Module,
  images: np.ndarray,
  truth: tuple[Tensor, ...],
  total: Callable[..., Tensor],
  options: dict[str, Any],
) -> Session:
  """Returns the runs of a network, on the CPU or the GPU as `options['device']` says.

  Args:
    network: maps images [B, C, H, W] to logits, or to a tuple of them.
    images: [B, H, W, C].
    truth: the arguments of the losses beside the logits.
    total: `total(logits, *truth)`, the weighted sum of the losses.
    options: 'compile': whether `torch.compile` compiles the network; 'channels_last': whether
      channels are the innermost axis in memory, as they are by default; 'autocast': whether the
      network computes in bfloat16 where PyTorch finds that safe.
  """
  torch.set_num_threads(options["threads"])
  device = "cuda" if options["device"] == "gpu" else "cpu"
  channels_last = options.get("channels_last", True)
  layout = torch.channels_last if channels_last else torch.contiguous_format
  network = network.to(device, memory_format=layout)
  x = torch.tensor(images).permute(0, 3, 1, 2).to(device, memory_format=layout)
  y = tuple(part.to(device) for part in truth)
  optimizer = torch.optim.Adam(network.parameters(), lr=problems.LEARNING_RATE)

  def loss_fn() -> Tensor:
    return total(forward(), *y)

  def forward() -> Tensor | tuple[Tensor, ...]:
    with torch.autocast(device, torch.bfloat16, enabled=options.get("autocast", False)):
      return network(x)

  if options["compile"]:
    loss_fn, forward = torch.compile(loss_fn), torch.compile(forward)

  def train(steps: int) -> float:
    network.train()
    for _ in range(steps):
      optimizer.zero_grad()
      loss = loss_fn()
      loss.backward()
      optimizer.step()
    return loss.item()  # waits for the device, and thus for all updates

  def evaluate(steps: int) -> float:
    network.eval()
    with torch.inference_mode():
      for _ in range(steps):
        logits = forward()
      parts = logits if isinstance(logits, tuple) else (logits,)
      return sum(part.sum() for part in parts).item()

  seconds = {}
  for name, run in (("train", train), ("evaluate", evaluate)):
    started = time.perf_counter()
    run(1)
    seconds[name] = time.perf_counter() - started
  facts = {
    "params": sum(p.numel() for p in network.parameters()),
    "versions": {"torch": torch.__version__},
    "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
    "first_step_seconds": seconds,
    "tf32": {"convolutions": torch.backends.cudnn.allow_tf32, "matmul": False},
  }
  return Session(facts, {"train": train, "evaluate": evaluate})
