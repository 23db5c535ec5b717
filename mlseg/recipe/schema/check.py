"""Checks a recipe against the tables: all faults at once, one line each; and adds the defaults."""

import copy
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from mlseg.errors import UserError
from mlseg.recipe.schema import options, rules
from mlseg.recipe.schema.keys import ABSENT, KEYS, NEEDED, OPTIONS, Key
from mlseg.recipe.schema.kinds import shown

_MOST = 10  # most faults that a message lists
_MISSING = object()
# What a trained run needs to predict.
NETWORK = ("name", "variant", "data", "model", "prediction")


def plain(recipe: ConfigDict | Mapping[str, Any]) -> dict[str, Any]:
  """Returns a recipe as nested dicts of its own, with tuples for the lists of a JSON file."""
  content = recipe.to_dict() if isinstance(recipe, ConfigDict) else recipe
  return {key: _plain_value(value) for key, value in content.items()}


def _plain_value(value: Any) -> Any:
  if isinstance(value, ConfigDict | Mapping):
    return plain(value)
  if isinstance(value, list | tuple):
    return tuple(map(_plain_value, value))
  return copy.copy(value)


def complete(content: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a recipe with the defaults of the keys that it has not, and floats as floats.

  A key without a default stays absent, and what is no section stays as it is: `check` names both.

  Example:
    >>> complete({"name": "mine", "num_epochs": 5})["patience"]
    0
  """
  whole = plain(content)
  chosen = _chosen(whole)
  for key in KEYS:
    if not _applies(key, chosen):
      continue
    *sections, name = key.path.split(".")
    place: Any = whole
    for section in sections:
      if isinstance(place, dict) and key.default is not NEEDED:
        place.setdefault(section, {})
      place = place.get(section) if isinstance(place, dict) else None
    if not isinstance(place, dict):
      continue
    if key.default is not NEEDED and key.default is not ABSENT:
      place.setdefault(name, key.default)
    if name in place:
      place[name] = key.kind.convert(place[name])
  for path in OPTIONS:
    section, _, name = path.rpartition(".")
    place = whole.setdefault(section, {}) if section else whole
    if isinstance(place, dict):
      place.setdefault(name, {})
  return whole


def check(content: Mapping[str, Any]) -> None:
  """Raises a UserError that names all faults of a complete recipe.

  Args:
    content: of the recipe, from `complete`.
  """
  _refuse(list(faults(content)) or list(rules.faults(content)), "")


def check_network(content: Mapping[str, Any], source: object) -> None:
  """Checks what a trained run needs to predict; its other keys, also unknown ones, do not count.

  Args:
    content: of the recipe, from `complete`.
    source: the file that it comes from, for the message.

  Raises:
    UserError: a key is missing, or its value is not right.
  """
  found = [line for key, line in _of_keys(content) if key.partition(".")[0] in NETWORK]
  _refuse(found, f"{source} is not the config of a run: ")


def _refuse(found: list[str], prefix: str) -> None:
  if found:
    more = f"; and {len(found) - _MOST} more faults" if len(found) > _MOST else ""
    raise UserError(f"{prefix}{'; '.join(found[:_MOST])}{more}")


def faults(content: Mapping[str, Any]) -> Iterator[str]:
  """Yields what is wrong with a complete recipe, a line for each fault.

  Example:
    >>> list(faults(complete({"name": "mine", "num_epochs": 0.5})))[:2]
    ['config.num_epochs must be an integer, not 0.5', 'config.batch_size is missing: images, or \
patients of a cohort, in a step']
  """
  yield from (line for _, line in _of_keys(content))
  yield from _unknown(content)
  yield from _of_options(content)


def _chosen(content: Mapping[str, Any]) -> set[str]:
  """Returns the names of a recipe's network and data set."""
  found = (_lookup(content, path) for path in ("model.name", "data.name"))
  return {name for name in found if isinstance(name, str)}


def _applies(key: Key, chosen: set[str]) -> bool:
  return not key.of or bool(chosen.intersection(key.of))


def _lookup(content: Any, path: str) -> Any:
  """Returns the value of a dotted key; _MISSING where there is none."""
  for part in path.split("."):
    if not isinstance(content, Mapping) or part not in content:
      return _MISSING
    content = content[part]
  return content


def _of_keys(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
  """Yields the path of each key with a fault, and the fault."""
  chosen = _chosen(content)
  broken: set[str] = set()
  for key in KEYS:
    if not _applies(key, chosen):
      continue
    section = _not_a_section(content, key.path)
    if section:
      if section not in broken:
        value = _lookup(content, section)
        yield section, f"config.{section} must be a section of keys, not {shown(value)}"
      broken.add(section)
      continue
    value = _lookup(content, key.path)
    if value is not _MISSING:
      line = key.kind.fault(f"config.{key.path}", value)
      if line:
        yield key.path, line
    elif key.default is NEEDED:
      meaning = key.meaning.rstrip(".")
      yield key.path, f"config.{key.path} is missing: {meaning[:1].lower()}{meaning[1:]}"


def _not_a_section(content: Mapping[str, Any], path: str) -> str | None:
  """Returns the part of a dotted key that should be a section, and is a value."""
  parts = path.split(".")
  for length in range(1, len(parts)):
    section = ".".join(parts[:length])
    value = _lookup(content, section)
    if value is not _MISSING and not isinstance(value, Mapping):
      return section
  return None


def _unknown(content: Mapping[str, Any]) -> Iterator[str]:
  known = {key.path for key in KEYS}
  sections = {"", *OPTIONS} | {path.rpartition(".")[0] for path in known if "." in path}
  sections |= {section.partition(".")[0] for section in sections if section}
  for path, is_section in _paths(content):
    if any(path == own or path.startswith(f"{own}.") for own in OPTIONS):
      continue
    if path in known or (path in sections and is_section):
      continue
    if path.rpartition(".")[0] not in sections or path in sections:
      continue  # its section is named instead; or it is a section's value, which is named already
    near = difflib.get_close_matches(path, [*known, *sections], 1, 0.8)
    hint = f'. Did you mean "{near[0]}"?' if near and near[0] else ""
    yield f"unknown config key {path!r}{hint}"


def _paths(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, bool]]:
  """Yields the dotted names of all keys and sections, and whether they are sections."""
  for name, value in content.items():
    path = f"{prefix}{name}"
    yield path, isinstance(value, Mapping)
    if isinstance(value, Mapping):
      yield from _paths(value, f"{path}.")


def _of_options(content: Mapping[str, Any]) -> Iterator[str]:
  """Yields what is wrong with the options of weightings and losses."""
  for section, noun in OPTIONS.items():
    found = _lookup(content, section)
    if not isinstance(found, Mapping):
      if found is not _MISSING:
        yield f"config.{section} must be a section of keys, not {shown(found)}"
      continue
    for name, own in found.items():
      known = options.OF[noun](name)
      if known is None:
        yield str(options.unknown_section(section, noun, name))
      elif not isinstance(own, Mapping):
        yield f"config.{section}.{name} must be a section of keys, not {shown(own)}"
      else:
        yield from options.faults(f"config.{section}.{name}", own, known)
