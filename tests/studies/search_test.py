"""A search draws, trains, stops and resumes trials, and never tests one."""

import json

import numpy as np
import pytest

from mlseg import sweep
from mlseg.console import Reporter
from mlseg.data import cases as data_cases
from mlseg.errors import UserError
from mlseg.recipe import experiment
from mlseg.report import searches
from mlseg.report.__main__ import main as report
from mlseg.studies import search
from mlseg.training import train
from mlseg.training.stopping import Stopped
from mlseg.workdir import metrics_log, search_file
from mlseg.workdir.search_file import Search, Trial
from tests.training import made

optuna = pytest.importorskip("optuna", reason="needs the extra optuna")
RATE = search.Range("optimizer.learning_rate", 1e-3, 1.0, log=True)


@pytest.fixture
def recipe(monkeypatch):
  """Returns a recipe that trains a linear network on toy cases in moments."""
  cases = made.make_cases(48)
  monkeypatch.setattr(data_cases, "load", lambda name, **options: cases)
  read = experiment.read

  def linear(content):
    found = read(content)
    make = lambda num_classes, num_labels: made.linear(num_classes)  # noqa: E731
    return found._replace(network=found.network._replace(make=make))

  monkeypatch.setattr(experiment, "read", linear)
  return dict(made.make_experiment("num_epochs=4").content)


def _search(recipe, folder, count, *ranges):
  options = search.SearchOptions(recipe, ranges or (RATE,), count, folder)
  return search.search(options, Reporter(quiet=True))


def test_trials_have_scores_of_validation_and_are_not_tested(recipe, tmp_path):
  found = _search(recipe, tmp_path / "s", 3)
  assert [trial.number for trial in found.trials] == [0, 1, 2]
  for trial in found.trials:
    folder = tmp_path / "s" / f"trial_{trial.number:03d}"
    records = [r for r in metrics_log.read(folder) if "validation" in r]
    assert trial.score == pytest.approx(max(r["validation"]["dice"] for r in records))
    assert trial.state == "complete"
    assert RATE.low <= trial.values[RATE.key] <= RATE.high
    config = json.loads((folder / "config.json").read_text())["config"]
    assert config["optimizer"]["learning_rate"] == trial.values[RATE.key]
    assert not (folder / "results.json").exists()
  assert len({trial.values[RATE.key] for trial in found.trials}) == 3
  assert found.best == max(found.trials, key=lambda trial: trial.score)
  assert search_file.read(tmp_path / "s") == found
  table = (tmp_path / "s" / "trials.csv").read_text().splitlines()
  assert table[0] == "number,state,score,epochs,optimizer.learning_rate"
  assert len(table) == 4


def test_a_search_goes_on_with_more_trials(recipe, tmp_path):
  first = _search(recipe, tmp_path / "s", 2)
  second = _search(recipe, tmp_path / "s", 3)
  assert second.trials[:2] == first.trials
  assert len(second.trials) == 3
  assert _search(recipe, tmp_path / "s", 3) == second


def test_a_trial_that_was_interrupted_goes_on(recipe, tmp_path, monkeypatch):
  whole = _search(recipe, tmp_path / "whole", 2)
  trained, calls = train.train, []

  def interrupted(own, folder, reporter, observe, is_tested):
    calls.append(folder.name)
    if calls == ["trial_000"]:  # as after SIGTERM: some epochs are saved

      def stop(records):
        observe(records)
        return records[0]["epoch"] < 2

      trained(own, folder, reporter, stop, is_tested)
      raise Stopped(15, 0)
    return trained(own, folder, reporter, observe, is_tested)

  monkeypatch.setattr(search.train, "train", interrupted)
  with pytest.raises(Stopped):
    _search(recipe, tmp_path / "s", 2)
  found = _search(recipe, tmp_path / "s", 2)
  assert calls == ["trial_000", "trial_000", "trial_001"]
  assert found.trials[0].values == whole.trials[0].values
  assert found.trials[0].score == pytest.approx(whole.trials[0].score)


def test_a_trial_that_is_worse_than_the_others_is_stopped(recipe, tmp_path, monkeypatch):
  prune = iter([False, False, True])
  monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda self: next(prune, True))
  found = _search(recipe, tmp_path / "s", 1)
  (trial,) = found.trials
  assert (trial.state, trial.epochs) == ("pruned", 3)
  records = metrics_log.read(tmp_path / "s" / "trial_000")
  assert records[-1]["epoch"] == 3.0
  assert found.best is None


def test_a_trial_that_diverges_has_no_score(recipe, tmp_path, monkeypatch):
  def diverge(*arguments, **options):
    raise train.DivergedError({(0, 0): "seed 0 stopped"})

  monkeypatch.setattr(search.train, "train", diverge)
  found = _search(recipe, tmp_path / "s", 2)
  assert [(trial.state, trial.score) for trial in found.trials] == [("fail", None)] * 2


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("a.b=1:10", search.Range("a.b", 1, 10, whole=True)),
    ("a=0.1:1e2:log", search.Range("a", 0.1, 100, log=True)),
    ("a=-1:0.5", search.Range("a", -1, 0.5)),
    ("a=x, y,z", search.Range("a", choices=("x", "y", "z"))),
  ],
)
def test_ranges_are_read(text, expected):
  assert search.read_range(text) == expected


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("a", "must be KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B"),
    ("a=1", "must be KEY=LOW:HIGH"),
    ("a=2:1", "must have LOW < HIGH$"),
    ("a=0:1:log", "must have LOW < HIGH above 0"),
    ("a=x:1", "'x' and '1' must be numbers"),
    ("a=0:inf", "must have LOW < HIGH"),
    ("a=x,x", "must have different values"),
  ],
)
def test_wrong_ranges_are_refused(text, message):
  with pytest.raises(UserError, match=message):
    search.read_range(text)


def test_a_mistake_is_found_before_any_trial(recipe, tmp_path):
  with pytest.raises(UserError, match=r"unknown config key 'optimizer\.rate'"):
    _search(recipe, tmp_path / "s", 1, search.Range("optimizer.rate", 0, 1))
  with pytest.raises(UserError, match=r"config\.batch_size must be"):
    _search(recipe, tmp_path / "s", 1, search.Range("batch_size", 0, 4, whole=True))
  assert not (tmp_path / "s").exists()
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "file").write_text("")
  with pytest.raises(UserError, match="holds other files; give a new folder"):
    _search(recipe, tmp_path / "mine", 1)
  _search(recipe, tmp_path / "s", 1)
  with pytest.raises(UserError, match="is of another search; give a new folder"):
    _search(recipe, tmp_path / "s", 1, RATE._replace(high=2.0))


SMOKE = "--config=configs/smoke.py"
RANGE = "--range=optimizer.learning_rate=1e-4:1e-2:log"


def test_choices_have_the_type_of_their_key(recipe, tmp_path):
  ranges = (search.Range("batch_size", choices=("4", "8")),)
  found = _search(recipe, tmp_path / "s", 1, *ranges)
  config = json.loads((tmp_path / "s" / "trial_000" / "config.json").read_text())["config"]
  assert config["batch_size"] in (4, 8)
  assert found.trials[0].values["batch_size"] in ("4", "8")


def test_the_command_line_is_read():
  found = sweep.parse_search(["", SMOKE, "--optimize=5", RANGE, "--config.num_epochs=3"])
  assert (found.num_trials, found.recipe["num_epochs"]) == (5, 3)
  assert found.ranges == (search.Range("optimizer.learning_rate", 1e-4, 1e-2, log=True),)
  assert str(found.workdir).startswith("runs/search-")
  assert sweep.parse_search(["", SMOKE]) is None


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ((SMOKE, "--optimize=3"), "--optimize needs --config and at least one --range"),
    ((SMOKE, RANGE), "--optimize must be at least 1, not 0"),
    ((SMOKE, "--optimize=3", RANGE, RANGE), "--range has the key optimizer.learning_rate twice"),
    (("--study=a", "--optimize=3", RANGE), "--study does not go with --optimize"),
    ((SMOKE, "--optimize=3", RANGE, "--table"), "--grid and --table do not go with --optimize"),
  ],
)
def test_wrong_use_of_the_search_gets_one_line(words, message, capsys):
  assert sweep.run(["mlseg", *words]) == 2
  error = capsys.readouterr().err
  assert error.startswith(f"mlseg: {message}")
  assert error.count("\n") == 1


def _made():
  rng = np.random.default_rng(0)
  trials = [
    Trial(n, "pruned" if n % 4 == 3 else "complete", float(rng.random()), 10, {"a.b": float(n)})
    for n in range(25)
  ]
  return Search("dice", (*trials, Trial(25, "fail", None, 0, {"a.b": 1.0})), {"a.b": 1.0})


def test_the_table_has_the_best_trials_first():
  (table,) = searches.tables({"s": _made()})
  scores = [float(row[2].text) for row in table.rows if row[1].text == "complete"]
  assert scores == sorted(scores, reverse=True)
  assert len(table.rows) == 20
  assert "26 trials, of which the best 20 are here." in table.note


def test_a_report_shows_a_search_beside_runs(recipe, tmp_path, capsys):
  search_file.write(tmp_path, _made())
  assert report(["mlseg", str(tmp_path), f"--out={tmp_path / 'report'}"]) == 2
  assert "holds a search, of which no trial was tested" in capsys.readouterr().err
  train.train(experiment.read(recipe), tmp_path / "run", Reporter(quiet=True))
  (tmp_path / "search").mkdir()
  search_file.write(tmp_path / "search", _made())
  words = [str(tmp_path / "run"), str(tmp_path / "search"), f"--out={tmp_path / 'both'}"]
  assert report(["mlseg", *words]) == 0
  page = (tmp_path / "both" / "index.html").read_text()
  assert "Search in search" in page
  assert "importance of each key" in page
