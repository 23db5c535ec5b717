"""Rules between several keys of a recipe."""

from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from mlseg.recipe.networks import DILATED, SLICE_ATTENTION, has_head
from mlseg.recipe.optimizer import OFF
from mlseg.recipe.rate_schedule import CONSTANT
from mlseg.recipe.schema.kinds import shown

_MOST_CHANNELS = 2**13


def faults(content: Mapping[str, Any]) -> Iterator[str]:
  """Yields what is wrong with values that are right by themselves.

  Args:
    content: of a complete recipe without other faults.
  """
  yield from _of_optimizer(content["optimizer"], content["num_epochs"])
  yield from _of_losses(content)
  yield from _of_data(content["data"])
  yield from _of_model(content["model"])
  yield from _of_regions(content["model"], content["data"])
  yield from _of_diagnosis(content["model"], content["data"])


def _of_optimizer(options: Mapping[str, Any], num_epochs: int) -> Iterator[str]:
  if options["warm_up"] >= num_epochs:
    yield (
      f"config.optimizer.warm_up must be less than config.num_epochs ({num_epochs}), not"
      f" {options['warm_up']}"
    )
  if options["end_rate"] and options["schedule"] == CONSTANT:
    yield (
      f"config.optimizer.end_rate must be 0 with the schedule {CONSTANT!r}, not"
      f" {options['end_rate']}"
    )
  if options["decay_mask"] != OFF["decay_mask"] and options["name"] != "adamw":
    yield (
      f"config.optimizer.decay_mask must be {OFF['decay_mask']!r} with {options['name']!r}, which"
      f" has no weight decay, not {options['decay_mask']!r}"
    )


def _of_losses(content: Mapping[str, Any]) -> Iterator[str]:
  extra, weighting = content["auxiliary"]["name"], content["weighting"]
  if extra in content["losses"]:
    yield (
      f"config.auxiliary.name {extra!r} must not be one of config.losses, which has its weight from"
      " config.weighting"
    )
  if content["cosines_every"] and len(content["losses"]) + (extra != "none") < 2:
    yield (
      "config.cosines_every must be 0 with a single loss, whose gradient has no other to compare it"
      f" with, not {content['cosines_every']}"
    )
  for name in ("fixed", "prior"):
    used = weighting["name"] == "fixed" if name == "fixed" else True
    if used and weighting[name] and not any(weighting[name]):
      yield f"config.weighting.{name} must have a weight above 0, not {shown(weighting[name])}"
  if weighting["lower"] > weighting["upper"]:
    yield (
      f"config.weighting.lower must be at most config.weighting.upper, not {weighting['lower']} and"
      f" {weighting['upper']}"
    )


def _of_data(data: Mapping[str, Any]) -> Iterator[str]:
  parts = data["fractions"]
  whole = abs(sum(parts) - 1) < 1e-6 and min(parts) > 0
  if data["split"] == "published" or data["num_folds"]:
    if min(parts[:2]) <= 0:
      yield (
        "config.data.fractions must be positive for training and validation, not"
        f" {shown(tuple(parts))}"
      )
  elif not whole:
    yield (
      "config.data.fractions must be three positive numbers that sum to 1, not"
      f" {shown(tuple(parts))}"
    )
  if data["name"] == "cohort" and not data["cohort"]["window"][0] < data["cohort"]["window"][1]:
    yield (
      "config.data.cohort.window must go from a lower to a higher value, not"
      f" {shown(tuple(data['cohort']['window']))}"
    )


def _of_model(model: Mapping[str, Any]) -> Iterator[str]:
  for key, networks in (("bottleneck_dilations", DILATED), ("covariates", (SLICE_ATTENTION,))):
    if model.get(key) and model["name"] not in networks:
      yield (
        f"config.model.{key} is of {', '.join(networks)}, and must be () with"
        f" {model['name']!r}, not {shown(model[key])}"
      )
  if model["name"] in ("unet", "attention_unet", "histology_fcn"):
    channels = model["filters"] * 2 ** model["depth"]
    if channels > _MOST_CHANNELS:
      yield (
        f"config.model.filters * 2**config.model.depth must be at most {_MOST_CHANNELS}, the"
        f" channels of the deepest level, not {channels}"
      )


def _of_regions(model: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
  pairs, count = model.get("containment", ()), len(data.get("folder", {}).get("classes", ()))
  if data["name"] == "folder" and any(label >= count for own in pairs for label in own):
    yield (
      f"config.model.containment must be pairs of classes below {count}, the number of"
      f" config.data.folder.classes, not {shown(tuple(pairs))}"
    )


def _of_diagnosis(model: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[str]:
  """Yields that a network is to diagnose, and that its folder of images names no diagnosis."""
  if data["name"] != "folder" or not has_head(ConfigDict(model), "classification"):
    return
  files = data["folder"]
  in_table = files["table"] and (files["label_column"] or files.get("label_columns"))
  if "{label}" not in files["images"] and not in_table:
    yield (
      "config.model has the head of classification, but config.data.folder names no diagnosis:"
      " write {label} into config.data.folder.images, as 'images/{label}/{name}.png', or give"
      " config.data.folder.table, id_column and label_column; or train masks alone, with a variant"
      " of the recipe without diagnosis"
    )
