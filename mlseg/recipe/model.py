"""From a config to a network and its pretrained weights; sees the config, as `builders`."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from ml_collections import ConfigDict

from mlseg import models
from mlseg.errors import UserError, require, unknown, user_errors
from mlseg.models import multitask, pretrained, unet
from mlseg.models.encoders import encoder as encoders
from mlseg.recipe.properties import (
  DETECTION,
  HEADS,
  SLICE_ATTENTION,
  has_head,
  has_volumes,
  input_size,
  num_slices,
)

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
ENCODER = "encoder"  # the name of that part in the variables of every network that has one
NONE = "none"
IMAGENET = "imagenet"

Variables = dict[str, Any]


def make_model(config: ConfigDict, num_classes: int, num_labels: int = 1) -> models.Model:
  """Returns the network.

  Args:
    config: the recipe.
    num_classes: of the pixels, background included.
    num_labels: of the cases.

  Raises:
    UserError: the config is not right.
  """
  options = config.model
  makers: dict[str, Callable[[ConfigDict, int, int], models.Model]] = {
    "unet": _unet,
    "attention_unet": _unet,
    "multitask_unet": _multitask,
    "classifier": _multitask,
    "mask_rcnn": _mask_rcnn,
    "histology_fcn": _histology_fcn,
    SLICE_ATTENTION: _slice_attention,
  }
  if options.name not in makers:
    raise unknown("model", options.name, makers)
  if options.dtype not in DTYPES:
    raise unknown("config.model.dtype", options.dtype, DTYPES)
  if has_volumes(config) != (options.name == SLICE_ATTENTION):
    raise UserError(
      f"config.model.name must be {SLICE_ATTENTION!r} for the patients of config.data.cohort,"
      f" and only for them, not {options.name!r} for config.data.name {config.data.name!r}"
    )
  model = makers[options.name](config, num_classes, num_labels)
  patch, overlap = config.data.patch_size, config.data.patch_overlap
  if not patch:
    return model
  require(0 <= overlap < 1, "config.data.patch_overlap must be in [0, 1)", overlap)
  if has_head(config, DETECTION):
    raise UserError(f"config.data.patch_size must be 0 for config.model ({options.name})")
  return models.tiled(model, patch, overlap)


def load_pretrained(config: ConfigDict) -> Variables:
  """Returns the variables of the config's encoder from its file, or {} where it starts anew.

  Raises:
    UserError: there is no such file, or its weights do not fit.
  """
  source = config.model.get("pretrained", NONE)
  if source == NONE:
    return {}
  encoder = _encoder(config.model)
  if source == IMAGENET:
    return pretrained.imagenet(encoder)
  return pretrained.load(pathlib.Path(source), encoder)


def insert_pretrained(variables: Variables, loaded: Variables) -> Variables:
  """Returns the variables of a whole network with those of its encoder, from `load_pretrained`."""
  return pretrained.insert(variables, loaded, (ENCODER,)) if loaded else variables


def _unet(config: ConfigDict, num_classes: int, num_labels: int) -> models.Model:
  del num_labels
  options = config.model
  if options.norm not in unet.NORMS:
    raise unknown("config.model.norm", options.norm, unet.NORMS)
  if options.upsampling not in unet.UPSAMPLINGS:
    raise unknown("config.model.upsampling", options.upsampling, unet.UPSAMPLINGS)
  for name in ("depth", "filters", "convs_per_level"):
    require(options[name] >= 1, f"config.model.{name} must be at least 1", options[name])
  if options.norm == "group":
    rule = "config.model.filters must be a multiple of 8 with norm='group'"
    require(options.filters % 8 == 0, rule, options.filters)
  _check_size(config, options.depth, "2**config.model.depth")
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
  )
  return models.from_linen(module)


def _multitask(config: ConfigDict, num_classes: int, num_labels: int) -> models.Model:
  options = _multitask_options(config, num_classes, num_labels)
  return models.from_linen(
    models.MultiTaskUNet(**options),
    models.MultiTaskUNet.classify if options["num_labels"] else None,
  )


def _slice_attention(config: ConfigDict, num_classes: int, num_labels: int) -> models.Model:
  options = config.model
  require(options.attention_units >= 1, "config.model.attention_units must be at least 1",
          options.attention_units)  # fmt: skip
  require(options.embedding >= 0, "config.model.embedding must not be negative", options.embedding)
  rule = "config.model.num_textures must be 0 (no such head) or at least 2"
  require(options.num_textures == 0 or options.num_textures >= 2, rule, options.num_textures)
  module = models.SliceAttention(
    num_slices=num_slices(config),
    attention_units=options.attention_units,
    embedding=options.embedding,
    num_textures=options.num_textures,
    **_multitask_options(config, num_classes, num_labels),
  )
  return models.from_linen(module, models.SliceAttention.classify if module.num_labels else None)


def _multitask_options(config: ConfigDict, num_classes: int, num_labels: int) -> dict[str, Any]:
  """Returns what `models.MultiTaskUNet` is made of."""
  options = config.model
  num_classes, num_labels = _of_heads(config, num_classes, num_labels)
  filters = tuple(options.decoder_filters)
  rule = f"config.model.decoder_filters must be {multitask.HALVINGS} positive numbers"
  require(len(filters) == multitask.HALVINGS and min(filters) >= 1, rule, filters)
  require(options.decoder_convs >= 0, "config.model.decoder_convs must not be negative",
          options.decoder_convs)  # fmt: skip
  _check_size(config, multitask.HALVINGS, "what an encoder divides it by")
  return {
    "encoder": _encoder(options),
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


def _mask_rcnn(config: ConfigDict, num_classes: int, num_labels: int) -> models.Model:
  del num_labels
  options = config.model
  for name in ("filters", "num_proposals", "num_detections"):
    require(options[name] >= 1, f"config.model.{name} must be at least 1", options[name])
  rule = "config.model.max_objects must be 1 to 255"
  require(1 <= options.max_objects <= 255, rule, options.max_objects)
  require(0 <= options.min_score < 1, "config.model.min_score must be in [0, 1)", options.min_score)
  rule = "config.model.score_power must not be negative"
  require(options.score_power >= 0, rule, options.score_power)
  _check_size(config, multitask.HALVINGS, "what an encoder divides it by")
  module = models.MaskRCNN(
    encoder=_encoder(options),
    num_classes=num_classes,
    filters=options.filters,
    num_proposals=options.num_proposals,
    num_detections=options.num_detections,
    min_score=options.min_score,
    score_power=options.score_power,
  )
  return models.from_linen(module)


def _histology_fcn(config: ConfigDict, num_classes: int, num_labels: int) -> models.Model:
  options = config.model
  num_classes, num_labels = _of_heads(config, num_classes, num_labels)
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
    dtype=DTYPES[options.dtype],
  )
  return models.from_linen(module, models.HistologyFCN.classify if num_labels else None)


def _of_heads(config: ConfigDict, num_classes: int, num_labels: int) -> tuple[int, int]:
  """Returns the numbers of classes and labels, 0 where the network is to have no such head."""
  options = config.model
  for head in options.get("heads", ()):
    if head not in HEADS:
      raise unknown("config.model.heads", head, HEADS)
  segments, classifies = (has_head(config, head) for head in HEADS)
  rule = "config.model.heads must name at least one head"
  require(segments or classifies, rule, tuple(options.get("heads", ())))
  units = tuple(options.units)
  require(min(units, default=1) >= 1, "config.model.units must be positive", units)
  if classifies and num_labels < 2:
    raise UserError(
      "config.model: a head of classes needs cases of at least two labels; the data have one"
    )
  return num_classes * segments, num_labels * classifies


def _encoder(options: ConfigDict) -> encoders.Encoder:
  return models.make_encoder(
    options.encoder,
    options.convention,
    options.width,
    options.frozen_statistics,
    DTYPES[options.dtype],
    options.norm_momentum,
  )


def _check_size(config: ConfigDict, halvings: int, why: str) -> None:
  side, size = 2**halvings, input_size(config)
  name = "patch_size" if config.data.patch_size else "image_size"
  rule = f"config.data.{name} must be a multiple of {side} ({why})"
  require(size % side == 0, rule, size)
