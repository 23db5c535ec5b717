"""Where gradients are compared by a weighting that does: at the outputs, or at the parameters.

Gradients at the outputs of a network can only be in conflict where two losses read the same output.
Of losses that read the outputs of different heads, no two have a coordinate in common: their Gram
matrix is diagonal, and a method such as `pcgrad` would give the plain sum.
"""

from collections.abc import Sequence

from mlseg.errors import UserError, unknown
from mlseg.recipe.loss_table import LOSSES

PLACES = ("auto", "logits", "params")  # of `config.weighting.gram_at`


def place(gram_at: str, loss_names: Sequence[str]) -> str:
  """Returns where gradients are compared: 'logits' or 'params'.

  Args:
    gram_at: 'logits', 'params', or 'auto': at the logits where all losses read the same output,
      which is cheap, and at the parameters elsewhere, which takes a backward pass for each loss.
    loss_names: of the losses that are weighted.

  Raises:
    UserError: gram_at is unknown.

  Example:
    >>> place("auto", ("soft_dice", "focal"))
    'logits'
    >>> place("auto", ("soft_dice", "classification_cross_entropy"))
    'params'
  """
  if gram_at not in PLACES:
    raise unknown("config.weighting.gram_at", gram_at, PLACES)
  if gram_at != "auto":
    return gram_at
  return "logits" if len(outputs_read(loss_names)) < 2 else "params"


def check(gram_at: str, loss_names: Sequence[str]) -> None:
  """Raises a UserError where a method compares gradients at outputs that losses do not share.

  Args:
    gram_at: `config.weighting.gram_at`, of a method that compares gradients.
    loss_names: of the losses that are weighted.
  """
  read = outputs_read(loss_names)
  if gram_at == "logits" and len(read) > 1:
    raise UserError(
      "config.weighting.gram_at 'logits' compares the gradients of losses that read the same output"
      f" of the network, and config.losses read different ones ({', '.join(read)}), which would"
      " never be in conflict: choose 'params' or 'auto'"
    )


def outputs_read(loss_names: Sequence[str]) -> tuple[str, ...]:
  """Returns the different outputs that losses read, by the head of the network that gives them.

  Each loss of a detector reads outputs of its own. A name that is no loss is left out.

  Example:
    >>> outputs_read(("soft_dice", "boundary", "rpn_box", "roi_box"))
    ('segmentation', 'detection (rpn_box)', 'detection (roi_box)')
  """
  heads = {name: LOSSES[name].head for name in loss_names if name in LOSSES}
  outputs = [f"{head} ({name})" if head == "detection" else head for name, head in heads.items()]
  return tuple(dict.fromkeys(outputs))
