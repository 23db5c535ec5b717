"""Torchvision's matching of boxes with objects."""

from tests.models import peers

SWAP = [1, 0, 3, 2]  # (top, left, bottom, right) to torchvision's (left, top, right, bottom)


def torchvision_matcher(high, low, keep_best):
  """Returns a function of boxes [N, 4] and true ones [G, 4] that gives [N].

  The place of the true one that a box is to find, -1 for none, -2 where it does not count.
  """
  peers.torchvision_models()
  from torchvision.models.detection._utils import Matcher
  from torchvision.ops import box_iou

  torch = peers.torch

  def run(boxes, true):
    given = (torch.from_numpy(b[:, SWAP].copy()) for b in (true, boxes))
    return Matcher(high, low, keep_best)(box_iou(*given)).numpy()

  return run
