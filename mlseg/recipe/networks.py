"""The networks that a recipe may name: a function for each, from the section `config.model`."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from mlseg import models
from mlseg.errors import UserError, require, unknown, user_errors
from mlseg.models import multitask, unet
from mlseg.models.encoders import encoder as encoders
from mlseg.recipe.data import DataRecipe

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
# Of products, the first as the device does it: float32 on CPUs, often tensorfloat32 on GPUs.
PRECISIONS = ("default", "float32", "tensorfloat32", "bfloat16")
HEADS = ("segmentation", "classification")
DETECTION = "detection"  # the head of a network that finds objects, and masks by them
ALL_HEADS = (*HEADS, DETECTION, "embedding", "texture")
SLICE_ATTENTION = "slice_attention"
MULTITASK = "multitask_unet"
# Further keys of decoders, which leave recipes from before them as they were.
DECODER_OFF = {"dropout": 0.0, "deep_supervision": 0}
# The networks that may have dilated convolutions at their bottleneck.
DILATED = ("unet", "attention_unet", MULTITASK, "histology_fcn")


def has_head(options: ConfigDict, head: str) -> bool:
  """Returns whether a network has a head for a loss to read.

  Args:
    options: the section `config.model`.
    head: one of ALL_HEADS.
  """
  numbers = {"embedding": "embedding", "texture": "num_textures"}
  if head in numbers:
    return options.get(numbers[head], 0) > 0
  own = {"classifier": ("classification",), "mask_rcnn": (DETECTION,)}
  return head in own.get(options.name, options.get("heads", ("segmentation",)))


def _unet(options: ConfigDict, data: DataRecipe, num_classes: int, num_labels: int) -> models.Model:
  del num_labels
  if options.norm not in unet.NORMS:
    raise unknown("config.model.norm", options.norm, unet.NORMS)
  if options.upsampling not in unet.UPSAMPLINGS:
    raise unknown("config.model.upsampling", options.upsampling, unet.UPSAMPLINGS)
  for name in ("depth", "filters", "convs_per_level"):
    require(options[name] >= 1, f"config.model.{name} must be at least 1", options[name])
  if options.norm == "group":
    rule = "config.model.filters must be a multiple of 8 with norm='group'"
    require(options.filters % 8 == 0, rule, options.filters)
  _check_size(data, options.depth, "2**config.model.depth")
  module = models.UNet(
    num_classes=num_classes,
    depth=options.depth,
    filters=options.filters,
    convs_per_level=options.convs_per_level,
    norm=options.norm,
    norm_momentum=options.norm_momentum,
    decoder_convs=options.decoder_convs,
    upsampling=options.upsampling,
    upsampling_norm=options.upsampling_norm,
    attention=options.name == "attention_unet",
    dtype=DTYPES[options.dtype],
    remat=options.remat,
    bottleneck_dilations=_dilations(options, data, options.depth),
    **_of_decoder(options, options.depth),
  )
  return models.from_linen(module)


def _multitask(
  options: ConfigDict, data: DataRecipe, num_classes: int, num_labels: int
) -> models.Model:
  arguments = _multitask_options(options, data, num_classes, num_labels)
  if options.name == MULTITASK:
    arguments |= _of_decoder(options, multitask.HALVINGS)
    arguments["bottleneck_dilations"] = _dilations(options, data, multitask.HALVINGS)
  return models.from_linen(
    models.MultiTaskUNet(**arguments),
    models.MultiTaskUNet.classify if arguments["num_labels"] else None,
  )


def _of_decoder(options: ConfigDict, levels: int) -> dict[str, Any]:
  """Returns the dropout and the deep supervision of a decoder of so many levels."""
  found = {name: options.get(name, off) for name, off in DECODER_OFF.items()}
  number = found["deep_supervision"]
  rule = f"config.model.deep_supervision must be below the {levels} levels of the decoder"
  require(0 <= number < levels, rule, number)
  if any(found.values()) and not has_head(options, "segmentation"):
    raise UserError(
      "config.model: dropout and deep_supervision are of the decoder, which a network without the"
      " head of segmentation has not"
    )
  return found


def _dilations(options: ConfigDict, data: DataRecipe, halvings: int) -> tuple[int, ...]:
  """Returns the dilations of the convolutions at the bottleneck, after so many halvings."""
  dilations = tuple(options.get("bottleneck_dilations", ()))
  side = -(-data.input_size // 2**halvings)
  rule = (
    f"config.model.bottleneck_dilations must be below {side}, the side in pixels of the coarsest"
    " activations, beyond which a convolution sees zeros alone"
  )
  require(max(dilations, default=0) < side, rule, dilations)
  return dilations


def _slice_attention(
  options: ConfigDict, data: DataRecipe, num_classes: int, num_labels: int
) -> models.Model:
  require(options.attention_units >= 1, "config.model.attention_units must be at least 1",
          options.attention_units)  # fmt: skip
  require(options.embedding >= 0, "config.model.embedding must not be negative", options.embedding)
  rule = "config.model.num_textures must be 0 (no such head) or at least 2"
  require(options.num_textures == 0 or options.num_textures >= 2, rule, options.num_textures)
  covariates = tuple(options.get("covariates", ()))
  rule = "config.model.covariates must be () without the head of classification, which reads them"
  require(not covariates or has_head(options, "classification"), rule, covariates)
  module = models.SliceAttention(
    num_slices=data.num_slices,
    attention_units=options.attention_units,
    embedding=options.embedding,
    num_textures=options.num_textures,
    num_covariates=len(covariates),
    **_multitask_options(options, data, num_classes, num_labels),
  )
  return models.from_linen(module, models.SliceAttention.classify if module.num_labels else None)


def _multitask_options(
  options: ConfigDict, data: DataRecipe, num_classes: int, num_labels: int
) -> dict[str, Any]:
  """Returns what `models.MultiTaskUNet` is made of."""
  num_classes, num_labels = _of_heads(options, data, num_classes, num_labels)
  filters = tuple(options.decoder_filters)
  rule = f"config.model.decoder_filters must be {multitask.HALVINGS} positive numbers"
  require(len(filters) == multitask.HALVINGS and min(filters) >= 1, rule, filters)
  require(options.decoder_convs >= 0, "config.model.decoder_convs must not be negative",
          options.decoder_convs)  # fmt: skip
  _check_size(data, multitask.HALVINGS, "what an encoder divides it by")
  return {
    "encoder": make_encoder(options),
    "num_classes": num_classes,
    "num_labels": num_labels,
    "decoder_filters": filters,
    "decoder_convs": options.decoder_convs,
    "skips": options.skips,
    "attention": options.attention,
    "units": tuple(options.units),
    "norm_momentum": options.norm_momentum,
    "dtype": DTYPES[options.dtype],
  }


def _mask_rcnn(
  options: ConfigDict, data: DataRecipe, num_classes: int, num_labels: int
) -> models.Model:
  del num_labels
  for name in ("filters", "num_proposals", "num_detections"):
    require(options[name] >= 1, f"config.model.{name} must be at least 1", options[name])
  rule = "config.model.max_objects must be 1 to 255"
  require(1 <= options.max_objects <= 255, rule, options.max_objects)
  require(0 <= options.min_score < 1, "config.model.min_score must be in [0, 1)", options.min_score)
  rule = "config.model.score_power must not be negative"
  require(options.score_power >= 0, rule, options.score_power)
  _check_size(data, multitask.HALVINGS, "what an encoder divides it by")
  module = models.MaskRCNN(
    encoder=make_encoder(options),
    num_classes=num_classes,
    filters=options.filters,
    num_proposals=options.num_proposals,
    num_detections=options.num_detections,
    min_score=options.min_score,
    score_power=options.score_power,
  )
  return models.from_linen(module)


def _histology_fcn(
  options: ConfigDict, data: DataRecipe, num_classes: int, num_labels: int
) -> models.Model:
  num_classes, num_labels = _of_heads(options, data, num_classes, num_labels)
  for name in ("depth", "filters"):
    require(options[name] >= 1, f"config.model.{name} must be at least 1", options[name])
  containment = tuple(map(tuple, options.containment)) if num_classes else ()
  with user_errors("config.model"):
    models.class_labels(num_classes, containment)  # checks it
  module = models.HistologyFCN(
    num_classes=num_classes,
    num_labels=num_labels,
    containment=containment,
    depth=options.depth,
    filters=options.filters,
    units=tuple(options.units),
    norm_momentum=options.norm_momentum,
    bottleneck_dilations=_dilations(options, data, options.depth),
    dtype=DTYPES[options.dtype],
  )
  return models.from_linen(module, models.HistologyFCN.classify if num_labels else None)


def _of_heads(
  options: ConfigDict, data: DataRecipe, num_classes: int, num_labels: int
) -> tuple[int, int]:
  """Returns the numbers of classes and labels, 0 where the network is to have no such head."""
  for head in options.get("heads", ()):
    if head not in HEADS:
      raise unknown("config.model.heads", head, HEADS)
  segments, classifies = (has_head(options, head) for head in HEADS)
  rule = "config.model.heads must name at least one head"
  require(segments or classifies, rule, tuple(options.get("heads", ())))
  units = tuple(options.units)
  require(min(units, default=1) >= 1, "config.model.units must be positive", units)
  if classifies and num_labels < 2 and not data.finding_names:
    raise UserError(
      "config.model: a head of classes needs cases of at least two labels; the data have one, so"
      " that there is nothing to learn: train masks alone, with a variant without diagnosis"
    )
  return num_classes * segments, num_labels * classifies


def make_encoder(options: ConfigDict) -> encoders.Encoder:
  """Returns the encoder of a network that has one."""
  return models.make_encoder(
    options.encoder,
    options.convention,
    options.width,
    options.frozen_statistics,
    DTYPES[options.dtype],
    options.norm_momentum,
  )


def _check_size(data: DataRecipe, halvings: int, why: str) -> None:
  side = 2**halvings
  name = "patch_size" if data.patch_size else "image_size"
  rule = f"config.data.{name} must be a multiple of {side} ({why})"
  require(data.input_size % side == 0, rule, data.input_size)


NETWORKS: dict[str, Callable[[ConfigDict, DataRecipe, int, int], models.Model]] = {
  "unet": _unet,
  "attention_unet": _unet,
  MULTITASK: _multitask,
  "classifier": _multitask,
  "mask_rcnn": _mask_rcnn,
  "histology_fcn": _histology_fcn,
  SLICE_ATTENTION: _slice_attention,
}
