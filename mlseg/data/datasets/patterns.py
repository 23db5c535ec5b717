"""Naming patterns: they find pictures and masks in a folder, and read fields from their paths."""

import functools
import os
import pathlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mlseg.errors import UserError

FIELDS = ("name", "label", "patient", "class")
_TOKEN = re.compile(r"\{(\w*)\}|\*|[{}]|[^{}*]+")


class Pattern(NamedTuple):
  """A pattern of relative paths."""

  text: str  # as in the config
  regex: re.Pattern[str]  # over a relative path with '/', normalised to NFC
  shortest: re.Pattern[str]  # the same, with fields that match as little as possible
  fields: tuple[str, ...]  # in the order of their first use
  num_literal: int  # number of characters outside of fields and '*'

  def readings(self, path: str) -> list[dict[str, str]]:
    """Returns the fields that a path can have; empty where it does not match.

    The first reading has as much text as possible in each field, from the left; the others follow
    by the length of their name.

    Names are compared in Unicode's form NFC, since disks of different systems write 'é' in
    different ways.
    """
    text = unicodedata.normalize("NFC", path)
    first, last = self.regex.fullmatch(text), self.shortest.fullmatch(text)
    if not first or not last:
      return []
    found = [first.groupdict()]
    if first.groupdict() == last.groupdict() or "name" not in self.fields:
      return found
    for length in range(len(text), 0, -1):
      match = _with_length(self.regex.pattern, length).fullmatch(text)
      if match and match.groupdict() not in found:
        found.append(match.groupdict())
    return found


@functools.lru_cache(1000)
def _with_length(expression: str, length: int) -> re.Pattern[str]:
  """Returns an expression whose name has a number of characters."""
  return re.compile(expression.replace("(?P<name>[^/]+)", f"(?P<name>[^/]{{{length}}})"))


def parse(
  text: str, option: str, class_names: Sequence[str] = (), *, needs_name: bool = True
) -> Pattern:
  """Returns the pattern of an option of config.data.folder.

  `{name}`, `{label}`, `{patient}` and `*` match any text without a '/'. `{class}` matches the name
  of a class. A field that occurs again must match the same text. The suffix is compared without
  case.

  Args:
    text: such as 'Images/bus_{name}.png'.
    option: name of the option, for messages.
    class_names: the texts that `{class}` matches.
    needs_name: whether the pattern must have the field `{name}`.

  Raises:
    UserError: the pattern is absolute, has no `{name}`, or has an unknown field.

  Example:
    >>> parse("{patient}/{name}_mask.tif", "masks").readings("p1/7_mask.TIF")
    [{'patient': 'p1', 'name': '7'}]
  """
  text = unicodedata.normalize("NFC", text)
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
      names = [unicodedata.normalize("NFC", name) for name in class_names]
      group = "|".join(map(re.escape, names)) if field == "class" else "[^/]+"
      expression += f"(?P={field})" if field in fields else f"(?P<{field}>{group})"
      fields += [] if field in fields else [field]
    elif token[0] == "*":
      expression += "[^/]*"
    elif token[0] in "{}":
      raise UserError(f"{where}: {token[0]!r} must be part of a field such as {{name}}")
    else:
      is_last = token.end() == len(text)
      expression += _literal(token[0]) if is_last else re.escape(token[0])
      num_literal += len(token[0])
  if needs_name and "name" not in fields:
    raise UserError(f"{where} must have the field {{name}}")
  shortest = expression.replace("[^/]+", "[^/]+?").replace("[^/]*", "[^/]*?")
  return Pattern(text, re.compile(expression), re.compile(shortest), tuple(fields), num_literal)


def _literal(text: str) -> str:
  """Returns the expression of the last part of a pattern, whose suffix is of any case."""
  start = text.rfind(".") if "/" not in text[text.rfind(".") :] else -1
  if start < 0:
    return re.escape(text)
  return f"{re.escape(text[:start])}(?i:{re.escape(text[start:])})"


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
