"""Networks: Flax Linen inside, `init` and `apply` functions outside."""

from mlseg.models.base import Model, Outputs, from_linen
from mlseg.models.unet import UNet

__all__ = ["Model", "Outputs", "UNet", "from_linen"]
