"""Networks: Flax Linen inside, `init` and `apply` functions outside."""

from mlseg.models.base import Model, Outputs, from_linen
from mlseg.models.encoders.encoder import make_encoder
from mlseg.models.histology_fcn import HistologyFCN, class_labels, class_scores
from mlseg.models.mask_rcnn.mask_rcnn import MaskRCNN, objects_of, predictions_of
from mlseg.models.multitask import MultiTaskUNet
from mlseg.models.slice_attention import SliceAttention
from mlseg.models.tiling import tiled
from mlseg.models.unet import UNet

__all__ = [
  "HistologyFCN",
  "MaskRCNN",
  "Model",
  "MultiTaskUNet",
  "Outputs",
  "SliceAttention",
  "UNet",
  "class_labels",
  "class_scores",
  "from_linen",
  "make_encoder",
  "objects_of",
  "predictions_of",
  "tiled",
]
