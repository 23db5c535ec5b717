"""The table of regions that contain or exclude each other: one for a network and its losses."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlseg import models
from mlseg.errors import UserError, user_errors

MODEL = "model"  # instead of pairs: what `config.model.containment` says
LOSSES = ("topology", "geometry")  # that have such a table
OPTIONS = ("containment", "exclusion")  # of these losses

Pairs = tuple[tuple[int, int], ...]


def exclusion(num_classes: int, containment: Pairs) -> Pairs:
  """Returns the pairs of regions that share no class, which are all that are not nested.

  Args:
    num_classes: C; each class is a region.
    containment: pairs (inner, outer) of classes.

  Raises:
    ValueError: as `models.class_labels`.

  Example:
    >>> exclusion(3, ((2, 1),))  # stroma, gland, and lumen inside glands
    ((0, 1), (0, 2))
  """
  labels = models.class_labels(num_classes, containment)
  shared = labels.T @ labels
  return tuple(
    (first, second)
    for first, second in np.argwhere(shared == 0).tolist()
    if first < second
  )  # fmt: skip


def with_tables(
  loss: str, options: Mapping[str, Any], containment: Pairs | None, num_classes: int
) -> dict[str, Any]:
  """Returns the options of a loss with the pairs that 'model' stands for.

  Args:
    loss: its name, for messages.
    options: of the recipe.
    containment: `config.model.containment`; None: the network has no such key.
    num_classes: C.

  Raises:
    UserError: the containment is wrong, or that of the loss is another one, so that no loss would
      count the pixels of an inner region.
  """
  whole = dict(options)
  if loss not in LOSSES:
    return whole
  pairs = tuple((inner, outer) for inner, outer in containment or ())
  count = max([num_classes, *(1 + label for pair in pairs for label in pair)])
  with user_errors("config.model"):
    table = {"containment": pairs, "exclusion": exclusion(count, pairs)}
  whole |= {name: table[name] for name in OPTIONS if whole.get(name) == MODEL}
  own: Sequence[Sequence[int]] = whole.get("containment", ())
  if containment is not None and {*map(tuple, own)} != {*pairs}:
    raise UserError(
      f"config.loss_options.{loss}.containment must have the pairs of config.model.containment,"
      f" {pairs}, not {tuple(map(tuple, own))}; a recipe that writes {MODEL!r} there, as"
      " configs/glands.py:folder, follows it"
    )
  return whole
