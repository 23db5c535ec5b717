"""From the probabilities at a network's size to a mask and probabilities at that of the picture."""

import cv2
import numpy as np

from mlseg.postprocessing.decision import PLAIN, Decision, above, cleaned
from mlseg.postprocessing.temperature import scaled


def restore(
  probabilities: np.ndarray,
  height: int,
  width: int,
  decision: Decision = PLAIN,
  temperature: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
  """Returns the class of each pixel at the picture's size, and the probability of this class.

  Probabilities are interpolated bilinearly, then the class with the largest is taken, of equal ones
  the first; or what else a decision says.

  Args:
    probabilities: [S, S, C] float32.
    height: height of the picture, H.
    width: width of the picture, W.
    decision: how probabilities become a mask; its shares are of the picture's pixels.
    temperature: of the probability that is returned; the mask is made without it.

  Returns:
    Class indices [H, W] uint8, and probabilities [H, W] float32.
  """

  def plane_of(label: int, values: np.ndarray = probabilities) -> np.ndarray:
    plane = np.ascontiguousarray(values[..., label])
    return cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR)

  labels = np.zeros((height, width), np.uint8)
  best = np.full((height, width), -1.0, np.float32)
  num_classes = probabilities.shape[-1]
  for label in range(num_classes):  # one class at a time, since pictures can be large
    plane = plane_of(label)
    larger = plane > best
    labels[larger] = label
    np.copyto(best, plane, where=larger)
  if decision == PLAIN and temperature == 1.0:
    return labels, best
  if decision.threshold is not None:
    labels = above(plane_of(1), decision.threshold)
  labels, shown = cleaned(labels, decision), scaled(probabilities, temperature)
  for label in range(num_classes):
    np.copyto(best, plane_of(label, shown), where=labels == label)
  return labels, best


def resized(probabilities: np.ndarray, height: int, width: int) -> np.ndarray:
  """Returns probabilities [S, S, C], interpolated bilinearly to [H, W, C] float32."""
  classes = range(probabilities.shape[-1])
  planes = (np.ascontiguousarray(probabilities[..., label]) for label in classes)
  found = [cv2.resize(one, (width, height), interpolation=cv2.INTER_LINEAR) for one in planes]
  return np.stack(found, -1)
