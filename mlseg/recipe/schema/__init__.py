"""The schema of a recipe: the type, range, meaning and default of every key, in plain tables.

`check` names every fault of a recipe at once, before the data are read; `complete` adds the
defaults of absent keys; `lines` and `to_markdown` print the tables.
"""

from mlseg.recipe.schema.check import check, check_network, complete, faults, plain
from mlseg.recipe.schema.defaults import defaults
from mlseg.recipe.schema.keys import KEYS, Key
from mlseg.recipe.schema.listing import lines, to_markdown

__all__ = [
  "KEYS",
  "Key",
  "check",
  "check_network",
  "complete",
  "defaults",
  "faults",
  "lines",
  "plain",
  "to_markdown",
]
