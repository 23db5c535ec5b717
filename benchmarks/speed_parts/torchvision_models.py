"""Torchvision's networks, for comparisons here and in the tests."""

from types import ModuleType

import torch


def torchvision_models() -> ModuleType:
  """Returns torchvision's models, also where its compiled part is for another build of torch.

  That part is not needed, but on import fake kernels are registered for two of its operations.
  """
  try:
    import torchvision
  except RuntimeError:
    for name in ("nms", "qnms"):
      torch.library.define(
        f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor"
      )
    import torchvision
  return torchvision.models
