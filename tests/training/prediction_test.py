"""Testing with views, a mean of models and choices on validation, against numpy from the files."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from mlseg import metrics
from mlseg.console import Reporter
from mlseg.data import cases as data_cases
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.files import read_json
from mlseg.io import volumes
from mlseg.postprocessing.choice import SHARES, THRESHOLDS
from mlseg.postprocessing.components import clean
from mlseg.prediction import pictures, trained
from mlseg.report.__main__ import main as report
from mlseg.training import scoring, train
from mlseg.training.programs import Programs
from mlseg.workdir import (
  calibration_file,
  case_table,
  diagnosis_table,
  model_file,
  postprocessing_file,
  split_file,
)
from tests.training import made

pytestmark = pytest.mark.usefixtures("no_figures")
SEEDS = (0, 1, 2)
SETTINGS = (
  "num_seeds=3", "data.resplit=False", "data.diameter=0", "metrics.surface=True",
  "optimizer.learning_rate=0.5", "num_epochs=4", "data.fractions=(0.5, 0.25, 0.25)",
)  # fmt: skip
KEYS = {
  "views": "flips", "ensemble": True, "threshold": "validation", "components": "validation",
  "calibration": "validation",
}  # fmt: skip
PLACES = np.linspace(-1.5, 1.0, made.SIZE, dtype=np.float32)


def _leaning(num_classes, num_labels=0):
  """Returns the linear network, which leans to the lesion at the right and below."""
  model = made.linear(num_classes, num_labels)

  def apply(variables, images, train):
    outputs, state = model.apply(variables, images, train)
    lean = jnp.asarray(PLACES[:, None] + 0.5 * PLACES)
    labels = outputs.class_logits
    if labels is not None:
      labels = labels + images[:, :, 0].mean((1, 2))[:, None] * jnp.array([3.0, 0.0])
    logits = outputs.logits.at[..., 1].add(lean)
    return outputs._replace(logits=logits, class_logits=labels), state

  return model._replace(apply=apply)


def _experiment(*settings, classifies=False, **keys):
  found = made.make_experiment(*SETTINGS, *settings, classifies=classifies, **keys)

  def make(num_classes, num_labels):
    return _leaning(num_classes, num_labels * classifies)

  return found._replace(network=found.network._replace(make=make))


def _cases():
  """Returns cases with specks, so that there is something to remove."""
  cases, rng = made.make_cases(48), np.random.default_rng(1)
  specks = np.where(rng.random(cases.masks.shape) < 0.05, 80, 0)
  images = (cases.images[..., 0].astype(int) + specks).clip(0, 255)
  return cases._replace(images=images[..., None].astype(np.uint8))


@pytest.fixture(scope="module")
def cases():
  with pytest.MonkeyPatch.context() as patch:
    made_cases = _cases()
    patch.setattr(data_cases, "load", lambda name, **options: made_cases)
    yield made_cases


@pytest.fixture(scope="module")
def run(cases, tmp_path_factory):
  """Returns the folder of a run that asks for everything."""
  workdir = tmp_path_factory.mktemp("predicting") / "run"
  experiment = _experiment("seeds.strategy=vmap", classifies=True, **KEYS)
  train.train(experiment, workdir, Reporter(quiet=True))
  return workdir


def _softmax(logits):
  powers = np.exp(logits - logits.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)


def _view(params, images, axes):
  """Returns in numpy what a model says of a mirrored view, mirrored back."""
  images = np.flip(images / np.float32(255), axes)
  logits = images @ params["pixels"] + params["bias"]
  logits[..., 1] += PLACES[:, None] + 0.5 * PLACES
  labels = images.mean((1, 2)) @ params["labels"]
  labels[:, 0] += 3.0 * images[:, :, 0].mean((1, 2))
  return np.flip(_softmax(logits), axes), _softmax(labels)


def _mean(models, images):
  """Returns the mean probabilities of pixels and of diagnoses, over views and models."""
  views = [
    _view(one["params"], images, axes) for one in models for axes in ((), (2,), (1,), (1, 2))
  ]
  return tuple(np.mean(own, axis=0) for own in zip(*views, strict=True))


def _part(run, cases, name):
  ids = split_file.read(run).parts[0][name]
  return np.array([cases.ids.index(case) for case in ids])


def _dice(predictions, masks):
  counts = np.asarray(metrics.confusion_counts(np.asarray(predictions), masks, 2))
  return metrics.summarize(counts)["dice"], counts


def _choice(probabilities, masks):
  """Returns the best threshold and shares by brute force, and their score."""

  def score(threshold, *shares):
    return _dice([clean(p > np.float32(threshold), *shares) for p in probabilities], masks)[0]

  best = max(THRESHOLDS, key=lambda t: (score(t, 0, 0), -abs(round(100 * t) - 50), -t))
  component = max(SHARES, key=lambda share: (score(best, share, 0), -share))
  hole = max(SHARES, key=lambda share: (score(best, component, share), -share))
  return (best, component, hole), score(best, component, hole)


@pytest.mark.parametrize("model", [*SEEDS, "ensemble"])
def test_choices_and_scores_are_those_of_a_search_in_numpy(run, cases, model):
  best = model_file.read(run)
  models = list(best.values()) if model == "ensemble" else [best[model]]
  choices = postprocessing_file.read(run)
  choice = choices.ensemble if model == "ensemble" else choices.seeds[model]
  validation, test = (_part(run, cases, name) for name in ("validation", "test"))
  probabilities, _ = _mean(models, cases.images[validation])
  decision, score = _choice(probabilities[..., 1], cases.masks[validation])
  assert tuple(choice.decision) == decision
  assert choice.score == pytest.approx(score)
  assert choice.without == pytest.approx(
    _dice(probabilities.argmax(-1), cases.masks[validation])[0]
  )
  assert choice.num_cases == len(validation)

  probabilities, labels = _mean(models, cases.images[test])
  threshold, *shares = decision
  masks = [clean(own > np.float32(threshold), *shares) for own in probabilities[..., 1]]
  dice, counts = _dice(masks, cases.masks[test])
  results = read_json(run / "results.json")
  if model == "ensemble":
    found = results["ensemble"]["metrics"]["dice"]["value"]
    rows = case_table.read(run, case_table.ENSEMBLE_NAME)
    diagnoses = diagnosis_table.read(run, diagnosis_table.ENSEMBLE_NAME)
  else:
    found = results["metrics"]["dice"]["per_seed"][model]
    rows, diagnoses = (
      [row for row in table.read(run) if row["seed"] == model]
      for table in (case_table, diagnosis_table)
    )
  assert found == pytest.approx(dice)
  np.testing.assert_array_equal(
    [[row[name] for name in case_table.COUNTS] for row in rows], counts.reshape(-1, 4)
  )
  shares = [[row[f"probability_{name}"] for name in cases.label_names] for row in diagnoses]
  np.testing.assert_allclose(shares, labels, atol=2e-6)


@pytest.mark.parametrize("model", [*SEEDS, "ensemble"])
def test_temperatures_and_errors_are_those_of_numpy(run, cases, model):
  best = model_file.read(run)
  models = list(best.values()) if model == "ensemble" else [best[model]]
  found = calibration_file.read(run)
  calibration = found.ensemble if model == "ensemble" else found.seeds[model]
  validation, test = (_part(run, cases, name) for name in ("validation", "test"))
  for which, (own, truth) in enumerate(zip(calibration, (cases.masks, cases.labels), strict=True)):

    def at(indices, value, which=which):
      powers = _mean(models, cases.images[indices])[which].astype(float) ** (1 / value)
      return (powers / powers.sum(-1, keepdims=True)).reshape(-1, 2)

    def loss(value, indices, at=at, truth=truth):
      labels = truth[indices].ravel().astype(int)
      return -np.log(at(indices, value)[np.arange(len(labels)), labels]).mean()

    values = np.exp(np.linspace(np.log(0.05), np.log(20), 400))
    least = values[np.argmin([loss(value, validation) for value in values])]
    assert own.temperature == pytest.approx(least, rel=0.02)
    assert own.num_cases == len(validation)
    for value, measured in ((1.0, own.before), (own.temperature, own.after)):
      assert measured.nll == pytest.approx(loss(value, test), rel=2e-3)
      labels = truth[test].ravel()
      error = metrics.expected_calibration_error(labels, at(test, value))
      assert measured.ece == pytest.approx(error, abs=2e-3)
      assert sum(measured.counts) == len(labels)
  entry = read_json(run / "results.json")
  if model == "ensemble":
    values = {name: own["value"] for name, own in entry["ensemble"]["metrics"].items()}
  else:
    values = {name: own["per_seed"][model] for name, own in entry["metrics"].items()}
  assert values["pixel_ece_calibrated"] == pytest.approx(calibration.pixels.after.ece)
  assert values["diagnosis_ece"] == pytest.approx(calibration.diagnoses.before.ece)


def test_the_report_shows_the_calibration(run, tmp_path):
  assert report(["mlseg", str(run), f"--out={tmp_path / 'report'}"]) == 0
  page = (tmp_path / "report" / "index.html").read_text()
  assert "accuracy of pixels by confidence" in page
  assert "accuracy of diagnoses by confidence" in page
  assert "error detection" in page


def test_something_is_chosen_and_it_helps(run):
  """Otherwise the test above would compare nothing."""
  choices = postprocessing_file.read(run)
  all_choices = [*choices.seeds.values(), choices.ensemble]
  assert any(own.decision.threshold != 0.5 for own in all_choices)
  assert any(own.decision.component_share for own in all_choices)
  assert all(own.score >= own.without for own in all_choices)
  assert any(own.score > own.without for own in all_choices)


def test_the_mean_of_models_has_intervals_over_the_cases(run, cases):
  entry = read_json(run / "results.json")["ensemble"]
  assert entry["num_models"] == 3
  rows = case_table.read(run, case_table.ENSEMBLE_NAME)
  lesion = [row for row in rows if row["class"] == "lesion"]
  for name in ("dice", "iou", "hausdorff95", "normalized_surface_dice"):
    found = entry["metrics"][name]
    values = np.array([row[name] for row in lesion])
    assert found["value"] == pytest.approx(values.mean(), rel=1e-5)
    assert found["low"] <= found["value"] <= found["high"]
    error = values.std() / len(values) ** 0.5  # the normal interval, for comparison
    if error:
      width = found["high"] - found["low"]
      assert width == pytest.approx(2 * 1.96 * error, rel=0.25)
  assert entry["metrics"]["dice_pooled"]["low"] is None


def test_the_command_predicts_what_was_tested(run, cases, tmp_path, monkeypatch):
  """The masks of new pictures, which are the test cases, have the counts of the test."""
  read = trained.experiment.read_network

  def read_network(*arguments):
    data, network, prediction = read(*arguments)
    return data, network._replace(make=_leaning), prediction

  monkeypatch.setattr(trained.experiment, "read_network", read_network)
  test, names = _part(run, cases, "test"), {}
  (tmp_path / "in").mkdir()
  for n in test:
    names[cases.ids[n]] = tmp_path / "in" / f"{n}.png"
    Image.fromarray(cases.images[n, ..., 0]).save(names[cases.ids[n]])

  def predicted(folder, **options):
    options = pictures.PredictOptions(
      run, tmp_path / "in", tmp_path / folder, None, True, "none", 4, **options
    )
    assert pictures.predict(options, Reporter(quiet=True)) == (0, len(test))
    return np.stack(
      [np.asarray(Image.open(tmp_path / folder / "masks" / f"{n}.png")) // 255 for n in test]
    )

  rows = case_table.read(run, case_table.ENSEMBLE_NAME)
  expected = [[row[name] for name in case_table.COUNTS] for row in rows]
  masks = predicted("out")
  _, counts = _dice(masks, cases.masks[test])
  np.testing.assert_array_equal(counts.reshape(-1, 4), expected)
  note = read_json(tmp_path / "out" / "predict.json")
  choice = postprocessing_file.read(run).ensemble
  assert note["views"] == "flips"
  assert note["postprocessing"] == choice.decision._asdict()
  calibration = calibration_file.read(run).ensemble
  temperature = calibration.pixels.temperature
  assert note["calibration"] == {
    "pixels": temperature, "diagnoses": calibration.diagnoses.temperature
  }  # fmt: skip
  for maps in ("npz", "png", "nifti"):
    predicted(maps, maps=maps)
  means = _mean(list(model_file.read(run).values()), cases.images[test])[0]
  for n, own in zip(test, means, strict=True):
    powers = own.astype(float) ** (1 / temperature)
    expected = powers / powers.sum(-1, keepdims=True)
    with np.load(tmp_path / "npz" / "maps" / f"{n}.npz") as maps:
      np.testing.assert_allclose(maps["probabilities"], expected, atol=1e-5)
      entropy = -(expected * np.log2(expected)).sum(-1)
      np.testing.assert_allclose(maps["entropy"], entropy, atol=1e-4)
      assert maps["classes"].tolist() == ["background", "lesion"]
      disagreement = maps["disagreement"]
    shown = np.asarray(Image.open(tmp_path / "png" / "probabilities" / f"{n}.png"))
    np.testing.assert_allclose(shown / 255, expected[..., 1], atol=0.51 / 255 + 1e-5)
    for name, values in (("probabilities", expected[..., 1]), ("entropy", entropy)):
      volume = volumes.read(tmp_path / "nifti" / name / f"{n}.nii.gz")
      np.testing.assert_allclose(volume.values[0], values, atol=1e-4)
      assert volume.spacing == (1.0, 1.0, 1.0)
    single = np.stack([
      _view(one["params"], cases.images[n : n + 1], axes)[0][0]
      for one in model_file.read(run).values() for axes in ((), (2,), (1,), (1, 2))
    ])  # fmt: skip
    inner = -(single * np.log2(single)).sum(-1).mean(0)
    outer = -(own * np.log2(own)).sum(-1)
    np.testing.assert_allclose(disagreement, outer - inner, atol=1e-4)
  models = list(model_file.read(run).values())
  plain = _mean(models, cases.images[test])[0].argmax(-1)
  np.testing.assert_array_equal(predicted("plain", postprocess=False), plain)
  assert (masks != plain).any()
  views = [_view(one["params"], cases.images[test], ())[0] for one in models]
  one = np.mean(views, 0)
  np.testing.assert_array_equal(predicted("one", postprocess=False, views="one"), one.argmax(-1))
  assert (one.argmax(-1) != plain).any()


@pytest.mark.slow
def test_every_strategy_tests_the_same(run, cases, tmp_path):
  experiment = _experiment("seeds.strategy=loop", classifies=True, **KEYS)
  train.train(experiment, tmp_path, Reporter(quiet=True))
  found, expected = (postprocessing_file.read(folder) for folder in (tmp_path, run))
  assert found.ensemble.decision == expected.ensemble.decision
  entry, other = (read_json(f / "results.json")["ensemble"] for f in (tmp_path, run))
  assert entry["metrics"]["dice"] == pytest.approx(other["metrics"]["dice"])


SPLIT = Split(np.arange(24), np.arange(24, 36), np.arange(36, 48))


@pytest.fixture(scope="module")
def models(cases):
  """Returns programs, and the variables of three models that are not trained."""
  experiment = _experiment(**KEYS)
  mesh = sharding.make_mesh(sharding.Layout(1, 1, 1))
  programs = Programs([experiment], cases, SPLIT, strategy="map", num_models=3, mesh=mesh)
  state = programs.init(SEEDS)
  return experiment, programs, [programs.best(state, index) for index in range(3)]


def test_test_cases_do_not_count_in_the_choice(models, cases):
  """With other truths of the test cases alone, the same is chosen."""
  experiment, programs, variables = models
  masks, quiet = cases.masks.copy(), Reporter(quiet=True)
  masks[SPLIT.test] = 1 - masks[SPLIT.test]
  first, second = (
    scoring.score_ensemble(programs.testing, experiment, own, SPLIT, variables, quiet)
    for own in (cases, cases._replace(masks=masks))
  )
  assert first.choice == second.choice
  np.testing.assert_array_equal(first.predictions, second.predictions)
  assert (first.counts != second.counts).any()


def test_views_and_validation_cases_are_in_the_program_of_the_test_cases(models, cases):
  experiment, programs, variables = models
  calls = []

  def test(own, images, masks, covariates):
    calls.append(len(images))
    return programs.testing.test(own, images, masks, covariates=covariates)

  counted = types.SimpleNamespace(test=test, explain=None)
  scoring.score_seed(counted, experiment, cases, SPLIT, variables[0], Reporter(quiet=True))
  assert calls == [len(SPLIT.test) + len(SPLIT.validation)]
