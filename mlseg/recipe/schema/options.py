"""The options of weightings and losses: kinds from signatures, meanings from docstrings.

A section `weighting.options.METHOD` or `loss_options.LOSS` may have any keyword of the method's or
the loss's function. An option that is absent has the function's own default.
"""

import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from mlseg.data import targets
from mlseg.errors import UserError, unknown
from mlseg.recipe import regions
from mlseg.recipe.auxiliary_schedule import SCHEDULES
from mlseg.recipe.loss_table import LOSSES
from mlseg.recipe.schema.compound import either, optional, pair, plain_value, sequence
from mlseg.recipe.schema.kinds import Kind, boolean, choice, integer, number, text
from mlseg.recipe.weighting import FORMER_NAMES, LEARNERS
from mlseg.weighting.registry import METHODS

TEXTURE = "texture_cross_entropy"
_RATE = number(0, 1e6, "larger rates leave single precision within a few steps", open_low=True)
_PAIRS = either(choice((regions.MODEL,)), sequence(pair(integer(0, 255), integer(0, 255))))
_PAIRS = _PAIRS._replace(text=f"{_PAIRS.text} ('model': those of config.model.containment)")
# What a signature does not tell: bounds beyond which a program needs hours or all of the memory.
_KINDS: dict[str, Kind] = {
  "dynamic_memory_fusion.capacity": integer(1, 100_000, "every step reads the whole history"),
  "softadapt.window": integer(1, 10_000, "every step reads the whole window"),
  "dynamic_weight_average.window": integer(1, 10_000, "every step reads the whole window"),
  "sdmgrad.num_steps": integer(1, 10_000, "they are taken in every step"),
  "sdmgrad.learning_rate": number(0, 1e6),
  **{
    f"{loss}.label_smoothing": number(0, 1, open_high=True)
    for kind in ("cross_entropy", "binary_cross_entropy")
    for loss in (kind, f"classification_{kind}")
  },
  **{f"{loss}.{table}": _PAIRS for loss in regions.LOSSES for table in regions.OPTIONS},
  "cl_dice.iterations": integer(1, 100, "the program repeats them"),
  "skeleton_recall.iterations": integer(1, 100, "the program repeats them"),
  "skeleton_recall.radius": integer(0, 100, "the program repeats the dilation"),
  "average_calibration_error.num_bins": integer(1, 1000, "each is a sum over the pixels"),
  "neighbor_aware_calibration.kernel_size": integer(1, 99, "it is odd"),
  "rpn_objectness.num_sampled": integer(1, 100_000, "they are held in memory"),
  "rpn_box.num_sampled": integer(1, 100_000, "they are held in memory"),
  "roi_class.num_sampled": integer(1, 100_000, "they are held in memory"),
  "roi_box.num_sampled": integer(1, 100_000, "they are held in memory"),
}
_GIVEN = {
  "valid",
  "distances",
  "edges",
  "skeletons",
}  # keywords that training gives, not the recipe


_STEPS = either(integer(0), number(0, 1))
_SCHEDULE_KINDS: dict[str, Kind] = {
  "staircase": boolean(),
  "boundaries_and_scales": sequence(pair(_STEPS, number(0))),
}
_SCHEDULE_MEANINGS = {
  True: "Steps, or as a float the share of the run.",
  False: "As in optax; the first weight is auxiliary.initial where it is absent.",
}


class Option(NamedTuple):
  """An option of a weighting or a loss."""

  name: str
  kind: Kind
  default: Any  # of the function
  meaning: str


@functools.cache
def of_weighting(method: str) -> tuple[Option, ...] | None:
  """Returns the options of a method; None where there is no such method."""
  name = FORMER_NAMES.get(method, method)
  if name not in METHODS:
    return None
  found = _of_function(name, METHODS[name])
  if any(option.name == "optimizer" for option in found):
    found = [option for option in found if option.name != "optimizer"]
    meaning = "Optimiser of what the method learns."
    found.append(Option("optimizer", choice(LEARNERS), "adam", meaning))
    found.append(Option("learning_rate", _RATE, 0.025, "Learning rate of what the method learns."))
  return tuple(found)


@functools.cache
def of_loss(loss: str) -> tuple[Option, ...] | None:
  """Returns the options of a loss; None where there is no such loss."""
  if loss not in LOSSES:
    return None
  if loss == TEXTURE:
    meaning = "The statistic of a lesion's grey levels whose classes are learned."
    kind = choice(targets.STATISTICS, "texture statistic")
    return (Option("statistic", kind, None, meaning),)
  return tuple(_of_function(loss, LOSSES[loss].function))


@functools.cache
def of_schedule(schedule: str) -> tuple[Option, ...] | None:
  """Returns the arguments of a schedule of the auxiliary loss; None where there is none so called.

  Those that count steps may be shares of the run.
  """
  if schedule not in SCHEDULES:
    return None
  options = []
  for own in inspect.signature(SCHEDULES[schedule]).parameters.values():
    counts = own.name.endswith(("_steps", "_begin"))
    kind = _STEPS if counts else _SCHEDULE_KINDS.get(own.name, number(-1e9))
    default = None if own.default is own.empty else own.default
    options.append(Option(own.name, kind, default, _SCHEDULE_MEANINGS[counts]))
  return tuple(options)


def _of_function(name: str, function: Callable[..., Any]) -> list[Option]:
  hints = typing.get_type_hints(function)
  meanings = _meanings(function)
  options = []
  for own in inspect.signature(function).parameters.values():
    if own.default is own.empty or own.name in _GIVEN or own.name.startswith("_"):
      continue
    kind = _KINDS.get(f"{name}.{own.name}") or _kind_of(hints.get(own.name))
    options.append(Option(own.name, kind, own.default, meanings.get(own.name, "")))
  return options


def _kind_of(hint: Any) -> Kind:
  """Returns the kind of the values that a type hint allows."""
  origin, inner = typing.get_origin(hint), typing.get_args(hint)
  simple: dict[Any, Callable[[], Kind]] = {
    bool: boolean,
    int: lambda: integer(-(2**31)),
    float: lambda: number(-1e9),
    str: text,
  }
  if hint in simple:
    return simple[hint]()
  if origin is typing.Literal:
    return choice(inner)
  if origin in (typing.Union, types.UnionType) and type(None) in inner:
    rest = [own for own in inner if own is not type(None)]
    if len(rest) == 1:
      return optional(_kind_of(rest[0]))
  if origin is Sequence and inner == (float,):
    return sequence(number(-1e9))
  return plain_value()


def _meanings(function: Callable[..., Any]) -> dict[str, str]:
  """Returns what the docstring of a function says about its arguments, by their names."""
  lines = (inspect.getdoc(function) or "").splitlines()
  if "Args:" not in lines:
    return {}
  meanings: dict[str, str] = {}
  name = ""
  for line in lines[lines.index("Args:") + 1 :]:
    if line and not line.startswith(" "):
      break
    start = re.fullmatch(r"  (\w+): (.*)", line)
    if start:
      name = start[1]
      meanings[name] = start[2]
    elif name:
      meanings[name] = f"{meanings[name]} {line.strip()}".strip()
  return {own: _sentence_case(said) for own, said in meanings.items()}


def _sentence_case(text: str) -> str:
  """Returns the text with a capital first, unless it starts with a symbol, as in 'λ >= 0'."""
  is_symbol = re.match(r"(?!a )\w\b", text) is not None
  return text if is_symbol else text[:1].upper() + text[1:]


def unknown_section(section: str, noun: str, name: str) -> UserError:
  """Returns the error for options of a weighting or a loss that does not exist."""
  choices: dict[str, Iterable[str]] = {
    "weighting": METHODS, "loss": LOSSES, "schedule": SCHEDULES
  }  # fmt: skip
  return unknown(f"{noun} in config.{section}", name, choices[noun])


# By the word in `keys.OPTIONS`.
OF = {"weighting": of_weighting, "loss": of_loss, "schedule": of_schedule}


def faults(section: str, given: Mapping[str, Any], known: Sequence[Option]) -> Iterator[str]:
  """Yields what is wrong with the options of one weighting or loss.

  Args:
    section: its name, for messages.
    given: the options of a recipe.
    known: those that there are.
  """
  by_name = {option.name: option for option in known}
  for name, value in given.items():
    if name not in by_name:
      yield str(unknown(f"option of {section}", name, by_name))
      continue
    line = by_name[name].kind.fault(f"{section}.{name}", value)
    if line:
      yield line
