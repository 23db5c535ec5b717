"""Fits the temperatures of a model on its validation cases, and measures them on test cases."""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from mlseg.metrics import error_detection_auc, reliability
from mlseg.postprocessing import temperature
from mlseg.postprocessing.temperature import Temperatures
from mlseg.training.evaluation import Evaluation
from mlseg.workdir.calibration_file import Calibration, Confidence, Scaling

MOST_PIXELS = 2**14  # of an image that count, evenly spaced


class Sample(NamedTuple):
  """What a model says of n pixels or cases, and what is true."""

  log_probabilities: np.ndarray  # [n, C]
  labels: np.ndarray  # [n] integers
  num_cases: int


def stride(height: int, width: int) -> int:
  """Returns how many pixels of an image, row by row, one counts for.

  It shares no factor with the width, so that the pixels that count are spread over all columns.

  Example:
    >>> stride(128, 128), stride(256, 256)
    (1, 5)
  """
  step = -(-height * width // MOST_PIXELS)
  while step > 1 and math.gcd(step, width) > 1:
    step += 1
  return step


def of_pixels(log_probabilities: np.ndarray, masks: np.ndarray, num_classes: int) -> Sample:
  """Returns the answers about pixels that count, in images where all pixels may not.

  Args:
    log_probabilities: [N, P, C], of every `stride`th pixel.
    masks: [N, H, W], where other values than classes do not count.
    num_classes: C.
  """
  size, height, width = masks.shape
  labels = masks.reshape(size, height * width)[:, :: stride(height, width)]
  known = labels < num_classes
  return Sample(log_probabilities[known], labels[known], len(masks))


def of_cases(scores: np.ndarray, labels: np.ndarray) -> Sample:
  """Returns the answers about whole cases.

  Args:
    scores: [N, L], the logits of diagnoses or of findings.
    labels: [N], the diagnoses; or [N, L], the findings: each is an answer, absent or there.

  Example:
    >>> sample = of_cases(np.zeros((3, 2), np.float32), np.array([[0, 1], [1, 1], [0, 0]]))
    >>> sample.log_probabilities.shape, sample.labels.tolist(), sample.num_cases
    ((6, 2), [0, 1, 1, 1, 0, 0], 3)
  """
  count = len(labels)
  if labels.ndim == 2:
    scores, labels = np.stack([np.zeros_like(scores), scores], -1).reshape(-1, 2), labels.ravel()
  return Sample(scores - special.logsumexp(scores, -1, keepdims=True), labels, count)


def scaling(validation: Sample, test: Sample, given: float | None = None) -> Scaling:
  """Returns the temperature that fits the validation answers, and what it changes in testing.

  Args:
    validation: on which it is fitted, unless it is given.
    test: on which it is measured.
    given: the temperature, fitted in another run.
  """
  if given is None:
    value = temperature.fit(validation.log_probabilities, validation.labels)
    count = validation.num_cases
  else:
    value, count = given, None
  return Scaling(value, count, _confidence(test, 1.0), _confidence(test, value))


def calibration(
  result: Evaluation,
  masks: np.ndarray,
  labels: np.ndarray,
  num_test: int,
  given: Temperatures | None,
) -> Calibration:
  """Returns the temperatures of a model, for what its network gives.

  Args:
    result: of the test cases, which come first, and of the validation cases.
    masks: [N, H, W], of the same cases.
    labels: [N], likewise; or findings [N, L], each of which is an answer of its own.
    num_test: number of test cases.
    given: temperatures that were fitted in another run; None: they are fitted on the validation
      cases.
  """
  test, validation = slice(num_test), slice(num_test, None)
  pixels = diagnoses = None
  if result.log_probabilities is not None:
    logs = np.asarray(result.log_probabilities)
    known, tested = (of_pixels(logs[part], masks[part], logs.shape[-1])
                     for part in (validation, test))  # fmt: skip
    pixels = scaling(known, tested, given and given.pixels)
  if result.class_logits is not None:
    scores = np.asarray(result.class_logits, np.float32)
    known, tested = (of_cases(scores[part], labels[part]) for part in (validation, test))
    diagnoses = scaling(known, tested, given and given.diagnoses)
  return Calibration(pixels, diagnoses)


def metrics_of(calibration: Calibration) -> dict[str, float]:
  """Returns for `results.json` the calibration errors, without and with temperatures."""
  found: dict[str, float] = {}
  for name, own in (("pixel", calibration.pixels), ("diagnosis", calibration.diagnoses)):
    if own is not None:
      auc = own.before.error_detection_auc
      found |= {
        f"{name}_ece": own.before.ece,
        f"{name}_ece_calibrated": own.after.ece,
        f"{name}_error_detection_auc": float("nan") if auc is None else auc,
      }
  return found


def in_words(calibration: Calibration) -> str:
  """Returns the temperatures, and the calibration errors on the test cases, as text."""
  words = []
  for what, own in calibration._asdict().items():
    if own is not None:
      before, after = 100 * own.before.ece, 100 * own.after.ece
      words.append(
        f"temperature of {what} {own.temperature:.2f}, calibration error {before:.2f} % without and"
        f" {after:.2f} % with it"
      )
  return "; ".join(words)


def _confidence(answers: Sample, value: float) -> Confidence:
  logs = answers.log_probabilities.astype(np.float32)
  probabilities = temperature.scaled(np.exp(logs), value)
  bins = reliability(probabilities, answers.labels)
  auc = error_detection_auc(probabilities, answers.labels)
  return Confidence(
    temperature.negative_log_likelihood(logs, answers.labels, value),
    bins.error,
    None if math.isnan(auc) else auc,
    tuple(map(int, bins.counts)),
    *(tuple(None if math.isnan(v) else float(v) for v in own) for own in bins[1:]),
  )
