"""Training steps of LibMTL and TorchJD, on the network and the losses of the benchmark.

`weighting.py` uses it if torch, LibMTL and torchjd are installed (the extra `peers`).
"""

import sys
import types
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchjd.aggregation import IMTLG, MGDA, Aggregator, AlignedMTL, PCGrad, UPGrad
from torchjd.autojac import backward, jac_to_grad

# LibMTL's example networks import torchvision, whose build must match torch's; its weightings work
# without it.
sys.modules.setdefault("LibMTL.model", types.ModuleType("LibMTL.model"))
from LibMTL import weighting as libmtl

NUM_LOSSES = 3
LIBMTL = {
  "GLS": {},
  "RLW": {"dist": "Normal"},
  "UW": {},
  "MGDA": {"mgda_gn": "none"},
  "PCGrad": {},
  "GradVac": {"beta": 0.5},
  "CAGrad": {"calpha": 0.5, "rescale": 1},
  "IMTL": {},
}
TORCHJD: dict[str, Callable[[], Aggregator]] = {
  "UPGrad": UPGrad,
  "MGDA": MGDA,
  "PCGrad": PCGrad,
  "IMTLG": IMTLG,
  "AlignedMTL": AlignedMTL,
}


class UNet(nn.Module):
  """The network of `mlseg.models.UNet` with its default options."""

  def __init__(self, depth: int, filters: int, num_classes: int):
    super().__init__()
    sizes = [filters << level for level in range(depth + 1)]
    self.down = nn.ModuleList(
      self._block(nn.Conv2d(before, after, 3, padding=1, bias=False), after)
      for before, after in zip([1, *sizes[:-1]], sizes, strict=True)
    )
    ups = []
    before = sizes[-1]
    for after in reversed(sizes[:-1]):
      up = nn.ConvTranspose2d(before, after, 3, 2, padding=1, output_padding=1, bias=False)
      ups.append(self._block(up, after))
      before = 2 * after
    self.up = nn.ModuleList(ups)
    self.head = nn.Conv2d(before, num_classes, 1)

  @staticmethod
  def _block(convolution: nn.Module, filters: int) -> nn.Module:
    return nn.Sequential(convolution, nn.BatchNorm2d(filters), nn.ReLU())

  def forward(self, images: Tensor) -> Tensor:
    """Maps images [B, 1, H, W] to logits [B, C, H, W]."""
    skips = []
    activations = images
    for block in self.down[:-1]:
      skips.append(block(activations))
      activations = functional.max_pool2d(skips[-1], 2)
    activations = self.down[-1](activations)
    for block, skip in zip(self.up, reversed(skips), strict=True):
      activations = torch.cat([block(activations), skip], dim=1)
    return self.head(activations)


def losses_of(logits: Tensor, masks: Tensor) -> Tensor:
  """Returns cross-entropy, soft IoU and soft Dice [3] of logits and one-hot masks [B, C, H, W]."""
  probabilities = logits.softmax(1)
  overlap = (probabilities * masks).sum((2, 3))
  both = probabilities.sum((2, 3)) + masks.sum((2, 3))
  smooth = 1e-5
  iou = 1 - ((overlap + smooth) / (both - overlap + smooth)).mean()
  dice = 1 - ((2 * overlap + smooth) / (both + smooth)).mean()
  entropy = -(masks * logits.log_softmax(1)).sum(1).mean()
  return torch.stack([entropy, iou, dice])


def steppers(
  images: np.ndarray, masks: np.ndarray, depth: int, filters: int
) -> Iterator[tuple[str, Callable[[], None]]]:
  """Yields the name of each variant and a function that trains one step; the plain sum first.

  Args:
    images: [B, H, W, 1], in [0, 1].
    masks: [B, H, W], class indices.
    depth: how many times the network halves the image.
    filters: channels of its first level.
  """
  x = torch.tensor(images).permute(0, 3, 1, 2).contiguous()
  y = (
    functional.one_hot(torch.tensor(masks, dtype=torch.long))
    .permute(0, 3, 1, 2)
    .float()
    .contiguous()
  )

  def stepper(work: Callable[[nn.Module, Tensor, Tensor], None]) -> Callable[[], None]:
    network = UNet(depth, filters, y.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step() -> None:
      optimizer.zero_grad(set_to_none=False)
      logits = network(x)
      work(network, logits, losses_of(logits, y))
      optimizer.step()

    return step

  def plain(network: nn.Module, logits: Tensor, losses: Tensor) -> None:
    del network, logits
    losses.sum().backward()

  yield "torch, plain sum", stepper(plain)
  for name, options in LIBMTL.items():
    yield f"LibMTL {name}", stepper(_libmtl(name, options))
  for name, aggregator in TORCHJD.items():
    yield f"TorchJD {name}, parameters", stepper(_torchjd(aggregator()))
    yield f"TorchJD {name}, logits", stepper(_torchjd_at_logits(aggregator()))


def _libmtl(name: str, options: dict) -> Callable[[nn.Module, Tensor, Tensor], None]:
  """Returns the backward pass of a weighting of LibMTL, without LibMTL's trainer."""
  weighting = getattr(libmtl, name)()
  weighting.task_num, weighting.device, weighting.rep_grad = NUM_LOSSES, "cpu", False
  weighting.epoch = 2
  weighting.init_param()

  def work(network: nn.Module, logits: Tensor, losses: Tensor) -> None:
    del logits
    weighting.get_share_params = network.parameters
    weighting.zero_grad_share_params = lambda: network.zero_grad(set_to_none=False)
    weighting.backward(losses, **options)

  return work


def _torchjd(aggregator: Aggregator) -> Callable[[nn.Module, Tensor, Tensor], None]:
  """Returns TorchJD's backward pass with the Jacobian with respect to the parameters."""

  def work(network: nn.Module, logits: Tensor, losses: Tensor) -> None:
    del logits
    backward(losses, parallel_chunk_size=1)
    jac_to_grad(network.parameters(), aggregator)

  return work


def _torchjd_at_logits(aggregator: Aggregator) -> Callable[[nn.Module, Tensor, Tensor], None]:
  """Returns TorchJD's backward pass to the logits, followed by torch's own to the parameters."""

  def work(network: nn.Module, logits: Tensor, losses: Tensor) -> None:
    del network
    logits.retain_grad()
    backward(losses, inputs=[logits], retain_graph=True, parallel_chunk_size=1)
    logits.grad = None  # torch filled it in the backward pass
    jac_to_grad([logits], aggregator)
    gradient, logits.grad = logits.grad, None
    logits.backward(gradient)

  return work
