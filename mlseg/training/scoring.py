"""What testing a run gives: scores of the cases of each seed, and their summary over the seeds."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mlseg.console import Reporter
from mlseg.data import padding
from mlseg.data.cases import Cases, evenly_spaced
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.metrics import (
  average_findings,
  has_foreground,
  mean_and_deviation,
  per_case_surface,
  summarize,
  summarize_classes,
  summarize_classification,
  summarize_findings,
  summarize_presence,
  summarize_surface,
)
from mlseg.metrics.class_means import Absent
from mlseg.metrics.detection import ImageBoxes, summarize_boxes
from mlseg.metrics.surface_cases import SurfaceTable
from mlseg.models import class_probabilities, objects_of
from mlseg.models.mask_rcnn import Predictions
from mlseg.postprocessing.decision import Choice, Manner
from mlseg.recipe.experiment import Experiment
from mlseg.training import calibrate, case_objects
from mlseg.training.evaluation import Evaluation
from mlseg.training.postprocess import Part, applied, postprocess
from mlseg.training.testing import Testing
from mlseg.workdir.calibration_file import Calibration

MAX_MAPS = 24  # saliency maps of images in a run's folder, to keep it small


class SeedScores(NamedTuple):
  """The scores of the test part under one model; None where the network has no such output."""

  counts: np.ndarray | None  # [N, C, 4]: true and false positives, false and true negatives
  predictions: np.ndarray | None  # [N, H, W] uint8, classes
  surfaces: SurfaceTable | None  # None: the recipe asks for none
  labels: np.ndarray  # [N] int32, the true diagnoses; or [N, L] int32, the true findings
  probabilities: np.ndarray | None  # [N, L] float32, of the diagnoses or findings
  maps: np.ndarray | None = None  # [methods, n, H, W] uint8, of the cases at `evenly_spaced`
  boxes: tuple[ImageBoxes, ...] = ()  # N of a detector
  objects: case_objects.Matches | None = None  # None: the recipe asks for none
  attention: np.ndarray | None = None  # [N, S], of the slices of volumes
  validation: np.ndarray | None = None  # [v, L], as the probabilities, of the validation cases
  choice: Choice | None = None  # what was chosen on validation; None: nothing was to be chosen
  calibration: Calibration | None = None  # None: the recipe asks for none


def score_seed(
  testing: Testing,
  experiment: Experiment,
  cases: Cases,
  split: Split,
  variables: Any,
  reporter: Reporter,
  manner: Manner | None = None,
) -> SeedScores:
  """Returns the metrics of the test cases under a seed's best variables.

  All processes predict; the main one measures surfaces.

  Args:
    testing: the programs.
    experiment: the recipe.
    cases: the data set.
    split: of the model.
    variables: of the model.
    reporter: the console.
    manner: how predictions are made; None: as is chosen on the validation cases, if the recipe
      says so.
  """
  run = functools.partial(testing.test, variables)
  explain = testing.explain and functools.partial(testing.explain, variables)
  return _test(run, explain, experiment, cases, split, reporter, manner)


def score_ensemble(
  testing: Testing,
  experiment: Experiment,
  cases: Cases,
  split: Split,
  variables: Sequence[Any],
  reporter: Reporter,
  manner: Manner | None = None,
) -> SeedScores:
  """Returns the metrics of the test cases under the mean of all models' probabilities.

  Args:
    testing: the programs.
    experiment: the recipe.
    cases: the data set.
    split: of all the models.
    variables: of each model.
    reporter: the console.
    manner: as in `score_seed`.
  """
  run = functools.partial(testing.test_ensemble, tuple(variables))
  return _test(run, None, experiment, cases, split, reporter, manner)


def _test(
  run: Callable[..., Evaluation],
  explain: Callable[..., jax.Array] | None,
  experiment: Experiment,
  cases: Cases,
  split: Split,
  reporter: Reporter,
  manner: Manner | None,
) -> SeedScores:
  """Returns the metrics of the test cases, from what a program says of images and masks."""
  test = split.test
  # Of the validation cases too where thresholds, or sizes of components, are chosen on them.
  asks = experiment.prediction
  needed = "classification" in experiment.network.heads or asks.chooses or asks.calibrates
  chosen = split.validation if needed else test[:0]
  both = np.concatenate([test, chosen])
  of_patients = cases.covariates_of(both)
  whole = result = run(cases.images[both], cases.masks[both], covariates=of_patients)
  scores = SeedScores(None, None, None, cases.diagnoses[test], None)
  if result.class_logits is not None:
    has_findings = cases.findings is not None
    probabilities = np.asarray(class_probabilities(result.class_logits, has_findings))
    scores = scores._replace(
      probabilities=probabilities[: len(test)], validation=probabilities[len(test) :]
    )
  if asks.calibrates:
    truth = cases.masks[both], cases.diagnoses[both]
    found = calibrate.calibration(whole, *truth, len(test), manner and manner.temperatures)
    scores = scores._replace(calibration=found)
  result = jax.tree.map(lambda array: array[: len(test)], result)
  if result.attention is not None:
    scores = scores._replace(attention=np.asarray(result.attention))
  if explain is not None:
    shown = test if scores.attention is not None else test[evenly_spaced(len(test), MAX_MAPS)]
    maps = explain(cases.images[shown], covariates=cases.covariates_of(shown))
    scores = scores._replace(maps=np.asarray(maps))
  if result.found is not None:
    scores = scores._replace(boxes=_boxes(result.found, cases, test))
  if result.counts is None:
    return scores
  counts, predictions = np.asarray(result.counts), np.asarray(result.predictions)
  options, num_classes = experiment.metrics, len(cases.class_names)
  scores = scores._replace(counts=counts, predictions=predictions)
  if asks.chooses:
    validation, own = _parts(whole, cases.masks[both], len(test))
    if manner is None:
      choice, predictions, counts = postprocess(experiment, num_classes, validation, own)
      scores = scores._replace(choice=choice)
    else:
      predictions, counts = applied(experiment, num_classes, manner.decision, own)
    scores = scores._replace(counts=counts, predictions=predictions)
  if not sharding.is_main():
    return scores
  masks = cases.masks[test]
  # Surfaces and objects see background where the class is not known, in both.
  known = masks != padding.UNLABELLED
  predicted = padding.own_parts(np.where(known, predictions, 0), masks)
  true = padding.own_parts(np.where(known, masks, 0), masks)
  if options.objects:
    numbers = None if cases.objects is None else padding.own_parts(cases.objects[test], masks)
    matches = case_objects.match(predicted, true, num_classes, options, numbers)
    scores = scores._replace(objects=matches)
  if not options.surface:
    return scores
  with reporter.bar("surface metrics", len(test), 0):
    surfaces = per_case_surface(
      predicted,
      true,
      num_classes,
      spacing=options.spacing,
      tolerance=options.tolerance,
      num_processes=options.num_processes or None,
      progress=lambda done, total: reporter.advance(done),
    )
  return scores._replace(surfaces=surfaces)


def _parts(result: Evaluation, masks: np.ndarray, num_test: int) -> tuple[Part, Part]:
  """Returns what was predicted of the validation cases, and of the test cases, which come first."""
  predictions = np.asarray(result.predictions)
  levels = None if result.levels is None else np.asarray(result.levels)

  def part(cases: slice) -> Part:
    return Part(predictions[cases], None if levels is None else levels[cases], masks[cases])

  return part(slice(num_test, None)), part(slice(num_test))


def _boxes(found: Predictions, cases: Cases, test: np.ndarray) -> tuple[ImageBoxes, ...]:
  """Returns the boxes that a detector found in each test case, and the true ones."""
  instances = np.asarray(cases.instances)[test]
  true = objects_of(instances, cases.masks[test], int(instances.max()))
  boxes, classes, scores, present = map(np.asarray, found)
  true_boxes, true_classes, there = map(np.asarray, true)
  return tuple(
    ImageBoxes(
      boxes[n][present[n]],
      classes[n][present[n]],
      scores[n][present[n]],
      true_boxes[n][there[n]],
      true_classes[n][there[n]],
    )
    for n in range(len(test))
  )


def summarize_seeds(
  experiment: Experiment,
  tested: dict[int, SeedScores],
  class_names: Sequence[str],
  ensemble: Mapping[str, Any] | None = None,
  finding_names: Sequence[str] = (),
) -> dict[str, Any]:
  """Returns the content of `results.json`.

  Args:
    experiment: the recipe.
    tested: per seed the scores from `score_seed`.
    class_names: the background first.
    ensemble: from `ensemble.summarize`; None: the mean of the models is not tested.
    finding_names: of the findings of the cases; (): they have diagnoses.
  """
  absent, counts = experiment.metrics.absent, [result.counts for result in tested.values()]
  per_seed = [summarize_model(result, absent) for result in tested.values()]
  if any(not has_foreground(one).all() for one in counts if one is not None):
    for metrics, one in zip(per_seed, counts, strict=True):
      metrics |= summarize_presence(np.asarray(one), absent)
  return {
    "split": "test",
    "metrics": {name: _over_seeds([one[name] for one in per_seed]) for name in per_seed[0]},
    "classes": _classes(counts, class_names),
    **_findings(list(tested.values()), finding_names),
    **({} if ensemble is None else {"ensemble": dict(ensemble)}),
    "seeds": list(tested),
    "config": experiment.content,
  }


def _classes(
  counts: Sequence[np.ndarray | None], class_names: Sequence[str]
) -> dict[str, dict[str, Any]]:
  """Returns by class the metrics of `summarize_classes` over the seeds; none without masks."""
  tables = [summarize_classes(one) for one in counts if one is not None]
  return {
    class_name: {name: _over_seeds([one[name][n] for one in tables]) for name in tables[0]}
    for n, class_name in enumerate(class_names)
    if tables
  }


def _findings(results: Sequence[SeedScores], names: Sequence[str]) -> dict[str, Any]:
  """Returns, under 'findings', the metrics of each over the seeds; {} where there are none."""
  if not names or any(one.probabilities is None for one in results):
    return {}
  tables = [summarize_findings(one.labels, one.probabilities) for one in results]
  return {"findings": {
    name: {metric: _over_seeds([one[metric][n] for one in tables]) for metric in tables[0]}
    for n, name in enumerate(names)
  }}  # fmt: skip


def _over_seeds(values: list[float]) -> dict[str, Any]:
  """Returns mean, sample standard deviation (None for one seed) and the values themselves."""
  mean, deviation = mean_and_deviation(values)
  std = deviation if len(values) > 1 else None
  return {"mean": mean, "std": std, "per_seed": [float(value) for value in values]}


def summarize_model(result: SeedScores, absent: Absent) -> dict[str, float]:
  """Returns the metrics of one model, or of the mean of several, by name."""
  metrics: dict[str, float] = {}
  if result.counts is not None:
    metrics |= summarize(result.counts, absent)
  if result.surfaces is not None:
    metrics |= summarize_surface(result.surfaces)
  if result.objects is not None:
    metrics |= case_objects.summarize(result.objects)
  if result.probabilities is not None and result.labels.ndim == 2:
    metrics |= average_findings(result.labels, result.probabilities)
  elif result.probabilities is not None:
    probabilities = result.probabilities
    if probabilities.shape[1] == 2:  # then a metric is that of the second diagnosis
      probabilities = probabilities[:, 1]
    metrics |= summarize_classification(result.labels, probabilities)
  if result.calibration is not None:
    metrics |= calibrate.metrics_of(result.calibration)
  if result.boxes:
    metrics |= summarize_boxes(result.boxes)
  return metrics
