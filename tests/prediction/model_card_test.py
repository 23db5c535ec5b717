"""A model card has the scores of the run, and says what was not tested."""

import pytest

from mlseg.files import to_csv
from mlseg.prediction import export, model_card, trained
from mlseg.workdir import case_table, results_file, split_file
from mlseg.workdir.split_file import SavedSplit
from tests.prediction.made import SEEDS, write_run


@pytest.fixture
def run(tmp_path):
  """Returns the folder of a run of two models with scores."""
  write_run(tmp_path)
  rows = "a,benign,0,90,10\nb,malignant,1,100,0\n"
  (tmp_path / "data.csv").write_text("id,label,group,pixels_background,pixels_lesion\n" + rows)
  parts = {"train": ("a",), "validation": (), "test": ("b",)}
  split_file.write(tmp_path, SavedSplit(dict.fromkeys(SEEDS, parts), ()))
  return tmp_path


def _card(folder, ensemble=None):
  about = trained.load(folder)
  metrics = {"dice": {"mean": 0.7931, "std": 0.0304, "per_seed": [0.77, 0.81]}}
  content = {"metrics": metrics, "classes": {}, "seeds": list(SEEDS), "ensemble": ensemble}
  config = trained._read_config(folder / "config.json")
  results_file.write(folder, content | {"config": config})
  metadata = export.metadata_of(about, {"probabilities": (32, 32, 2)}, "model.onnx")
  return model_card.text(about, folder, metadata)


def test_scores_of_single_models_are_not_those_of_their_mean(run):
  card = _card(run)
  assert "- Dice: 79.3 ± 3.0 %" in card
  assert "Of 2 models, each by itself, on test images that it has not been trained on:" in card
  assert "Their mean, which this file gives, was not tested." in card
  assert "1 of the 2 images of the data show no region at all." in card
  assert "2 images (1 benign, 1 malignant); 1 for train, 0 for validation, 1 for test" in card


def test_scores_of_the_mean_have_their_interval(run):
  estimate = {"value": 0.8, "low": 0.75, "high": 0.84}
  card = _card(run, {"num_models": 2, "metrics": {"dice": estimate}})
  assert "- Dice: 80.0 [75.0, 84.0] %" in card
  assert "was not tested" not in card


def test_the_dice_of_single_models_has_an_interval_over_images(run):
  rows = [
    {"seed": seed, "id": case, "label": "", "class": name, "dice": value,
     "tp": 1, "fp": 0, "fn": 1, "tn": 1}
    for seed in SEEDS
    for case, value in (("a", 0.5), ("b", 0.7), ("c", 0.9))
    for name in ("background", "lesion")
  ]  # fmt: skip
  (run / case_table.NAME).write_text(to_csv(rows))
  (run / "data.csv").write_text(
    "id,label,group,pixels_background,pixels_lesion\n"
    + "".join(f"{case},x,{n},9,1\n" for n, case in enumerate("abc"))
  )
  split_file.write(
    run,
    SavedSplit({key: {"train": (), "validation": (), "test": tuple("abc")} for key in SEEDS}, ()),
  )
  card = _card(run)
  assert "- Dice: 79.3 ± 3.0 %, 95 % bootstrap interval over images 50.0 to 90.0 %" in card
  assert "Every image of the data shows a region" in card
