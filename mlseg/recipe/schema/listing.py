"""Prints the tables of keys: as lines of a help text, and as a page of Markdown."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlseg.recipe.loss_table import LOSSES
from mlseg.recipe.schema import options
from mlseg.recipe.schema.keys import ABSENT, KEYS, NEEDED, Key
from mlseg.weighting.registry import METHODS

_WIDTH = 100


def lines(content: Mapping[str, Any] | None = None) -> Iterator[str]:
  """Yields the lines of a help text: each key with its meaning, values and default.

  Args:
    content: of a recipe, whose own keys and values are shown; None: all keys there are.
  """
  for key in KEYS:
    value = None if content is None else _value(content, key)
    if content is not None and value is None:
      continue
    yield f"  --config.{key.path}"
    said = f"{key.meaning}{_of(key)} {_sentence(key.kind.text)}"
    said += f" {_default(key)}" if content is None else f" Here: {value}."
    yield from textwrap.wrap(said, _WIDTH, initial_indent="      ", subsequent_indent="      ")
  for section, table in (("weighting.options", _weightings()), ("loss_options", _losses())):
    for name, own in table.items():
      if own and content is None:
        yield f"  --config.{section}.{name}.*"
        said = ", ".join(f"{option.name}={option.default!r}" for option in own)
        yield from textwrap.wrap(
          f"{said}.", _WIDTH, initial_indent="      ", subsequent_indent="      "
        )


def to_markdown() -> str:
  """Returns the tables of all keys, a section of the page for each section of a recipe."""
  parts: list[str] = []
  for section in dict.fromkeys(key.path.partition(".")[0] if "." in key.path else ""
                               for key in KEYS):  # fmt: skip
    own = [k for k in KEYS if (k.path.partition(".")[0] if "." in k.path else "") == section]
    parts.append(f"## {f'config.{section}' if section else 'The run'}")
    rows = [
      (f"`{key.path}`", f"{key.meaning}{_of(key)}", key.kind.text, _default_cell(key))
      for key in own
    ]
    parts.append(_table(("key", "meaning", "values", "default"), rows))
  for section, title, table in (
    ("weighting.options", "Options of weightings", _weightings()),
    ("loss_options", "Options of losses", _losses()),
  ):
    parts.append(f"## {title}")
    rows = [
      (f"`{section}.{name}.{own.name}`", own.meaning, own.kind.text, f"`{own.default!r}`")
      for name, found in table.items()
      for own in found
    ]
    parts.append(_table(("key", "meaning", "values", "default"), rows))
  return "\n\n".join(parts)


def _weightings() -> dict[str, tuple[options.Option, ...]]:
  return {name: options.of_weighting(name) or () for name in METHODS if name != "fixed"}


def _losses() -> dict[str, tuple[options.Option, ...]]:
  return {name: options.of_loss(name) or () for name in LOSSES}


def _value(content: Mapping[str, Any], key: Key) -> str | None:
  found: Any = content
  for part in key.path.split("."):
    if not isinstance(found, Mapping) or part not in found:
      return None
    found = found[part]
  return repr(found)


def _of(key: Key) -> str:
  return f" Of {', '.join(key.of)}." if key.of else ""


def _sentence(text: str) -> str:
  return f"{text[:1].upper()}{text[1:]}."


def _default(key: Key) -> str:
  if key.default is NEEDED:
    return "Needed."
  return "" if key.default is ABSENT else f"Default: {key.default!r}."


def _default_cell(key: Key) -> str:
  if key.default is NEEDED:
    return "needed"
  return "absent" if key.default is ABSENT else f"`{key.default!r}`"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
  every = [header, ("---",) * len(header), *rows]
  return "\n".join(
    "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in every
  )
