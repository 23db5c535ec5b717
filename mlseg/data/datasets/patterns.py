"""Naming patterns: they find pictures and masks in a folder, and read fields from their paths."""

import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlseg.errors import UserError

FIELDS = ("name", "label", "patient", "class")
_TOKEN = re.compile(r"\{(\w*)\}|\*|[{}]|[^{}*]+")


class Pattern(NamedTuple):
  """A pattern of relative paths."""

  text: str  # as in the config
  regex: re.Pattern[str]  # over a relative path with '/'
  fields: tuple[str, ...]  # in the order of their first use
  num_literal: int  # number of characters outside of fields and '*'


def parse(text: str, option: str, class_names: Sequence[str] = ()) -> Pattern:
  """Returns the pattern of an option of config.data.folder.

  `{name}`, `{label}`, `{patient}` and `*` match any text without a '/', as much of it as possible.
  `{class}` matches the name of a class. A field that occurs again must match the same text.

  Args:
    text: such as 'Images/bus_{name}.png'.
    option: name of the option, for messages.
    class_names: the texts that `{class}` matches.

  Raises:
    UserError: the pattern is absolute, has no `{name}`, or has an unknown field.

  Example:
    >>> parse("{patient}/{name}_mask.tif", "masks").regex.fullmatch("p1/7_mask.tif").groupdict()
    {'patient': 'p1', 'name': '7'}
  """
  where = f"config.data.folder.{option} {text!r}"
  if text.startswith("/") or ".." in text.split("/"):
    raise UserError(f"{where} must be a path below the data folder")
  expression, fields, num_literal = "", [], 0
  for token in _TOKEN.finditer(text):
    field = token[1]
    if field is not None:
      if field not in FIELDS:
        raise UserError(f"{where}: unknown field {token[0]}, choose from {_braced(FIELDS)}")
      if field == "class" and not class_names:
        raise UserError(f"{where}: {{class}} is for config.data.folder.masks")
      group = "|".join(map(re.escape, class_names)) if field == "class" else "[^/]+"
      expression += f"(?P={field})" if field in fields else f"(?P<{field}>{group})"
      fields += [] if field in fields else [field]
    elif token[0] == "*":
      expression += "[^/]*"
    elif token[0] in "{}":
      raise UserError(f"{where}: {token[0]!r} must be part of a field such as {{name}}")
    else:
      expression += re.escape(token[0])
      num_literal += len(token[0])
  if "name" not in fields:
    raise UserError(f"{where} must have the field {{name}}")
  return Pattern(text, re.compile(expression), tuple(fields), num_literal)


def _braced(fields: Iterable[str]) -> str:
  return ", ".join(f"{{{field}}}" for field in fields)


def fill(pattern: Pattern, values: dict[str, str]) -> str:
  """Returns the text of a pattern with its known fields filled in, for messages.

  Example:
    >>> fill(parse("masks/{name}_{class}.png", "masks", ["cup"]), {"name": "7"})
    'masks/7_{class}.png'
  """
  return re.sub(r"\{(\w+)\}", lambda token: values.get(token[1], token[0]), pattern.text)


def list_files(root: pathlib.Path) -> list[str]:
  """Returns the relative paths, with '/', of all files below a folder that are not hidden.

  Links to folders are followed; each folder is listed once.

  Raises:
    UserError: a folder cannot be read.
  """
  found, seen = [], set()
  for folder, folders, names in os.walk(root, onerror=_refuse, followlinks=True):
    real = os.path.realpath(folder)
    folders[:] = [] if real in seen else [name for name in folders if not name.startswith(".")]
    here = pathlib.Path(folder).relative_to(root)
    if real not in seen:
      found += [(here / name).as_posix() for name in names if not name.startswith(".")]
    seen.add(real)
  return sorted(found)


def _refuse(error: OSError) -> None:
  raise UserError(f"folder {error.filename}: cannot be read ({error.strerror})") from error
