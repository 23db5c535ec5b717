"""The defaults of keys, for the recipes of runs from before these keys existed."""

from collections.abc import Mapping
from typing import Any

from mlseg.recipe.auxiliary_schedule import EXPONENTIAL
from mlseg.recipe.schema import options
from mlseg.recipe.schema.keys import ABSENT, KEYS, NEEDED, OPTIONS


def defaults(content: Mapping[str, Any]) -> dict[str, Any]:
  """Returns, by the dotted name of a key, what a recipe without it trains.

  Args:
    content: of a complete recipe. The options of its methods and losses are among the keys, and the
      arguments of its schedules, which do not count where the auxiliary loss has none of them.

  Example:
    >>> defaults({"loss_options": {"binary_cross_entropy": {"label_reduction": "sum"}}})[
    ...   "loss_options.binary_cross_entropy.label_reduction"
    ... ]
    'mean'
  """
  found = {key.path: key.default for key in KEYS if key.default not in (NEEDED, ABSENT)}
  for section, noun in OPTIONS.items():
    for name, given in _section(content, section).items():
      own = {option.name: option.default for option in options.OF[noun](name) or ()}
      if noun == "schedule":
        used = _section(content, "auxiliary").get("schedule", EXPONENTIAL) == name
        own = {} if used else dict(given)
      found |= {f"{section}.{name}.{option}": value for option, value in own.items()}
  return found


def _section(content: Mapping[str, Any], path: str) -> Mapping[str, Any]:
  for part in path.split("."):
    content = content.get(part, {})
  return content
