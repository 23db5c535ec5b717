"""The networks, each as pure `init` and `apply` functions; Flax Linen is used only in here.

`from_linen` turns a Linen module into a `Model`, which is all that the rest of mlseg sees.
"""

from mlseg.models.base import (
  Model,
  Outputs,
  class_probabilities,
  from_linen,
  with_matmul_precision,
)
from mlseg.models.covariates import with_covariate_statistics
from mlseg.models.encoders import make_encoder
from mlseg.models.histology_fcn import HistologyFCN, class_labels, class_scores
from mlseg.models.mask_rcnn import MaskRCNN, objects_of, predictions_of
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
  "class_probabilities",
  "class_scores",
  "from_linen",
  "make_encoder",
  "objects_of",
  "predictions_of",
  "tiled",
  "with_covariate_statistics",
  "with_matmul_precision",
]
