"""Mask R-CNN: the network, the objects that it is trained on, and the objects that it finds."""

from mlseg.models.mask_rcnn.detections import (
  Detections,
  Objects,
  Predictions,
  objects_of,
  predictions_of,
)
from mlseg.models.mask_rcnn.mask_rcnn import MaskRCNN

__all__ = ["Detections", "MaskRCNN", "Objects", "Predictions", "objects_of", "predictions_of"]
