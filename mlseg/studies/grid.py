"""The cells of a sweep: all combinations of the values of its axes, by flags or a study's file."""

import fnmatch
import importlib.util
import itertools
import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from mlseg.errors import UserError, require, unknown
from mlseg.recipe import find, parse

_NEEDED = ("name", "config", "axes")
_OPTIONAL = ("seeds", "settings", "cells", "reference", "published")


class Cell(NamedTuple):
  """One run of a study."""

  name: str  # of its folder below that of all: the labels, parted by slashes
  labels: dict[str, str]  # by axis
  recipe: dict[str, Any]  # its whole content


class Grid(NamedTuple):
  """Cells that make up one table, or several of the same rows."""

  name: str
  cells: tuple[Cell, ...]
  reference: str | None = None  # label of the last axis that the others are compared with
  # {"source", "rows": {label: {metric: {mean}}}}; "columns" and "note" as `report.study` has them.
  published: dict[str, Any] | None = None


def of_flags(
  path: str, variants: str | None, axes: Sequence[str], overrides: Sequence[str]
) -> Grid:
  """Returns the grid of a recipe, some variants of it, and values of keys.

  Args:
    path: of the recipe.
    variants: names with commas, 'all', or None for the recipe's default.
    axes: KEY=VALUE,VALUE,... each.
    overrides: --config.KEY=VALUE each, of all cells.

  Raises:
    UserError: a recipe, variant, key or value is not right.
  """
  path = find.find(path)
  names = [None] if variants is None else _variants(path, variants)
  settings = [_axis(text) for text in axes]
  cells = []
  for variant, values in itertools.product(names, itertools.product(*settings)):
    recipe = _parse(path, variant, overrides, values)
    words = [recipe["variant"], *(f"{key.split('.')[-1]}={value}" for key, value in values)]
    labels = {"config": ",".join(words)}
    cells.append(Cell(_file_name(labels["config"]), labels, recipe))
  _check_names(cells)
  return Grid(pathlib.Path(path).stem, tuple(cells))


def of_study(path: str, overrides: Sequence[str]) -> Grid:
  """Returns the grid that a study's file describes.

  The file has a function `get_study()` that returns a dict with 'name'; 'config', the path of the
  recipe from the file's folder; 'axes', from an axis' name to its values: a sequence of values of
  the key of that name ('variant' is the recipe's), or a dict from label to a dict of settings; and,
  where wanted, 'seeds', how many; 'settings' of all cells; 'cells', patterns of names, as
  ("planted/*", "shuffled/fixed"), without which every combination is one; 'reference', the label of
  the last axis that the others are compared with; 'published', a pair of a JSON file's path and a
  key of its 'tables', whose 'columns' are `report.study.PublishedColumn`s where they are not DMF's.

  Args:
    path: of the study.
    overrides: --config.KEY=VALUE each, of all cells whose recipe has the key; they win over the
      study.

  Raises:
    UserError: the file, its recipe, a key or a value is not right.
  """
  path = find.find(path)
  study = _read_study(path)
  recipe = str(pathlib.Path(path).parent / study["config"])
  common = dict(study.get("settings", {}))
  if "seeds" in study:
    common["num_seeds"] = study["seeds"]
  axes = {axis: _choices(path, axis, values) for axis, values in study["axes"].items()}
  plain = {}
  for labels in _chosen(path, list(itertools.product(*axes.values())), study.get("cells")):
    given = dict(common)
    for label, choices in zip(labels, axes.values(), strict=True):
      given |= choices[label]
    variant = given.pop("variant", None)
    with_text = [(key, _text(value)) for key, value in given.items()]
    plain[labels] = (variant, with_text, _parse(recipe, variant, (), with_text))
  known = [
    text for text in overrides if any(parse.has_key(own, text) for _, _, own in plain.values())
  ]
  cells = []
  for labels, (variant, with_text, own) in plain.items():
    # Overrides come last, so that they win. What no cell has is given to all, which refuse it.
    taken = [text for text in overrides if text not in known or parse.has_key(own, text)]
    content = _parse(recipe, variant, (), with_text, taken) if taken else own
    cells.append(Cell(_name(labels), dict(zip(axes, labels, strict=True)), content))
  _check_names(cells)
  reference = study.get("reference")
  if reference is not None and reference not in (last := list(axes.values())[-1]):
    raise unknown(f"reference in {path}", reference, last)
  return Grid(study["name"], tuple(cells), reference, _published(path, study.get("published")))


def with_reference(grid: Grid, reference: str) -> Grid:
  """Returns a grid whose cells are compared with those of another label of the last axis.

  Raises:
    UserError: no cell has this label.
  """
  labels = list(dict.fromkeys(list(cell.labels.values())[-1] for cell in grid.cells))
  if reference not in labels:
    raise unknown("--reference", reference, labels)
  return grid._replace(reference=reference)


def _parse(
  path: str,
  variant: str | None,
  first: Sequence[str],
  settings: Sequence[tuple[str, str]],
  last: Sequence[str] = (),
) -> dict[str, Any]:
  """Returns a recipe with overrides, settings of keys, and overrides that win over those."""
  given = [f"--config.{key}={value}" for key, value in settings]
  recipe = f"{path}:{variant}" if variant else path
  return parse.content(["mlseg.sweep", f"--config={recipe}", *first, *given, *last])


def _variants(path: str, text: str) -> list[str]:
  """Returns the variants of a recipe that were asked for."""
  if text != "all":
    return text.split(",")
  module = _load(path, "--variants=all: there is no recipe")
  if not hasattr(module, "VARIANTS"):
    raise UserError(f"--variants=all: {path} has no VARIANTS; name them instead")
  return list(module.VARIANTS)


def _load(path: str, missing: str) -> ModuleType:
  """Returns what a Python file defines; it is code of the user's, as every recipe."""
  spec = importlib.util.spec_from_file_location("mlseg_recipe", path)
  if spec is None or spec.loader is None or not pathlib.Path(path).is_file():
    raise UserError(f"{missing} {path}")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except Exception as error:  # code can fail in any way
    raise UserError(f"{path}: {type(error).__name__}: {error}") from error
  return module


def _axis(text: str) -> list[tuple[str, str]]:
  """Returns the settings (key, value) of one --grid; a comma within brackets does not part values.

  Example:
    >>> _axis("weighting.fixed=(1,2,1),(1,1,1)")
    [('weighting.fixed', '(1,2,1)'), ('weighting.fixed', '(1,1,1)')]
  """
  key, equals, values = text.partition("=")
  if not key or not equals or not values:
    raise UserError(f"--grid must be KEY=VALUE,VALUE,..., not {text!r}")
  return [(key, value) for value in re.split(r",(?![^(]*\))", values)]


def _read_study(path: str) -> dict[str, Any]:
  """Returns what a study's file describes, its form checked."""
  module = _load(path, "--study: there is no file")
  if not callable(getattr(module, "get_study", None)):
    raise UserError(f"{path} has no function get_study: it is not a study")
  study = module.get_study()
  if not isinstance(study, Mapping):
    raise UserError(f"{path}: get_study must return a dict, not {type(study).__name__}")
  for name in study:
    if name not in (*_NEEDED, *_OPTIONAL):
      raise unknown(f"entry of the study {path}", name, (*_NEEDED, *_OPTIONAL))
  missing = [name for name in _NEEDED if not study.get(name)]
  if missing:
    raise UserError(f"{path}: the study needs {', '.join(missing)}")
  if not isinstance(study["axes"], Mapping):
    raise UserError(f"{path}: axes must be a dict, not {type(study['axes']).__name__}")
  return dict(study)


def _choices(path: str, axis: str, values: Any) -> dict[str, dict[str, Any]]:
  """Returns the settings of each label of an axis."""
  if isinstance(values, Mapping):
    for label, given in values.items():
      rule = f"{path}: label {label!r} of axis {axis!r} must have a dict of settings"
      require(isinstance(given, Mapping), rule, given)
    return {str(label): dict(given) for label, given in values.items()}
  if isinstance(values, str) or not isinstance(values, Sequence):
    raise UserError(f"{path}: axis {axis!r} must be a dict or a sequence of values, not {values!r}")
  return {_text(value): {axis: value} for value in values}


def _chosen(path: str, labels: list[tuple[str, ...]], patterns: Any) -> list[tuple[str, ...]]:
  """Returns those labels of cells whose name a pattern fits; without patterns, all."""
  if patterns is None:
    return labels
  if isinstance(patterns, str) or not isinstance(patterns, Sequence):
    raise UserError(f"{path}: cells must be a sequence of patterns of names, not {patterns!r}")
  names = {_name(own): own for own in labels}
  for pattern in patterns:
    if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
      raise UserError(f"{path}: cells: {pattern!r} is none of {', '.join(names)}")
  return [own for own in labels if any(fnmatch.fnmatchcase(_name(own), p) for p in patterns)]


def _name(labels: Sequence[str]) -> str:
  """Returns the name of a cell, the folders of its labels."""
  return "/".join(map(_file_name, labels))


def _text(value: Any) -> str:
  """Returns a value as the command line takes it."""
  return value if isinstance(value, str) else repr(value)


def _file_name(label: str) -> str:
  """Returns a label as the name of a folder.

  Example:
    >>> _file_name("fixed,weights=(1,2)")
    'fixed__weights=(1__2)'
  """
  return re.sub(r"[^\w+.=()-]", "_", label.replace(",", "__"))


def _check_names(cells: Sequence[Cell]) -> None:
  names = [cell.name for cell in cells]
  twice = [name for name in names if names.count(name) > 1]
  if twice:
    raise UserError(f"the grid has {twice[0]!r} twice")


def _published(path: str, table: Sequence[str] | None) -> dict[str, Any] | None:
  """Returns the published table that a study names."""
  if table is None:
    return None
  file, key = pathlib.Path(path).parent / table[0], table[1]
  try:
    content = json.loads(file.read_text())
    optional = {name: content[name] for name in ("columns", "note") if name in content}
    return {"source": content["source"], "rows": content["tables"][key], **optional}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise UserError(f"{path}: published table {key!r} of {file} cannot be read ({error})") from None
