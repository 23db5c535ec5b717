"""One key of a recipe."""

from typing import Any, NamedTuple

from mlseg.recipe.schema.kinds import Kind

NEEDED = object()  # instead of a default: a recipe must have the key
ABSENT = object()  # instead of a default: a recipe may be without the key, and then nothing is set


class Key(NamedTuple):
  """One key of a recipe.

  Attributes:
    path: its dotted name, as 'optimizer.learning_rate'.
    kind: what its value may be.
    meaning: one sentence.
    default: the value where the key is absent; or NEEDED, or ABSENT.
    of: the networks or data sets that have the key; (): every recipe has it.
  """

  path: str
  kind: Kind
  meaning: str
  default: Any = NEEDED
  of: tuple[str, ...] = ()

  @property
  def section(self) -> str:
    """The name of the section that holds the key; '' for a key of the recipe itself."""
    return self.path.rpartition(".")[0]
