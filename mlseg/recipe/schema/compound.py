"""Kinds of values that are made of other kinds: tuples, pairs, and what may be None."""

import math
from typing import Any

from mlseg.recipe.schema.kinds import Kind, shown

_WORDS = {2: "two", 3: "three", 5: "five"}


def sequence(of: Kind, least: int = 0, most: int = 1000, plural: str = "") -> Kind:
  """Returns the kind of tuples; the lists of a JSON file are right too.

  Args:
    of: the kind of the entries.
    least: the fewest entries.
    most: the most.
    plural: the entries in words, as 'positive numbers'; '': made from their kind.

  Example:
    >>> from mlseg.recipe.schema.kinds import number
    >>> sequence(number(0, open_low=True), 2, 2, "positive numbers").fault("spacing", (1.0,))
    'spacing must be two positive numbers, not (1.0,)'
  """
  count = _WORDS.get(least, str(least)) if least == most else f"{least} or more"
  what = f"{count} {plural}" if plural else f"a tuple of {count} entries, each {of.text}"

  def fault(key: str, value: Any) -> str | None:
    if not isinstance(value, tuple | list):
      return f"{key} must be {what}, not {shown(value)}"
    if not least <= len(value) <= most:
      extra = f" (at most {most})" if len(value) > most and least != most else ""
      return f"{key} must be {what}, not {shown(tuple(value))}{extra}"
    for index, entry in enumerate(value):
      line = of.fault(f"{key}[{index}]", entry)
      if line:
        return line if not plural else f"{key} must be {what}, not {shown(tuple(value))}"
    return None

  return Kind(what, fault)


def distinct(kind: Kind, rule: str) -> Kind:
  """Returns a kind of sequences whose entries must differ.

  Args:
    kind: of the sequences.
    rule: the sentence for a sequence whose entries do not.
  """

  def fault(key: str, value: Any) -> str | None:
    line = kind.fault(key, value)
    if line is None and len(set(value)) < len(value):
      return f"{key}: {rule}, not {shown(tuple(value))}"
    return line

  return Kind(f"{kind.text}, all different", fault)


def optional(kind: Kind, none: str = "None") -> Kind:
  """Returns a kind whose values may also be None.

  Args:
    kind: of the other values.
    none: what None stands for, in words.
  """

  def fault(key: str, value: Any) -> str | None:
    return None if value is None else kind.fault(key, value)

  return Kind(f"{none}, or {kind.text}", fault)


def either(*kinds: Kind) -> Kind:
  """Returns the kind of what one of several kinds accepts; the last one names a fault."""

  def fault(key: str, value: Any) -> str | None:
    lines = [kind.fault(key, value) for kind in kinds]
    return None if None in lines else lines[-1]

  return Kind(", or ".join(kind.text for kind in kinds), fault)


def pair(first: Kind, second: Kind) -> Kind:
  """Returns the kind of tuples of two entries of two kinds."""

  def fault(key: str, value: Any) -> str | None:
    if not isinstance(value, tuple | list) or len(value) != 2:
      return f"{key} must be a pair, not {shown(value)}"
    return first.fault(f"{key}[0]", value[0]) or second.fault(f"{key}[1]", value[1])

  return Kind(f"a pair ({first.text}, {second.text})", fault)


def plain_value() -> Kind:
  """Returns the kind of numbers, texts, None, and tuples and dicts of them, all numbers finite."""

  def is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
      return all(map(is_plain, value))
    if isinstance(value, dict):
      return all(map(is_plain, value.values()))
    if isinstance(value, float):  # the program's numbers have 32 bits
      return math.isfinite(value) and abs(value) < 1e38
    if isinstance(value, int):
      return abs(value) < 2**31
    return value is None or isinstance(value, str)

  def fault(key: str, value: Any) -> str | None:
    rule = "must be finite numbers or texts, alone or in tuples"
    return None if is_plain(value) else f"{key} {rule}, not {shown(value)}"

  return Kind("numbers or texts, alone or in tuples", fault)
