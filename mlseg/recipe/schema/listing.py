"""Prints the tables of keys: as lines of a help text, and as a page of Markdown."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mlseg.recipe.auxiliary_schedule import SCHEDULES
from mlseg.recipe.loss_table import LOSSES
from mlseg.recipe.schema import options
from mlseg.recipe.schema.keys import ABSENT, KEYS, NEEDED, OPTIONS, Key
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
  for section, _, table in _optional_sections():
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
  for section, title, table in _optional_sections():
    parts.append(f"## {title}")
    rows = [
      (f"`{section}.{name}.{own.name}`", own.meaning, own.kind.text, f"`{own.default!r}`")
      for name, found in table.items()
      for own in found
    ]
    parts.append(_table(("key", "meaning", "values", "default"), rows))
  return "\n\n".join(parts)


def _optional_sections() -> Iterator[tuple[str, str, dict[str, tuple[options.Option, ...]]]]:
  """Yields the sections of options, with their title, and the options by name."""
  names: dict[str, Iterable[str]] = {"weighting": METHODS, "loss": LOSSES, "schedule": SCHEDULES}
  titles = {
    "weighting": "Options of weightings",
    "loss": "Options of losses",
    "schedule": "Arguments of the schedules of the auxiliary loss",
  }
  for section, noun in OPTIONS.items():
    own = {name: options.OF[noun](name) or () for name in names[noun] if name != "fixed"}
    yield section, titles[noun], own


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
