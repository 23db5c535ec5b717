"""Cases whose mask or diagnosis is not known: they train the losses of what they have.

A mask that is not known has the class `padding.UNLABELLED` in every pixel, and a diagnosis that is
not known is -1 (so are all findings of a case whose findings are not known).
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from mlseg.data import padding

UNKNOWN = -1  # the label of a case without a diagnosis


class Hidden(NamedTuple):
  """Which cases a model is trained on without their mask, or without their diagnosis."""

  masks: Any  # [N] bool
  labels: Any  # [N] bool


def hide(train: np.ndarray, num_cases: int, masks: float, labels: float) -> Hidden:
  """Returns cases drawn from a training part, the same at every call.

  No case loses both: a run in which all cases lose one or the other has shares of sum 1.

  Args:
    train: [n], the training cases, of which some may be repeated.
    num_cases: N.
    masks: share of the cases that lose their mask.
    labels: share of those that lose their diagnosis.

  Example:
    >>> hidden = hide(np.arange(10), 12, 0.3, 0.2)
    >>> int(hidden.masks.sum()), int(hidden.labels.sum()), int((hidden.masks & hidden.labels).sum())
    (3, 2, 0)
  """
  cases = np.unique(train)
  order = np.random.default_rng(cases).permutation(cases)
  found = np.zeros((2, num_cases), bool)
  found[0, order[: round(masks * len(cases))]] = True
  found[1, order[len(cases) - round(labels * len(cases)) :]] = True
  return Hidden(*found)


def is_complete(masks: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Returns which cases have a mask and a diagnosis, [N] bool.

  Args:
    masks: [N, H, W], classes.
    labels: [N], or findings [N, L].

  Example:
    >>> masks = np.full((3, 1, 2), padding.UNLABELLED)
    >>> masks[:2, :, 0] = 0
    >>> is_complete(masks, np.array([1, -1, 0])).tolist()
    [True, False, False]
  """
  return np.asarray(has_mask(masks)) & np.asarray(has_label(labels))


def is_useful(masks: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Returns which cases have a mask, or one of several diagnoses, [N] bool.

  Args:
    masks: [N, H, W], classes.
    labels: [N], or findings [N, L].
  """
  known = np.asarray(has_label(labels))
  several = labels.ndim == 2 or labels.max(initial=0) > 0
  return np.asarray(has_mask(masks)) | (known & several)


def has_mask(masks: Any) -> Any:
  """Returns which masks [B, H, W] have a pixel whose class is known, [B] bool."""
  return padding.counted(masks.min(axis=(1, 2)))


def has_label(labels: Any) -> Any:
  """Returns which cases have a diagnosis [B], or all findings [B, L]; [B] bool."""
  return (labels >= 0).reshape(len(labels), -1).all(axis=-1)


def without(masks: Any, labels: Any, no_mask: Any, no_label: Any) -> tuple[Any, Any]:
  """Returns masks and diagnoses in which some are not known.

  Args:
    masks: [..., H, W] integers, classes.
    labels: [...] or [..., L] integers.
    no_mask: [...] bool.
    no_label: [...] bool.

  Example:
    >>> masks, labels = without(
    ...   jnp.zeros((2, 1, 1), jnp.uint8), jnp.array([3, 4]), jnp.array([True, False]),
    ...   jnp.array([False, True]),
    ... )
    >>> masks.ravel().tolist(), labels.tolist()
    ([254, 0], [3, -1])
  """
  unlabelled = jnp.asarray(padding.UNLABELLED, masks.dtype)
  own = no_label.reshape(no_label.shape + (1,) * (labels.ndim - no_label.ndim))
  return (
    jnp.where(no_mask[..., None, None], unlabelled, masks),
    jnp.where(own, jnp.asarray(UNKNOWN, labels.dtype), labels),
  )


def without_name(
  labels: np.ndarray, names: tuple[str, ...], name: str
) -> tuple[np.ndarray, tuple[str, ...]]:
  """Returns labels in which one of several names stands for a diagnosis that is not known.

  Args:
    labels: [N] int32, indices of the names.
    names: of the diagnoses.
    name: the one to take out; where it is the only one, it stays.

  Example:
    >>> labels, names = without_name(np.array([0, 1, 2]), ("a", "unknown", "z"), "unknown")
    >>> labels.tolist(), names
    ([0, -1, 1], ('a', 'z'))
  """
  if name not in names or len(names) == 1:
    return labels, names
  index = names.index(name)
  order = np.array([n - (n > index) for n in range(len(names))], labels.dtype)
  order[index] = UNKNOWN
  return order[labels], names[:index] + names[index + 1 :]
