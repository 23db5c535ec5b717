"""Mask R-CNN with fixed numbers of boxes, so that it compiles once and can be mapped over models.

References: He et al., "Mask R-CNN", ICCV 2017; Ren et al., "Faster R-CNN", NeurIPS 2015; Lin et
al., "Feature Pyramid Networks for Object Detection", CVPR 2017. Choices that the papers leave open
are those of torchvision, with sizes for images of 128 to 256 pixels. The five losses are in
`mlseg.losses.detection`.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from mlseg.errors import require
from mlseg.models.base import Outputs
from mlseg.models.encoders.encoder import Encoder
from mlseg.models.mask_rcnn.anchors import grid_anchors
from mlseg.models.mask_rcnn.detections import (
  AnchorScores,
  Detections,
  MaskScores,
  Objects,
  RegionScores,
  best_overlaps,
)
from mlseg.models.mask_rcnn.pasting import semantic_logits
from mlseg.models.mask_rcnn.pyramid import FeaturePyramid
from mlseg.models.mask_rcnn.region_choice import found, proposals
from mlseg.models.mask_rcnn.region_heads import BoxHead, MaskHead, ProposalHead
from mlseg.models.mask_rcnn.roi_align import pyramid_align

# Sides of the features that the box head and the mask head read of a region; a mask is twice as
# large as the second.
_BOX_SIZE, _MASK_SIZE = 7, 14


class MaskRCNN(nn.Module):
  """Maps images [B, H, W, 1 or 3] in [0, 1] to the objects in them and their masks.

  H and W must be multiples of the coarsest stride. The encoder's features become a feature pyramid,
  and the proposal network scores the anchors of all its levels. For each of the best proposals,
  ROIAlign reads the level that suits its size, and the box head classifies and moves it. In
  evaluation the mask head reads the resulting boxes, and `Outputs.logits` holds their masks, pasted
  into one map (see `semantic_logits`). In training the true boxes join the proposals, and the mask
  head reads only the `num_masks` regions that overlap an object most. The mask loss needs positive
  regions alone, which the papers draw at random; reading all regions would take most of the time of
  a step.

  There are four levels, of strides 4 to 32. Torchvision has a fifth, whose cells would be a quarter
  of an image of 256 pixels. A region is read on the coarsest level on which it has at least 14
  cells, so regions up to 112 pixels are read at stride 4.

  Attributes:
    encoder: the encoder, from `make_encoder`.
    num_classes: C, background included.
    strides: strides of the levels, each twice the one before; the encoder must have them.
    filters: channels of each level.
    anchor_scale: side of the square anchor of a level, in its cells. The default gives sides of 16
      to 128 pixels; the paper has 8, for images of 800 pixels.
    anchor_ratios: ratios of height to width of the anchors of a cell.
    num_candidates: how many of the best anchors are considered for proposals.
    num_proposals: P, the largest number of proposals.
    num_detections: D, the largest number of objects found in an image.
    num_masks: number of regions that the mask head is trained on.
    units: size of each of the two hidden layers of the box head.
    mask_convs: number of 3×3 convolutions in the mask head.
    proposal_overlap: highest IoU of two proposals.
    detection_overlap: highest IoU of two objects found of the same class.
    min_score: lowest probability of an object that is found.
    score_power: how much an object's probability counts in the map; see `semantic_logits`.

  Example:
    >>> from mlseg.models import make_encoder
    >>> net = MaskRCNN(make_encoder("mobilenet_v2", "torchvision", 0.35), num_classes=3)
    >>> images = jax.ShapeDtypeStruct((2, 64, 96, 1), jnp.float32)
    >>> outputs, _ = jax.eval_shape(
    ...   lambda x: net.init_with_output(jax.random.key(0), x, False), images
    ... )
    >>> outputs.logits.shape, outputs.detections.masks.logits.shape
    ((2, 64, 96, 3), (2, 16, 28, 28, 2))
  """

  encoder: Encoder
  num_classes: int
  strides: tuple[int, ...] = (4, 8, 16, 32)
  filters: int = 64
  anchor_scale: float = 4.0
  anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
  num_candidates: int = 512
  num_proposals: int = 64
  num_detections: int = 16
  num_masks: int = 8
  units: int = 256
  mask_convs: int = 4
  proposal_overlap: float = 0.7
  detection_overlap: float = 0.5
  min_score: float = 0.05
  score_power: float = 0.0

  @nn.compact
  def __call__(self, images: jax.Array, train: bool, objects: Objects | None = None) -> Outputs:
    """Returns the detections, the encoder's last features and, in evaluation, logits [B, H, W, C].

    Args:
      images: [B, H, W, 1 or 3].
      train: whether the network is trained, with batch statistics in the encoder's normalisation.
      objects: the true objects, which are read in training only.

    Raises:
      UserError: the size of the images is not a multiple of the coarsest stride, or the encoder has
        no features of one of the strides.
    """
    rule = f"strides of the pyramid must be among the encoder's {self.encoder.strides}"
    require(set(self.strides) <= set(self.encoder.strides), rule, self.strides)
    size = (images.shape[1], images.shape[2])
    rule = f"images: height and width must be multiples of {self.strides[-1]}"
    require(not any(side % self.strides[-1] for side in size), rule, size)
    objects = objects if train else None
    features = [f.astype(jnp.float32) for f in self.encoder(images, train)]
    chosen = [features[self.encoder.strides.index(stride)] for stride in self.strides]
    levels = FeaturePyramid(self.filters, name="pyramid")(chosen)
    anchors = self._anchors(levels, size)
    regions = self._regions(levels, anchors, size, objects)
    masks = self._masks(levels, regions, size, objects)
    logits = None if train else semantic_logits(masks, size, self.score_power)
    return Outputs(
      logits=logits, features=features[-1], detections=Detections(anchors, regions, masks)
    )

  def _anchors(self, levels: Sequence[jax.Array], size: tuple[int, int]) -> AnchorScores:
    boxes = grid_anchors(size, self.strides, self.anchor_scale, self.anchor_ratios)
    logits, deltas = ProposalHead(len(self.anchor_ratios), name="proposal_head")(levels)
    return AnchorScores(jnp.broadcast_to(boxes, deltas.shape), logits, deltas)

  def _regions(
    self,
    levels: Sequence[jax.Array],
    anchors: AnchorScores,
    size: tuple[int, int],
    objects: Objects | None,
  ) -> RegionScores:
    boxes, valid = proposals(
      anchors, size, self.num_candidates, self.num_proposals, self.proposal_overlap
    )
    if objects is not None:
      boxes = jnp.concatenate([boxes, objects.boxes], axis=1)
      valid = jnp.concatenate([valid, objects.present.astype(valid.dtype)], axis=1)
    aligned = pyramid_align(levels, boxes, self.strides, _BOX_SIZE)
    logits, deltas = BoxHead(self.num_classes, self.units, name="box_head")(aligned)
    return RegionScores(boxes, valid, logits, deltas)

  def _masks(
    self,
    levels: Sequence[jax.Array],
    regions: RegionScores,
    size: tuple[int, int],
    objects: Objects | None,
  ) -> MaskScores:
    if objects is None:
      boxes, valid, scores, classes = found(
        regions, size, self.num_detections, self.detection_overlap, self.min_score
      )
    else:
      overlaps = best_overlaps(regions.boxes, regions.valid, objects)
      overlaps, index = lax.top_k(overlaps, min(self.num_masks, overlaps.shape[1]))
      boxes = jnp.take_along_axis(regions.boxes, index[..., None], axis=1)
      valid = (overlaps >= 0).astype(boxes.dtype)
      scores = classes = jnp.zeros_like(valid)
    aligned = pyramid_align(levels, boxes, self.strides, _MASK_SIZE)
    logits = MaskHead(self.num_classes, self.mask_convs, name="mask_head")(aligned)
    return MaskScores(boxes, valid, scores, classes, logits)
