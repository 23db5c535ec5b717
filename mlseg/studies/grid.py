"""The cells of a sweep: all combinations of the values of its axes, by flags or a study's file."""

import fnmatch
import itertools
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlseg.errors import UserError, unknown
from mlseg.recipe import find, parse
from mlseg.studies import study_file


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
  keys = [values[0][0] for values in settings]
  for key in keys:
    if keys.count(key) > 1:
      raise UserError(f"--grid has the key {key} twice: give all of its values in one --grid")
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
  study = study_file.read(path)
  recipe = str(pathlib.Path(path).parent / study["config"])
  common = dict(study.get("settings", {}))
  if "seeds" in study:
    common["num_seeds"] = study["seeds"]
  axes = {axis: study_file.choices(path, axis, values) for axis, values in study["axes"].items()}
  plain = {}
  for labels in _chosen(path, list(itertools.product(*axes.values())), study.get("cells")):
    given = common | _merged(path, labels, axes)
    variant = given.pop("variant", None)
    with_text = [(key, study_file.as_text(value)) for key, value in given.items()]
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
  return Grid(
    study["name"], tuple(cells), reference, study_file.published(path, study.get("published"))
  )


def _merged(
  path: str, labels: Sequence[str], axes: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> dict[str, Any]:
  """Returns the settings of the labels of a cell, of which no two axes set the same key."""
  given: dict[str, Any] = {}
  setter: dict[str, str] = {}
  for label, (axis, choices) in zip(labels, axes.items(), strict=True):
    for key, value in choices[label].items():
      if key in given:
        raise UserError(f"{path}: the axes {setter[key]!r} and {axis!r} both set {key!r}")
      given[key], setter[key] = value, axis
  return given


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
  module = study_file.load_module(path, "--variants=all: there is no recipe")
  variants = getattr(module, "VARIANTS", None)
  if not study_file.is_texts(variants) or not variants:
    raise UserError(f"--variants=all: {path} has no VARIANTS, a tuple of names; name them instead")
  return list(variants)


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


def _chosen(path: str, labels: list[tuple[str, ...]], patterns: Any) -> list[tuple[str, ...]]:
  """Returns those labels of cells whose name a pattern fits; without patterns, all."""
  if patterns is None:
    return labels
  if not patterns:
    raise UserError(f"{path}: cells: without a pattern there is no cell; leave it out for all")
  names = {_name(own): own for own in labels}
  for pattern in patterns:
    if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
      raise UserError(f"{path}: cells: {pattern!r} is none of {', '.join(names)}")
  return [own for own in labels if any(fnmatch.fnmatchcase(_name(own), p) for p in patterns)]


def _name(labels: Sequence[str]) -> str:
  """Returns the name of a cell, the folders of its labels."""
  return "/".join(map(_file_name, labels))


def _file_name(label: str) -> str:
  """Returns a label as the name of a folder.

  Example:
    >>> _file_name("fixed,weights=(1,2)")
    'fixed__weights=(1__2)'
  """
  return re.sub(r"[^\w+.=()-]", "_", label.replace(",", "__"))


def _check_names(cells: Sequence[Cell]) -> None:
  names = [cell.name for cell in cells]
  for name in names:
    for part in name.split("/"):
      if part.strip(".") == "" or part == "checkpoints" or len(part.encode()) > 255:
        raise UserError(f"the grid has a cell {name!r}, whose label cannot name a folder")
  twice = [name for name in names if names.count(name) > 1]
  if twice:
    raise UserError(f"the grid has {twice[0]!r} twice")
