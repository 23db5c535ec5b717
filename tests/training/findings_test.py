"""Cases with several findings: what validates, tests and calibrates them, and the run's files."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import metrics
from mlseg.console import Reporter
from mlseg.data.splits.grouped import Split
from mlseg.files import read_csv, read_json
from mlseg.postprocessing import temperature
from mlseg.training import calibrate, ensemble, outputs, scoring
from mlseg.training.batches import cases_of
from mlseg.training.evaluation import Evaluation
from mlseg.training.validation import _of_findings
from mlseg.workdir import finding_table, results_file
from tests.training import made

NAMES = ("effusion", "edema", "mass")
SPLIT = Split(np.arange(8), np.arange(8, 14), np.arange(14, 24))


def _cases():
  """Returns cases with three findings, and logits of a model that often sees them."""
  rng = np.random.default_rng(0)
  findings = rng.integers(0, 2, (24, 3)).astype(np.int32)
  names, labels = np.unique(
    ["+".join(n for n, f in zip(NAMES, own, strict=True) if f) or "none" for own in findings],
    return_inverse=True,
  )
  cases = made.make_cases()._replace(
    findings=findings,
    finding_names=NAMES,
    labels=labels.astype(np.int32),
    label_names=tuple(map(str, names)),
  )
  return cases, (3 * (findings - 0.5) + rng.normal(size=findings.shape)).astype(np.float32)


def _score(cases, logits, **prediction):
  """Returns the scores of a model that only tells findings."""
  order = np.concatenate([SPLIT.test, SPLIT.validation])

  def test(variables, images, masks, covariates):
    del variables, images, masks, covariates
    return Evaluation(None, {}, None, jnp.asarray(logits[order]), None)

  experiment = made.make_experiment(classifies=True, **prediction)
  programs = types.SimpleNamespace(test=test, explain=None)
  scores = scoring.score_seed(programs, experiment, cases, SPLIT, None, Reporter(quiet=True))
  return experiment, scores


def test_a_batch_has_the_findings_in_the_place_of_diagnoses():
  cases, _ = _cases()
  assert cases_of(cases).labels is cases.findings
  assert cases_of(made.make_cases()).labels.shape == (24,)


def test_the_scores_of_an_epoch_are_means_of_those_of_the_findings():
  cases, logits = _cases()
  findings = cases.findings.copy()
  findings[:, 2] = 1  # a finding that all cases have
  found = _of_findings(jnp.asarray(logits), jnp.asarray(findings))
  each = [metrics.balanced_accuracy(findings[:, n], logits[:, n] > 0) for n in range(3)]
  np.testing.assert_allclose(found["accuracy"], np.mean(each), rtol=1e-6)
  areas = [metrics.roc_auc(findings[:, n], logits[:, n]) for n in range(2)]
  np.testing.assert_allclose(found["auc"], np.mean([*areas, 0.5]), rtol=1e-6)


def test_each_finding_is_tested_by_itself_and_their_means_are_the_metrics():
  cases, logits = _cases()
  experiment, scores = _score(cases, logits)
  probabilities = 1 / (1 + np.exp(-logits))
  np.testing.assert_allclose(scores.probabilities, probabilities[SPLIT.test], rtol=1e-5)
  np.testing.assert_allclose(scores.validation, probabilities[SPLIT.validation], rtol=1e-5)
  summary = scoring.summarize_seeds(
    experiment, {0: scores}, cases.class_names, finding_names=cases.finding_names
  )
  true = cases.findings[SPLIT.test]
  assert list(summary["findings"]) == list(NAMES)
  for n, name in enumerate(NAMES):
    own = summary["findings"][name]
    area = metrics.roc_auc(true[:, n], scores.probabilities[:, n])
    assert own["roc_auc"]["per_seed"] == [area]
    assert own["num_true"]["mean"] == true[:, n].sum()
  means = metrics.average_findings(true, scores.probabilities)
  assert {name: entry["mean"] for name, entry in summary["metrics"].items()} == means
  entry = ensemble.summarize(scores, "left_out", np.arange(10), 2)["metrics"]
  for name in ("classification_accuracy", "exact_match"):
    own = entry[name]
    assert own["low"] <= own["value"] <= own["high"]
    assert own["value"] == pytest.approx(means[name])


@pytest.mark.usefixtures("no_figures")
def test_a_run_leaves_tables_of_findings_and_none_of_diagnoses(tmp_path):
  cases, logits = _cases()
  experiment, scores = _score(cases, logits)
  maps = np.zeros((2, 10, 8, 8), np.uint8)
  tested = {5: scores._replace(maps=maps)}
  summary = scoring.summarize_seeds(
    experiment, tested, cases.class_names, finding_names=cases.finding_names
  )
  outputs.write(tmp_path, cases, {5: SPLIT}, tested, summary, scores)
  assert {path.name for path in tmp_path.iterdir()} == {
    "findings.csv", "validation_findings.csv", "ensemble_findings.csv", "saliency.npz",
    "results.json",
  }  # fmt: skip
  rows = finding_table.read(tmp_path)
  assert [row["id"] for row in rows] == [cases.ids[n] for n in SPLIT.test]
  for n, row in zip(SPLIT.test, rows, strict=True):
    assert row["seed"] == 5
    assert row["label"] == cases.label_names[cases.labels[n]]
    assert [row[f"true_{name}"] for name in NAMES] == cases.findings[n].tolist()
    above = [name for name in NAMES if row[f"probability_{name}"] > 0.5]
    assert row["predicted"] == ("+".join(above) or "none")
  assert len(read_csv(tmp_path / "validation_findings.csv")) == 6
  assert "seed" not in read_csv(tmp_path / "ensemble_findings.csv")[0]
  content = read_json(tmp_path / "results.json")
  assert content["findings"]["edema"]["roc_auc"] == summary["findings"]["edema"]["roc_auc"]
  assert set(results_file.read(tmp_path).findings) == set(NAMES)
  with np.load(tmp_path / "saliency.npz") as saliency:
    assert saliency["predicted"].tolist() == [row["predicted"] for row in rows]


def test_one_temperature_fits_all_findings():
  cases, logits = _cases()
  _, scores = _score(cases, 5 * logits, calibration="validation")
  found = scores.calibration.diagnoses
  own, true = 5 * logits[SPLIT.validation].ravel(), cases.findings[SPLIT.validation].ravel()

  def loss(value):
    return np.mean(np.logaddexp(0, own / value) - true * own / value)

  values = np.geomspace(temperature.LEAST, temperature.MOST, 4001)
  best = values[np.argmin([loss(value) for value in values])]
  assert found.temperature == pytest.approx(best, rel=5e-3)
  assert found.num_cases == 6
  sample = calibrate.of_cases(5 * logits[SPLIT.test], cases.findings[SPLIT.test])
  np.testing.assert_allclose(
    np.exp(sample.log_probabilities[:, 1]).reshape(-1, 3), scores.probabilities, rtol=1e-5
  )


def test_the_console_shows_each_finding(capsys):
  cases, logits = _cases()
  experiment, scores = _score(cases, logits)
  summary = scoring.summarize_seeds(
    experiment, {0: scores}, cases.class_names, finding_names=cases.finding_names
  )
  Reporter().results("made", summary, "lesion")
  said = capsys.readouterr().out
  assert "mean of findings: made" in said
  assert "each finding: made" in said
  assert all(name in said for name in NAMES)
