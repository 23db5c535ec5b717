"""Gradients of eight losses of the multi-task network in PyTorch, weighted by TorchJD's UPGrad."""

import importlib.metadata
import resource
from typing import Any

import torch
from torch import Tensor
from torchjd import aggregation, autogram, autojac

from speed_parts import gram_problem
from speed_parts.in_torch_multitask import MultiTaskUNet
from speed_parts.problem import SMOOTH, Problem, make_data
from speed_parts.worker import Session


def losses_of(logits: Tensor, masks: Tensor) -> Tensor:
  """Returns the eight losses of logits [B, 2, H, W] and masks [B, H, W] of zeros and ones."""
  p = torch.softmax(logits, dim=1)[:, 1]
  tp, fp, fn = (p * masks).sum(), (p * (1 - masks)).sum(), ((1 - p) * masks).sum()
  alphas = torch.tensor(gram_problem.ALPHAS)
  return 1 - (tp + SMOOTH) / (tp + alphas * fp + (1 - alphas) * fn + SMOOTH)


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Builds the network; `options['engine']` is 'sum', 'autojac' or 'autogram'."""
  torch.manual_seed(problem.seed)
  torch.set_num_threads(options["threads"])
  images, masks = make_data(problem)
  network = MultiTaskUNet(problem).to(memory_format=torch.channels_last)
  network.train()
  x = torch.tensor(images).permute(0, 3, 1, 2).to(memory_format=torch.channels_last)
  y = torch.tensor(masks, dtype=torch.float32)
  # The losses read no parameter of the head of classes.
  params = [p for name, p in network.named_parameters() if not name.startswith(("hidden", "class"))]
  engine = autogram.Engine(network, batch_dim=None) if options["engine"] == "autogram" else None
  weighting, aggregator = aggregation.UPGradWeighting(), aggregation.UPGrad()

  def backward() -> None:
    losses = losses_of(network(x)[0], y)
    if options["engine"] == "sum":
      losses.sum().backward()
    elif engine is None:
      autojac.backward(losses)
      autojac.jac_to_grad(params, aggregator)
    else:
      losses.backward(weighting(engine.compute_gramian(losses)))

  def train(steps: int) -> list[float]:
    for _ in range(steps):
      network.zero_grad()
      backward()
    return [sum((p.grad**2).sum().item() for p in params if p.grad is not None)]

  def resident(steps: int) -> dict[str, int]:
    del steps
    return {"resident": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}

  train(1)
  versions = {"torch": torch.__version__, "torchjd": importlib.metadata.version("torchjd")}
  return Session({"versions": versions}, {"train": train, "resident": resident})
