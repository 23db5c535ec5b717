"""The sections `config.losses` and `config.loss_options`: from a recipe to functions."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from mlseg import losses
from mlseg.data import targets
from mlseg.errors import UserError, require, unknown, user_errors
from mlseg.recipe import data as recipe_data
from mlseg.recipe import model as recipe_model
from mlseg.recipe import regions
from mlseg.recipe.loss_table import LOSSES, LossFunction

TEXTURE = "texture_cross_entropy"
FINDINGS = "classification_binary_cross_entropy"
NONE = "none"  # instead of the name of an auxiliary loss


class LossRecipe(NamedTuple):
  """The losses of a recipe."""

  names: tuple[str, ...]  # in the recipe's order, the auxiliary one last
  auxiliary: str | None  # one of them, or there is none
  options: dict[str, dict[str, Any]]  # by loss; what is not here keeps its default
  network: str  # its name, for messages
  heads: frozenset[str]  # of the network
  has_volumes: bool
  num_textures: int  # classes of the texture; 0: there are none
  targets: recipe_data.Targets  # what losses and network read beside images, masks and diagnoses
  containment: regions.Pairs | None = None  # of the network's regions; None: it has no such key
  has_findings: bool = False  # whether a case may have several findings, instead of a diagnosis


def read(config: ConfigDict) -> LossRecipe:
  """Returns the losses of a recipe, which `check` checks."""
  names = loss_names(config)
  network = recipe_model.read(config)
  options = {name: dict(own) for name, own in config.loss_options.items()}
  data = recipe_data.read(config)
  wanted = recipe_data.Targets(
    distances=_uses_distances(config, names),
    max_objects=network.max_objects,
    texture=options.get(TEXTURE, {}).get("statistic") if TEXTURE in names else None,
    covariates=network.covariates,
  )
  return LossRecipe(
    names=names,
    auxiliary=None if config.auxiliary.name == NONE else config.auxiliary.name,
    options=options,
    network=network.name,
    heads=network.heads,
    has_volumes=data.has_volumes,
    num_textures=config.model.get("num_textures", 0),
    targets=wanted,
    containment=config.model.get("containment"),
    has_findings=bool(data.finding_names),
  )


def loss_names(config: ConfigDict) -> tuple[str, ...]:
  """Returns the names of the losses in the recipe's order, the auxiliary one last."""
  extra = config.auxiliary.name
  return (*config.losses, *(() if extra == NONE else (extra,)))


def _uses_distances(config: ConfigDict, names: Sequence[str]) -> bool:
  """Returns whether distance maps are made before training.

  They are flipped with the masks, but a warped map is not the map of a warped mask: under rotation,
  shear, scaling and elastic maps, and on patches, the boundary loss computes its own in every step.
  """
  reads = any(LOSSES[n].reads == "pixels_and_distances" for n in names if n in LOSSES)
  options = config.augmentation
  warped = options.rotation or options.shear or options.scale or options.elastic
  return reads and not (warped or config.data.patch_size)


def check(recipe: LossRecipe) -> None:
  """Raises a UserError where a loss or an option is not right, whatever the data are.

  An option that is a sequence has an entry per class; `make_losses` checks its values, when the
  number of classes is known.
  """
  make_losses(recipe, num_classes=2, num_labels=2, known_classes=False)


def texture_edges(recipe: LossRecipe, textures: np.ndarray | None) -> np.ndarray | None:
  """Returns the values that part a training set into equal classes of texture.

  Args:
    recipe: the losses.
    textures: [n], of the training set; None: no loss reads them.
  """
  return None if textures is None else targets.edges(textures, recipe.num_textures)


def open_class_weights(
  recipe: LossRecipe, counts: Mapping[str, Callable[[], np.ndarray]], names: Sequence[str]
) -> dict[str, np.ndarray]:
  """Returns by loss the class weights [C] float32 that a recipe leaves to the training set.

  Args:
    recipe: the losses.
    counts: by head, a function that returns how often each class is in the training set, [C].
    names: of the losses.

  Raises:
    UserError: a class has no pixel, or no case.
  """
  weights = {}
  for name in names:
    loss = LOSSES[name]
    if not loss.balanced or recipe.options.get(name, {}).get("class_weights") != ():
      continue
    found = counts[loss.head]().tolist()
    with user_errors(f"config.loss_options.{name}"):
      weights[name] = np.array(losses.balanced_class_weights(found), np.float32)
  return weights


def make_losses(
  recipe: LossRecipe,
  num_classes: int,
  num_labels: int = 1,
  class_weights: Mapping[str, jax.Array] | None = None,
  names: Sequence[str] | None = None,
  edges: jax.Array | None = None,
  known_classes: bool = True,
) -> dict[str, LossFunction]:
  """Returns the losses by name, the auxiliary one last; `loss_table.HEAD_OF` has their inputs.

  Args:
    recipe: the losses.
    num_classes: C.
    num_labels: diagnoses or findings of the cases; a loss of them takes [B, 1, 1, labels].
    class_weights: from `open_class_weights`; they differ by model, so they may be traced.
    names: of the losses, where other recipes of the same program have more than this one.
    edges: from `texture_edges`; they differ by model, so they may be traced.
    known_classes: whether the numbers of classes are those of the data.

  Raises:
    UserError: a loss or an option is not known, or the network has no head for it.
  """
  names = list(names or recipe.names)
  require(len(set(names)) == len(names) > 0, "the losses must be different and at least one", names)
  for name in names:
    _check_name(recipe, name)
  for name in recipe.options:
    if name not in LOSSES:
      raise unknown("loss in config.loss_options", name, LOSSES)
  functions: dict[str, LossFunction] = {}
  given = class_weights or {}
  for name in names:
    own = recipe.options.get(name, {})
    options = regions.with_tables(name, own, recipe.containment, num_classes)
    with user_errors(f"config.loss_options.{name}"):
      if name in given and options.get("class_weights") == ():
        options["class_weights"] = given[name]
      if name == TEXTURE:  # its option says which statistic `data.load_cases` computes
        if "statistic" in options:
          targets.check_statistic(options["statistic"])
        options = {"edges": edges}
      functions[name] = functools.partial(LOSSES[name].function, **options)
      _check_options(name, options, num_classes, num_labels, known_classes)
  return functions


def _check_name(recipe: LossRecipe, name: str) -> None:
  """Raises a UserError where there is no such loss, or it is not for the recipe's network."""
  if name not in LOSSES:
    raise unknown("loss", name, LOSSES)
  loss = LOSSES[name]
  if loss.head not in recipe.heads:
    raise UserError(
      f"config.losses: {name!r} needs the head of {loss.head}, which config.model"
      f" ({recipe.network}) has not"
    )
  if loss.reads == "findings" and not recipe.has_findings:
    raise UserError(
      f"config.losses: {name!r} needs cases that may have several findings, the columns of"
      " config.data.folder.label_columns"
    )
  if loss.reads in ("diagnosis", "embeddings") and recipe.has_findings:
    raise UserError(
      f"config.losses: {name!r} is of one diagnosis of several, and a case may have several of"
      f" config.data.folder.label_columns: use {FINDINGS!r}"
    )
  if loss.neighbours and recipe.has_volumes:
    raise UserError(f"config.losses: {name!r} is not for the slices of a volume")


def _check_options(
  name: str,
  options: Mapping[str, Any],
  num_classes: int,
  num_labels: int,
  known_classes: bool,
) -> None:
  """Checks the names of a loss's options, and calls it on shapes, which checks their values."""
  loss = LOSSES[name]
  for option in options:
    if option not in inspect.signature(loss.function).parameters:
      known = inspect.signature(loss.function).parameters.values()
      choices = [own.name for own in known if own.kind is own.KEYWORD_ONLY and own.name != "valid"]
      raise unknown(f"option of config.loss_options.{name}", option, choices)
  if not known_classes and any(isinstance(value, tuple) for value in options.values()):
    return
  pixels = jax.ShapeDtypeStruct((1, 8, 8, num_classes), jnp.float32)
  labels = jax.ShapeDtypeStruct((1, 1, 1, num_labels), jnp.float32)
  examples = {
    "segmentation": (pixels, pixels),
    "classification": (labels, labels),
    "embedding": (pixels.update(shape=(2, 8)), labels.update(shape=(2,), dtype=jnp.int32)),
  }
  if loss.head in examples:
    jax.eval_shape(functools.partial(loss.function, **options), *examples[loss.head])
