"""The files of a tested run, and their rows and scores, from made predictions."""

import numpy as np
import pytest

from mlseg import metrics
from mlseg.data.splits.grouped import Split
from mlseg.files import read_csv, read_json, read_npz
from mlseg.metrics.detection import ImageBoxes
from mlseg.models import gradcam
from mlseg.training import outputs, scoring
from mlseg.training.scoring import SeedScores
from tests.training import made

pytestmark = pytest.mark.usefixtures("no_figures")
PARTS = {
  3: Split(np.arange(12), np.arange(12, 16), np.array([20, 17, 23])),
  4: Split(np.arange(12), np.arange(16, 20), np.array([1, 2, 3])),
}


@pytest.fixture(scope="module")
def cases():
  return made.make_cases()


def _scores(cases, seed, *, segments=True, classifies=False, **more):
  """Returns the scores of a model that sees the bright pixels, and doubts its diagnoses."""
  test, validation = PARTS[seed].test, PARTS[seed].validation
  scores = SeedScores(None, None, None, cases.labels[test], None, **more)
  if segments:
    predictions = (cases.images[test, ..., 0] > 160).astype(np.uint8)
    counts = np.asarray(metrics.confusion_counts(predictions, cases.masks[test], 2))
    scores = scores._replace(counts=counts, predictions=predictions)
  if classifies:
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 256, (len(gradcam.METHODS), len(test), 8, 8)).astype(np.uint8)
    scores = scores._replace(
      probabilities=rng.dirichlet([1, 1], len(test)).astype(np.float32),
      validation=rng.dirichlet([1, 1], len(validation)).astype(np.float32),
      maps=maps,
    )
  return scores


def _write(folder, cases, experiment, tested):
  summary = scoring.summarize_seeds(experiment, tested, cases.class_names)
  outputs.write(folder, cases, PARTS, tested, summary)
  return summary


def test_masks_leave_rows_and_examples(cases, tmp_path):
  experiment = made.make_experiment("num_seeds=2")
  tested = {seed: _scores(cases, seed) for seed in PARTS}
  summary = _write(tmp_path, cases, experiment, tested)
  assert {path.name for path in tmp_path.iterdir()} == {
    "cases.csv", "examples.npz", "results.json"
  }  # fmt: skip
  rows = read_csv(tmp_path / "cases.csv")
  assert [(row["seed"], row["id"]) for row in rows[::2]] == [
    (str(seed), f"case {n}") for seed, part in PARTS.items() for n in part.test
  ]
  assert [row["class"] for row in rows[:2]] == ["background", "lesion"]
  own = [float(row["dice"]) for row in rows if row["class"] == "lesion"]
  dice = summary["metrics"]["dice"]
  np.testing.assert_allclose(dice["per_seed"], [np.mean(own[:3]), np.mean(own[3:])], rtol=1e-5)
  assert dice["mean"] == pytest.approx(np.mean(dice["per_seed"]))
  assert dice["std"] == pytest.approx(np.std(dice["per_seed"], ddof=1))
  assert read_json(tmp_path / "results.json")["metrics"]["dice"] == dice
  examples = read_npz(tmp_path / "examples.npz")  # of the first seed
  assert examples["ids"].tolist() == ["case 20", "case 17", "case 23"]
  np.testing.assert_array_equal(examples["masks"], cases.masks[[20, 17, 23]])
  np.testing.assert_array_equal(examples["predictions"], tested[3].predictions)
  np.testing.assert_allclose(examples["dice"], own[:3], rtol=1e-5)


def test_diagnoses_leave_rows_and_maps_and_no_masks(cases, tmp_path):
  experiment = made.make_experiment()
  scores = _scores(cases, 3, segments=False, classifies=True)
  summary = _write(tmp_path, cases, experiment, {3: scores})
  assert {path.name for path in tmp_path.iterdir()} == {
    "diagnoses.csv", "validation_diagnoses.csv", "saliency.npz", "results.json"
  }  # fmt: skip
  rows = read_csv(tmp_path / "diagnoses.csv")
  for row, chances in zip(rows, scores.probabilities, strict=True):
    assert float(row["probability_benign"]) == pytest.approx(chances[0], rel=1e-5)
    assert row["predicted"] == ("benign", "malignant")[chances.argmax()]
  assert [row["label"] for row in rows] == ["benign", "malignant", "malignant"]
  validated = read_csv(tmp_path / "validation_diagnoses.csv")
  assert [row["id"] for row in validated] == [f"case {n}" for n in range(12, 16)]
  right = np.mean([row["label"] == row["predicted"] for row in rows])
  accuracy = summary["metrics"]["classification_accuracy"]
  assert accuracy == {"mean": pytest.approx(right), "std": None, "per_seed": [accuracy["mean"]]}
  saliency = read_npz(tmp_path / "saliency.npz")
  np.testing.assert_array_equal(saliency["map_gradcam"], scores.maps[0])


def test_volumes_leave_their_attention_and_one_slice_as_an_example(cases, tmp_path):
  attention = np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
  scores = _scores(cases, 3, classifies=True, attention=attention)
  _write(tmp_path, cases, made.make_experiment(), {3: scores})
  rows = read_csv(tmp_path / "attention.csv")
  assert [(row["id"], row["slice"], float(row["attention"])) for row in rows] == [
    ("case 20", "1", 0.2), ("case 20", "2", 0.8), ("case 17", "1", 1.0),
    ("case 23", "1", 0.5), ("case 23", "2", 0.5),
  ]  # fmt: skip
  examples = read_npz(tmp_path / "examples.npz")
  np.testing.assert_array_equal(examples["masks"][0], cases.masks[20, 4:])  # the second slice
  np.testing.assert_array_equal(examples["masks"][1], cases.masks[17, :4])
  assert (tmp_path / "patients.npz").exists()
  assert not (tmp_path / "saliency.npz").exists()


def test_a_detector_leaves_its_boxes(cases, tmp_path):
  box, none = np.array([[1.0, 2.0, 4.0, 5.0]]), np.zeros((0, 4))
  found = ImageBoxes(box, np.array([1]), np.array([0.75]), box, np.array([1]))
  missed = ImageBoxes(none, np.zeros(0, int), np.zeros(0), box, np.array([1]))
  scores = _scores(cases, 3, boxes=(missed, found, found))
  summary = _write(tmp_path, cases, made.make_experiment(), {3: scores})
  rows = read_csv(tmp_path / "boxes.csv")
  assert [row["id"] for row in rows] == ["case 17", "case 23"]
  assert [float(rows[0][name]) for name in ("score", "top", "left", "bottom", "right")] == [
    0.75, 1, 2, 4, 5
  ]  # fmt: skip
  assert rows[0]["class"] == "lesion"
  assert 0 < summary["metrics"]["box_ap50"]["mean"] < 1


def test_the_data_of_a_run_are_written_before_training(cases, tmp_path):
  cases = cases._replace(
    covariates=np.where(np.arange(24) == 5, np.nan, np.arange(24.0))[:, None].astype(np.float32),
    covariate_names=("age",),
  )
  outputs.write_data(tmp_path, cases, np.arange(24) // 2, [(0, 1, 7)], PARTS)
  split = read_json(tmp_path / "split.json")
  assert split["seeds"]["3"]["test"] == ["case 20", "case 17", "case 23"]
  assert split["near_duplicates"] == [["case 0", "case 1", 7]]
  rows = read_csv(tmp_path / "data.csv")
  assert [row["covariate_age"] for row in rows[4:7]] == ["4", "", "6"]
  assert {row["pixels_lesion"] for row in rows} == {"9"}
  assert [row["group"] for row in rows[:4]] == ["0", "0", "1", "1"]


def test_the_worst_cases_are_kept_of_many():
  random = np.random.default_rng(0)
  scores = random.random(2000)
  scores[::7] = np.nan  # without a foreground
  kept = outputs.kept_examples(scores, 200)
  order = [n for n in np.argsort(scores) if np.isfinite(scores[n])]
  assert set(order[:50]) <= set(kept)
  assert set(order[-20:]) <= set(kept)
  assert order[len(order) // 2] in kept
  assert 150 < len(kept) <= 200
  assert (np.diff(kept) > 0).all()
  other = outputs.kept_examples(random.random(2000), 200)
  assert len(set(kept) & set(other)) >= 100  # the evenly spaced ones are the same for all runs
  np.testing.assert_array_equal(outputs.kept_examples(scores[:200], 200), np.arange(200))
  few = np.full(300, np.nan)
  few[5] = 0.5
  assert 5 in outputs.kept_examples(few, 200)
  assert len(outputs.kept_examples(np.full(300, np.nan), 200)) == 100


def test_the_worst_case_with_a_foreground_has_its_picture(cases, tmp_path, monkeypatch):
  monkeypatch.setattr(outputs, "MAX_EXAMPLES", 8)
  masks = cases.masks.copy()
  masks[20:] = 0  # their Dice is 0 where anything is found, but there is nothing to find
  test = np.arange(24)
  predictions = masks.copy()
  predictions[20:, 0, 0] = 1
  predictions[13] = 0
  counts = np.asarray(metrics.confusion_counts(predictions, masks, 2))
  scores = SeedScores(counts, predictions, None, cases.labels[test], None)
  made_examples = outputs._examples(cases._replace(masks=masks), test, scores)
  assert len(made_examples.ids) <= 8
  assert "case 13" in made_examples.ids


def test_patients_are_in_the_table_of_the_data(cases, tmp_path):
  known = cases._replace(patients=np.arange(24, dtype=np.int32) // 3)
  outputs.write_data(tmp_path, known, np.arange(24), [], PARTS)
  assert [row["patient"] for row in read_csv(tmp_path / "data.csv")[:4]] == ["0", "0", "0", "1"]
