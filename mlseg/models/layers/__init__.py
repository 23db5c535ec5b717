"""The layers that networks are built of, in formulations that XLA compiles well."""

from mlseg.models.layers.attention import AttentionGate
from mlseg.models.layers.blocks import Conv, UpConv
from mlseg.models.layers.depthwise import DepthwiseConv
from mlseg.models.layers.dilated import DilatedCascade
from mlseg.models.layers.normalisation import BatchNorm, ClippedBatchNorm
from mlseg.models.layers.pooling import max_pool, repeat2
from mlseg.models.layers.strided import StridedConv

__all__ = [
  "AttentionGate",
  "BatchNorm",
  "ClippedBatchNorm",
  "Conv",
  "DepthwiseConv",
  "DilatedCascade",
  "StridedConv",
  "UpConv",
  "max_pool",
  "repeat2",
]
