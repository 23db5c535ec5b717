"""The whole path of an evaluation, from a run's folder to a report, to be read top to bottom."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from mlseg.console import Reporter
from mlseg.data.cases import COHORT, Cases
from mlseg.data.splits import grouped
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.errors import UserError
from mlseg.evaluation import fit
from mlseg.files import read_bytes, write_file
from mlseg.postprocessing.decision import in_words
from mlseg.prediction import trained
from mlseg.prediction.trained import Trained
from mlseg.recipe import data as recipe_data
from mlseg.recipe import data_flags, experiment, schema
from mlseg.recipe.experiment import Experiment
from mlseg.recipe.prediction import ALL_COMPONENTS, ARGMAX
from mlseg.report import write
from mlseg.training import (
  calibrate,
  case_counts,
  ensemble,
  model_functions,
  outputs,
  provenance,
  scoring,
)
from mlseg.training.scoring import SeedScores
from mlseg.training.testing import Testing, make_testing
from mlseg.workdir import diagnosis_table, run_folder, split_file

ALL, TEST = "all cases", "test part"  # which cases are tested
_MOST_NAMED = 3  # copies of training images that a warning names


class EvaluateOptions(NamedTuple):
  """The options of the command line."""

  workdir: pathlib.Path  # the folder of the trained run
  out: pathlib.Path  # the folder of the results
  data: list[str]  # the flags that name the data, see `recipe.data_flags`; []: the run's own
  views: str | None = None  # see `trained.load`
  postprocess: bool = True  # see `trained.load`
  batch_size: int = 16  # number of images predicted at once
  copies: bool = True  # whether copies of the training images are looked for


def evaluate(options: EvaluateOptions, reporter: Reporter) -> dict[str, Any]:
  """Tests all models of a run, and their mean, on other data; writes tables and a report.

  Without other data, each model is tested again on its own test part, with other options.

  Args:
    options: of the command line.
    reporter: the console.

  Returns:
    The content of `results.json`.

  Raises:
    UserError: there is no trained run, the data are not right or do not fit it, or the folder of
      the results belongs to something else.
  """
  # ---- The run, and the data
  run = trained.load(options.workdir, options.views, options.postprocess)
  about = run_folder.read(options.workdir)
  old = schema.complete(about.config)
  with data_flags.named_as_flags():
    recipe = experiment.read(_content(old, options, run))._replace(batch_size=options.batch_size)
  note: dict[str, Any] = {"run": str(options.workdir.resolve()), "model": run.digest}
  note |= {"trained_on": old["data"], "cases": ALL if options.data else TEST}
  _check_out(options.out, {"config": recipe.content, "evaluation": note})
  with data_flags.named_as_flags():
    loaded = recipe_data.load_cases(recipe.data, (), reporter)
  cases, has_diagnoses, warnings = fit.fit(loaded, run)
  if options.data:
    warnings = (*warnings, *_of_spacing(recipe), *_of_training_images(about, cases, options))
  parts = _parts(options, about, cases, run.seeds)
  pairs = recipe_data.find_near_duplicates(cases)
  groups = grouped.groups(len(cases.ids), pairs, cases.patients)

  # ---- The models
  testing = _testing(recipe, cases, has_diagnoses)
  models = {
    seed: jax.tree.map(lambda leaf, n=n: leaf[n], run.variables) for n, seed in enumerate(run.seeds)
  }
  _print_header(reporter, options, run, recipe, cases, parts)
  for warning in warnings:
    reporter.print(f"warning {warning}")

  # ---- Test, and write the tables, results, figures and the report
  description = provenance.describe(recipe.content, cases.fingerprint, "loop")
  description |= {"evaluation": note, "warnings": list(warnings)}
  with run_folder.opened(options.out):
    run_folder.claim(options.out, description)
    tested = {
      seed: scoring.score_seed(
        testing, recipe, cases, parts[seed], own, reporter, run.manners[seed]
      )
      for seed, own in models.items()
    }
    mean = _mean(testing, recipe, cases, parts, models, tested, run, reporter)
    entry = mean and ensemble.summarize(
      mean, recipe.metrics.absent, groups[next(iter(parts.values())).test], len(models)
    )
    summary = scoring.summarize_seeds(recipe, tested, cases.class_names, entry, cases.finding_names)
    outputs.write_data(options.out, cases, groups, pairs, parts)
    if has_diagnoses:
      _copy_validation(options)
    outputs.write(options.out, cases, parts, tested, summary, mean)
  names = cases.class_names[1:]
  title = f"{run.name}, tested on {recipe.data.name}, per image unless pooled; percent, distances"
  foreground = names[0] if len(names) == 1 else "foreground"
  positive = case_counts.positive(cases)
  reporter.results(f"{title} in pixels", summary, foreground, positive)
  if entry:
    reporter.print(ensemble.line(entry))
  if mean and mean.calibration:
    reporter.print(f"calibration: {calibrate.in_words(mean.calibration)}")
  page = write.report([options.out], options.out / "report")
  reporter.print(f"rows, results and figures are in {options.out}; the report is {page}")
  return summary


def _parts(
  options: EvaluateOptions,
  about: run_folder.Description,
  cases: Cases,
  seeds: tuple[int, ...],
) -> dict[int, Split]:
  """Returns the cases that each model is tested on: all of other data, or its own test part."""
  none, everything = np.zeros(0, np.int32), np.arange(len(cases.ids), dtype=np.int32)
  if options.data:
    return dict.fromkeys(seeds, Split(none, none, everything))
  if cases.fingerprint != about.data:
    raise UserError(
      f"the data have changed since {options.workdir} was trained, so that its test part is not"
      " known; --data=DIR tests on all images of a folder"
    )
  saved, index = split_file.read(options.workdir), {case: n for n, case in enumerate(cases.ids)}
  try:
    tests = {seed: [index[case] for case in saved.parts[seed]["test"]] for seed in seeds}
  except KeyError as error:
    path = options.workdir / split_file.NAME
    raise UserError(f"{path} is damaged (it has no {error.args[0]!r})") from None
  return {seed: Split(none, none, np.array(test, np.int32)) for seed, test in tests.items()}


def _mean(
  testing: Testing,
  recipe: Experiment,
  cases: Cases,
  parts: Mapping[int, Split],
  models: Mapping[int, Any],
  tested: Mapping[int, SeedScores],
  run: Trained,
  reporter: Reporter,
) -> SeedScores | None:
  """Returns the scores of the mean of the models; None where they are tested on different cases."""
  first, *others = parts.values()
  if any(not np.array_equal(first.test, other.test) for other in others):
    return None
  if not others:
    return next(iter(tested.values()))
  own = list(models.values())
  return scoring.score_ensemble(testing, recipe, cases, first, own, reporter, run.manner)


def _content(old: Mapping[str, Any], options: EvaluateOptions, run: Trained) -> dict[str, Any]:
  """Returns the recipe of a run with other data, and as the options make predictions."""
  content = data_flags.other_data(old, options.data) if options.data else dict(old)
  if (content["data"]["name"] == COHORT) != run.data.has_volumes:
    raise UserError("--data.name must be 'cohort' for a run on volumes, and for no other")
  _check_findings(content["data"], run)
  prediction = dict(content["prediction"], views=run.views)
  if not options.postprocess:
    prediction |= {"threshold": ARGMAX, "components": ALL_COMPONENTS}
  return content | {"prediction": prediction, "mesh": {"seed": 1, "data": 1, "model": 1}}


def _check_findings(data: Mapping[str, Any], run: Trained) -> None:
  """Raises a UserError where a run gives findings and other data have none, or the reverse."""
  own = data.get(data["name"], {}).get("label_columns", ())
  if run.label_names and run.data.finding_names and not own:
    raise UserError(
      "--data.folder.label_columns must name the columns of the findings that the run gives:"
      f" {', '.join(run.data.finding_names)}"
    )
  if run.label_names and own and not run.data.finding_names:
    raise UserError(
      "--data.folder.label_columns must be () for a run whose cases have one diagnosis each"
    )


def _check_out(out: pathlib.Path, description: Mapping[str, Any]) -> None:
  """Raises a UserError where a folder holds something else than results of the same command."""
  run_folder.check_path(out)
  if not out.is_dir() or not any(out.iterdir()):
    return
  try:
    known = run_folder.check(out, description)
  except UserError:
    raise UserError(f"--out: {out} holds results of another command; give a new folder") from None
  if not known:
    raise UserError(f"--out: {out} holds other files; give a new folder")


def _testing(recipe: Experiment, cases: Cases, has_diagnoses: bool) -> Testing:
  """Returns the programs that test models; without diagnoses where the data have none."""
  functions = model_functions.make_functions([recipe], recipe.batch_size, cases)
  testing = make_testing(functions, sharding.make_mesh(sharding.Layout(1, 1, 1)))
  if has_diagnoses:
    return testing

  def of_pixels(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays, **known: function(*arrays, **known)._replace(class_logits=None)

  return Testing(of_pixels(testing.test), of_pixels(testing.test_ensemble), None)


def _of_spacing(recipe: Experiment) -> list[str]:
  """Returns a warning where distances are in the unit of the run's images."""
  spacing = recipe.metrics.spacing
  if not recipe.metrics.surface or tuple(spacing) == (1.0, 1.0):
    return []
  return [f"spacing: distances take a pixel of these images as {spacing[0]:g}×{spacing[1]:g}, too"]


def _of_training_images(
  about: run_folder.Description, cases: Cases, options: EvaluateOptions
) -> list[str]:
  """Returns a warning where the data have images that the run has seen, as far as that is known."""
  if not options.copies:
    return []
  try:
    split = split_file.read(options.workdir)
    before = experiment.read_network(about.config)[0]
    loaded = recipe_data.load_cases(before, ())
  except UserError as error:
    return [f"copies of training images were not looked for: {error}"]
  seen = {
    case for parts in split.parts.values() for name in ("train", "validation")
    for case in parts.get(name, ())
  }  # fmt: skip
  found = fit.copies(cases, loaded, sorted(seen))
  if not found:
    return []
  shown = ", ".join(f"{own} of {other}" for own, other in found[:_MOST_NAMED])
  more = ", ..." if len(found) > _MOST_NAMED else ""
  return [
    f"{len(found)} of {len(cases.ids)} images are near-duplicates of images that the run was"
    f" trained or validated on, so that scores may be too high: {shown}{more}"
  ]


def _copy_validation(options: EvaluateOptions) -> None:
  """Copies the run's validation diagnoses, on which a report chooses the threshold of F1."""
  name = diagnosis_table.VALIDATION_NAME
  if (options.workdir / name).exists():
    write_file(options.out / name, read_bytes(options.workdir / name))


def _print_header(
  reporter: Reporter,
  options: EvaluateOptions,
  run: Trained,
  recipe: Experiment,
  cases: Cases,
  parts: Mapping[int, Split],
) -> None:
  """Prints the run, the data, and how masks are made."""
  count, size = len(run.seeds), recipe.data.input_size
  height, width = cases.images.shape[1:3]
  root = f" in {recipe.data.root}" if recipe.data.root else ""
  used = "all" if options.data else f"{len(next(iter(parts.values())).test)} of them"
  reporter.print(
    f"model   {options.workdir}, {count} seed{'s' * (count != 1)}, {size}×{size}, trained on"
    f" {run.data.name}"
  )
  reporter.print(
    f"data    {recipe.data.name}{root}, {len(cases.ids)} images of {height}×{width}, {used} for"
    " testing"
  )
  reporter.print(f"masks   {in_words(run.manner.decision)}; views: {run.views}")
