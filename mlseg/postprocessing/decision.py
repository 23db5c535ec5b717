"""How the probabilities of an image become its mask."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mlseg.postprocessing.components import clean
from mlseg.postprocessing.temperature import Temperatures


class Decision(NamedTuple):
  """How the probabilities of an image become its mask; the default is the most probable class.

  Attributes:
    threshold: of two classes, the second one is where its probability is above this; None: each
      pixel has the most probable class.
    component_share: components of fewer than this share of the image's pixels are removed.
    hole_share: holes of fewer than this share of the image's pixels are filled, after that.
  """

  threshold: float | None = None
  component_share: float = 0.0
  hole_share: float = 0.0


PLAIN = Decision()


class Manner(NamedTuple):
  """How what a model says becomes a prediction, as was chosen on the validation cases of its run.

  Attributes:
    decision: how probabilities become masks.
    temperatures: of the probabilities that are shown; masks are made without them.
  """

  decision: Decision = PLAIN
  temperatures: Temperatures = Temperatures()


class Choice(NamedTuple):
  """A decision, and the scores by which it was chosen.

  A score is the mean Dice over the validation cases: for each case the mean over its foreground
  classes, as `metrics.summarize` has it.

  Attributes:
    decision: that was chosen.
    num_cases: on which it was chosen.
    without: the score of the most probable class, without any post-processing.
    score: of the decision.
    thresholds: the score of each threshold of the grid; {} where it was not to be chosen.
    components: with that threshold, the score of each smallest component; {} as above.
    holes: with that size of components, the score of each smallest hole; {} as above.
  """

  decision: Decision
  num_cases: int
  without: float
  score: float
  thresholds: Mapping[float, float]
  components: Mapping[float, float]
  holes: Mapping[float, float]


def decide(probabilities: np.ndarray, decision: Decision, slices: int = 1) -> np.ndarray:
  """Returns the mask of an image.

  Args:
    probabilities: [H, W, C] float32, of each pixel's classes.
    decision: with a threshold only where C is 2.
    slices: number of slices of a volume, which lie one below the other; each is cleaned by itself.

  Returns:
    [H, W] uint8, classes.

  Example:
    >>> lesion = np.array([[0.4, 0.6], [0.1, 0.2]], np.float32)
    >>> decide(np.stack([1 - lesion, lesion], -1), Decision(threshold=0.3)).tolist()
    [[1, 1], [0, 0]]
  """
  if decision.threshold is None:
    labels = probabilities.argmax(-1).astype(np.uint8)
  else:
    labels = above(probabilities[..., 1], decision.threshold)
  return cleaned(labels, decision, slices)


def above(probability: np.ndarray, threshold: float) -> np.ndarray:
  """Returns 1 where a probability is above a threshold, else 0; compared in single precision."""
  return (probability > np.float32(threshold)).astype(np.uint8)


def cleaned(labels: np.ndarray, decision: Decision, slices: int = 1) -> np.ndarray:
  """Returns a mask [H, W] without the small components and holes of a decision.

  Args:
    labels: [H, W], classes.
    decision: its shares are of the pixels of a slice.
    slices: as in `decide`.

  Example:
    >>> volume = np.array([[0, 1], [1, 1]])  # two slices of one row each
    >>> cleaned(volume, Decision(component_share=0.75), slices=2).tolist()
    [[0, 0], [1, 1]]
  """
  if not decision.component_share and not decision.hole_share:
    return labels
  shares = decision.component_share, decision.hole_share
  return np.concatenate([clean(part, *shares) for part in np.split(labels, slices)])


def in_words(decision: Decision) -> str:
  """Returns a decision as text; shares are of the pixels of an image.

  Example:
    >>> in_words(Decision(None, 0.0, 0.0005))
    'most probable class, no holes below 0.05 %'
  """
  threshold = decision.threshold
  words = ["most probable class" if threshold is None else f"threshold {threshold:g}"]
  for what, share in (("components", decision.component_share), ("holes", decision.hole_share)):
    words += [f"no {what} below {100 * share:g} %"] if share else []
  return ", ".join(words)
