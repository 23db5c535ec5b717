"""What a value of a recipe may be: each kind describes itself, and names the fault of a value."""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from mlseg.errors import unknown

_SHOWN = 60  # most characters of a value in a message


class Kind(NamedTuple):
  """What a value may be.

  Attributes:
    text: what it may be, in words, as 'an integer of at least 1'.
    fault: `fault(key, value)`: what is wrong with a value, as one line that begins with the key;
      None where nothing is.
    convert: `convert(value)`: a value as the code takes it, where a person may write another.
  """

  text: str
  fault: Callable[[str, Any], str | None]
  convert: Callable[[Any], Any] = lambda value: value


def shown(value: Any) -> str:
  """Returns a value as a message shows it: in one line, and cut short.

  Example:
    >>> shown("x" * 100)[-10:], shown(10**5000)
    ('xxxxxxx...', 'an integer of 5001 digits or so')
  """
  try:
    text = repr(value)
  except ValueError:  # Python refuses to print an integer of more than 4300 digits
    return f"an integer of {int(value.bit_length() * math.log10(2)) + 1} digits or so"
  text = " ".join(text.split())
  return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def boolean() -> Kind:
  """Returns the kind of True and False."""

  def fault(key: str, value: Any) -> str | None:
    return None if isinstance(value, bool) else f"{key} must be True or False, not {shown(value)}"

  return Kind("True or False", fault)


def integer(low: int, high: int = 2**31 - 1, why: str = "", also: Collection[int] = ()) -> Kind:
  """Returns the kind of whole numbers from `low` to `high`.

  Args:
    low: the least.
    high: the largest.
    why: the reason for the largest, for messages; '': it is the end of a range like any other.
    also: values beyond the range that are right too.

  Example:
    >>> integer(8, also=(0,)).fault("config.data.patch_size", 4)
    'config.data.patch_size must be 0, or at least 8, not 4'
    >>> integer(1, 9).fault("n", True)
    'n must be an integer, not True'
  """

  def fault(key: str, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
      return f"{key} must be an integer, not {shown(value)}"
    return None if value in also else _out_of_range(key, value, low, high, why, also)

  return Kind(_range_text("an integer", low, high, why, also), fault)


def number(
  low: float,
  high: float = 1e9,
  why: str = "",
  *,
  open_low: bool = False,
  open_high: bool = False,
) -> Kind:
  """Returns the kind of finite numbers from `low` to `high`.

  Args:
    low: the least.
    high: the largest.
    why: as in `integer`.
    open_low: whether the least is no value itself.
    open_high: whether the largest is no value itself.

  Example:
    >>> number(0, 1, open_high=True).fault("config.model.norm_momentum", float("nan"))
    'config.model.norm_momentum must be a finite number, not nan'
    >>> number(0, 1, open_high=True).fault("config.model.norm_momentum", -1)
    'config.model.norm_momentum must be in [0, 1), not -1'
    >>> number(0, open_low=True).fault("config.optimizer.learning_rate", 0)
    'config.optimizer.learning_rate must be positive, not 0'
    >>> number(0).text, number(-1e9).text
    ('a number of at least 0', 'a number')
  """

  def fault(key: str, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
      return f"{key} must be a number, not {shown(value)}"
    if isinstance(value, float) and not math.isfinite(value):
      return f"{key} must be a finite number, not {value!r}"
    return _out_of_range(key, value, low, high, why, (), (open_low, open_high))

  text = _range_text("a number", low, high, why, (), (open_low, open_high))
  return Kind(text, fault, _as_float)


def _as_float(value: Any) -> Any:
  """Returns a whole number as a float; anything else, and what floats cannot hold, unchanged.

  Example:
    >>> _as_float(1), _as_float(True), _as_float("1")
    (1.0, True, '1')
  """
  if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**53:
    return value
  return float(value)


_UNLIMITED = (1e9, 2**31 - 1)  # ends of ranges that no message calls a rule of the key


def _out_of_range(
  key: str,
  value: float,
  low: float,
  high: float,
  why: str,
  also: Collection[int],
  is_open: tuple[bool, bool] = (False, False),
) -> str | None:
  below = value <= low if is_open[0] else value < low
  above = value >= high if is_open[1] else value > high
  if not below and not above:
    return None
  only = "".join(f"{other}, or " for other in also)
  if not why and high not in _UNLIMITED:
    rule = f"{only}{_interval(low, high, is_open)}" if also else _interval(low, high, is_open)
  elif above:
    rule = f"at most {high:g}"
  elif is_open[0] and not low:
    rule = "positive"
  elif not low:
    return f"{key} must not be negative, not {shown(value)}"
  else:
    rule = f"{only}at least {low:g}"
  reason = f" ({why})" if above and why else ""
  return f"{key} must be {rule}, not {shown(value)}{reason}"


def _interval(low: float, high: float, is_open: tuple[bool, bool]) -> str:
  """Returns a range as text.

  Example:
    >>> _interval(0, 1, (False, True))
    'in [0, 1)'
  """
  return f"in {'(' if is_open[0] else '['}{low:g}, {high:g}{')' if is_open[1] else ']'}"


def _range_text(
  what: str,
  low: float,
  high: float,
  why: str,
  also: Collection[int],
  is_open: tuple[bool, bool] = (False, False),
) -> str:
  only = "".join(f"{other}, or " for other in also)
  if high not in _UNLIMITED:
    reason = f" ({why})" if why else ""
    return f"{only}{what} {_interval(low, high, is_open)}{reason}"
  if -low in _UNLIMITED:
    return f"{only}{what}"
  if is_open[0]:
    return f"{only}{what} above {low:g}"
  return f"{only}{what} of at least {low:g}"


def text(*, least: int = 0, most: int = 4096) -> Kind:
  """Returns the kind of texts without control characters.

  Args:
    least: the fewest characters.
    most: the most.
  """

  def fault(key: str, value: Any) -> str | None:
    if not isinstance(value, str):
      return f"{key} must be a text, not {shown(value)}"
    if len(value) < least:
      return f"{key} must not be empty"
    if len(value) > most:
      return f"{key} must have at most {most} characters, not {len(value)}"
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in value):
      return f"{key} must have no control characters, not {shown(value)}"
    return None

  return Kind("a text" if not least else "a text that is not empty", fault)


def choice(values: Iterable[Any], noun: str = "") -> Kind:
  """Returns the kind of some values.

  Args:
    values: the choices.
    noun: the word for what is chosen, as 'loss'; '': the key is all that a message names.

  Example:
    >>> choice(["adam", "sgd"], "optimizer").fault("config.optimizer.name", "lion")
    "config.optimizer.name: unknown optimizer 'lion': choose from adam, sgd"
  """
  choices = tuple(values)
  names = ", ".join(map(str, choices))

  def fault(key: str, value: Any) -> str | None:
    if any(type(value) is type(own) and value == own for own in choices):
      return None
    if not isinstance(value, str) or not all(isinstance(own, str) for own in choices):
      return f"{key} must be one of {names}, not {shown(value)}"
    name = value if len(value) <= _SHOWN else f"{value[: _SHOWN - 3]}..."
    return f"{key}: {unknown(noun, name, choices)}" if noun else f"{unknown(key, name, choices)}"

  return Kind(f"one of {', '.join(f'{own!r}' for own in choices)}", fault)
