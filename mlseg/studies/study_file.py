"""Reads a study's file: a Python file with a function `get_study`, whose form is checked."""

import importlib.util
import json
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from mlseg.errors import UserError, one_line, require, unknown
from mlseg.files import read_bytes

_NEEDED = ("name", "config", "axes")
_OPTIONAL = ("seeds", "settings", "cells", "reference", "published")


def load_module(path: str, missing: str) -> ModuleType:
  """Returns what a Python file defines; it is code of the user's, as every recipe."""
  spec = importlib.util.spec_from_file_location("mlseg_recipe", path)
  if spec is None or spec.loader is None or not os.path.isfile(path):
    raise UserError(f"{missing} {path}")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except (Exception, SystemExit) as error:  # code can fail in any way
    raise UserError(f"{path}: {one_line(error)}") from error
  return module


def read(path: str) -> dict[str, Any]:
  """Returns what a study's file describes, its form checked."""
  module = load_module(path, "--study: there is no file")
  if not callable(getattr(module, "get_study", None)):
    raise UserError(f"{path} has no function get_study: it is not a study")
  try:
    study = module.get_study()
  except (Exception, SystemExit) as error:  # code can fail in any way
    raise UserError(f"{path}: get_study: {one_line(error)}") from error
  if not isinstance(study, Mapping):
    raise UserError(f"{path}: get_study must return a dict, not {type(study).__name__}")
  for name in study:
    if name not in (*_NEEDED, *_OPTIONAL):
      raise unknown(f"entry of the study {path}", name, (*_NEEDED, *_OPTIONAL))
  missing = [name for name in _NEEDED if study.get(name) in (None, "", {}, ())]
  if missing:
    raise UserError(f"{path}: the study needs {', '.join(missing)}")
  given = {name: value for name, value in study.items() if value is not None or name in _NEEDED}
  if not isinstance(study["axes"], Mapping):
    raise UserError(f"{path}: axes must be a dict, not {type(study['axes']).__name__}")
  for name, value in given.items():
    is_right, rule = _FORMS[name]
    require(is_right(value), f"{path}: {name} must be {rule}", value)
  return given


def is_texts(value: Any) -> bool:
  """Returns whether a value is a tuple or a list of texts."""
  return isinstance(value, tuple | list) and all(isinstance(entry, str) for entry in value)


def _is_settings(value: Any) -> bool:
  """Returns whether a value is a dict whose keys are texts."""
  return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


# By the name of an entry of a study: whether a value is right, and the rule in words.
_FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
  "name": (lambda v: isinstance(v, str) and re.fullmatch(r"[\w+.=()-]+", v) is not None
           and v.strip(".") != "", "a name of letters, digits and _+.=()-"),
  "config": (lambda v: isinstance(v, str) and v != "", "the path of a recipe"),
  "axes": (_is_settings, "a dict of axes"),
  "seeds": (lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1,
            "a number of seeds of at least 1"),
  "settings": (_is_settings, "a dict of keys and values"),
  "cells": (is_texts, "a sequence of patterns of names"),
  "reference": (lambda v: isinstance(v, str), "a label of the last axis"),
  "published": (lambda v: is_texts(v) and len(v) == 2, "a pair: a JSON file, a key of its tables"),
}  # fmt: skip


def choices(path: str, axis: str, values: Any) -> dict[str, dict[str, Any]]:
  """Returns the settings of each label of an axis."""
  if isinstance(values, Mapping):
    for label, given in values.items():
      rule = f"{path}: label {label!r} of axis {axis!r} must have a dict of settings"
      require(_is_settings(given), rule, given)
    require(bool(values), f"{path}: axis {axis!r} must have labels", dict(values))
    return {str(label): dict(given) for label, given in values.items()}
  if isinstance(values, str) or not isinstance(values, Sequence):
    raise UserError(f"{path}: axis {axis!r} must be a dict or a sequence of values, not {values!r}")
  require(len(values) > 0, f"{path}: axis {axis!r} must have values", values)
  texts = [as_text(value) for value in values]
  for text in texts:
    if texts.count(text) > 1:
      raise UserError(f"{path}: axis {axis!r} has the value {text} twice")
  return {as_text(value): {axis: value} for value in values}


def as_text(value: Any) -> str:
  """Returns a value as the command line takes it."""
  return value if isinstance(value, str) else repr(value)


def published(path: str, table: Sequence[str] | None) -> dict[str, Any] | None:
  """Returns the published table that a study names."""
  if table is None:
    return None
  file, key = pathlib.Path(path).parent / table[0], table[1]
  try:
    content = json.loads(read_bytes(file))
    optional = {name: content[name] for name in ("columns", "note") if name in content}
    rows = content["tables"][key]
    for label, row in rows.items():
      for metric, entry in row.items():
        if not isinstance(entry, dict) or not isinstance(entry["mean"], int | float):
          raise ValueError(f"{metric} of {label} has no number 'mean'")
    return {"source": str(content["source"]), "rows": rows, **optional}
  except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
    reason = one_line(error)
    raise UserError(
      f"{path}: published table {key!r} of {file} cannot be read ({reason})"
    ) from None
