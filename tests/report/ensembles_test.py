"""The tables of means of models, and of what was chosen on validation."""

import json

from mlseg.postprocessing.decision import Choice, Decision
from mlseg.report import ensembles
from mlseg.report.sections import _scores
from mlseg.workdir import postprocessing_file, run_files
from tests.report import made_runs


def _texts(table):
  return [[cell.text for cell in row] for row in table.rows]


def _run(folder, name):
  made_runs.make_run(folder)
  return run_files.read(name, folder)


def test_runs_without_a_mean_and_without_choices_have_no_tables(tmp_path):
  runs = [_run(tmp_path / "run", "plain")]
  assert ensembles.table(runs) is None
  assert ensembles.choices(runs) is None
  assert len(_scores((), runs, runs).tables) == 1


def test_a_mean_has_a_row_with_intervals_and_its_choice_beside_those_of_the_seeds(tmp_path):
  _run(tmp_path / "plain", "plain")
  made_runs.make_run(tmp_path / "run")
  path = tmp_path / "run" / "results.json"
  metrics = {
    "dice": {"value": 0.8312, "low": 0.8, "high": 0.86},
    "hausdorff95": {"value": 12.5, "low": None, "high": None},
    "dice_pooled": {"value": 0.9, "low": None, "high": None},
  }
  content = json.loads(path.read_text()) | {"ensemble": {"num_models": 2, "metrics": metrics}}
  path.write_text(json.dumps(content))
  seed = Choice(Decision(0.45, 0.0, 0.0), 8, 0.5, 0.5125, {}, {}, {})
  mean = Choice(Decision(None, 0.002, 0.0005), 8, 0.75, 0.76, {}, {}, {})
  choices = postprocessing_file.Choices({0: seed, 1: seed}, mean)
  postprocessing_file.write(tmp_path / "run", choices)
  runs = [run_files.read(name, tmp_path / name) for name in ("plain", "run")]
  table = ensembles.table(runs)
  assert table.header == ("run", "models", "Dice", "HD95, pixels")
  assert _texts(table) == [["run", "2", "83.12 [80.00, 86.00]", "12.50"]]
  assert _texts(ensembles.choices(runs)) == [
    ["run", "seed 0", "0.45", "0", "0", "8", "50.00", "51.25"],
    ["run", "seed 1", "0.45", "0", "0", "8", "50.00", "51.25"],
    ["run", "mean", "–", "0.2", "0.05", "8", "75.00", "76.00"],
  ]
  titles = [one.title for one in _scores((), runs, runs).tables]
  assert titles == ["Scores", "Means of models", "Chosen on validation"]
