"""The section about outcomes: when it is there, what it says, and what it refuses."""

import csv
import html
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.report import drawing
from mlseg.report.__main__ import main
from mlseg.report.outcome import numbers as outcome_numbers
from mlseg.report.outcome import section as outcome_section
from mlseg.report.outcome.rows import RunRows
from mlseg.workdir.run_files import read
from tests.report import made_outcomes
from tests.report.made_runs import make_run

SMALL = {"num_lines": 2, "num_cases": 2, "size": 8, "num_seeds": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """A run that tells the outcome, one that does not, and one of an older version."""
  folder = tmp_path_factory.mktemp("runs")
  for seed, (name, separation) in enumerate((("good", 2.0), ("none", 0.0), ("old", 1.0))):
    run = make_run(folder / name, **SMALL)
    made_outcomes.add_outcomes(run, separation, seed=seed, validation=name != "old")
  return folder


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
  out = tmp_path_factory.mktemp("out") / "report"
  assert main(["report", str(runs), f"--out={out}", "--reference=good"]) == 0
  return out


@pytest.fixture
def few_resamples(monkeypatch):
  """Makes intervals that are soon there, for what does not look at their ends."""

  def summary(runs):
    rows = {run.name: outcome_section.rows_of(run) for run in runs}
    return outcome_numbers.summarize(rows, num_resamples=29)

  monkeypatch.setattr(outcome_section, "summary", summary)


@pytest.fixture
def run(tmp_path, few_resamples):
  return made_outcomes.add_outcomes(make_run(tmp_path / "run", **SMALL), num_patients=40)


def _section(out):
  page = html.unescape((out / "index.html").read_text()).replace("<wbr>", "")
  return page.split('<section id="outcome"')[1].split("</section>")[0]


def _rows(section):
  """Returns the cells of each row of each table, by its heading."""
  tables = re.findall(r"<caption>(.*?)</caption>.*?<tbody>(.*?)</tbody>", section, re.DOTALL)
  return {
    title: {
      name: re.findall(r"<td>(.*?)</td>", text)
      for name, text in re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', body)
    }
    for title, body in tables
  }


def _csv(path):
  with path.open(newline="") as file:
    return list(csv.DictReader(file))


def _found(*folders):
  with drawing.style():
    return outcome_section.outcome([read(folder.name, folder) for folder in folders])


@pytest.mark.slow
def test_the_tables_have_the_numbers_of_the_files(runs, made):
  given = {
    name: RunRows(
      _csv(runs / name / "diagnoses.csv"),
      None if name == "old" else _csv(runs / name / "validation_diagnoses.csv"),
      {row["id"]: row["group"] for row in _csv(runs / name / "data.csv")},
    )
    for name in ("good", "none", "old")
  }
  numbers = outcome_numbers.summarize(given)
  tables = _rows(_section(made))
  scores = tables["Outcome: progression"]
  assert list(scores) == ["good", "none", "old"]
  for name, cells in scores.items():
    one = numbers["runs"][name]
    delong, resampled, f1 = (one[x] for x in ("auc_delong", "auc_bootstrap", "f1"))
    assert cells[:2] == ["90", "26"]
    for text, interval in zip(cells[2:4], (delong, resampled), strict=True):
      assert text == "{estimate:.3f} [{low:.3f}, {high:.3f}]".format(**interval)
    assert cells[4] == f"{one['auc_mean']:.3f} ± {one['auc_deviation']:.3f}"
    assert cells[5] == ("{estimate:.3f} [{low:.3f}, {high:.3f}]".format(**f1) if f1 else "–")
    assert cells[6] == f"{one['sensitivity']:.3f}"
    assert cells[7] == f"{one['brier']:.3f} ({one['brier_of_share']:.3f})"
  assert [scores[name][8] for name in ("good", "old")] == ["< 0.001"] * 2
  assert float(scores["none"][8]) > 0.05
  assert scores["old"][5] == "–" != scores["none"][5]
  tests = tables["AUC against good"]
  for one in numbers["comparisons"]:
    cells = tests[one["run"]]
    assert cells[0] == "90"
    assert cells[1:3] == [f"{one['auc']:.3f}", f"{one['auc_reference']:.3f}"]
    assert cells[3] == f"{one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
  assert tests["none"][4:] == ["< 0.001"] * 2


def test_covariates_are_told_once_where_they_are_the_same(runs, made):
  found = _rows(_section(made))["Covariates alone"]
  rows = {row["id"]: row for row in _csv(runs / "good" / "data.csv")}
  known = [row for row in rows.values() if row["covariate_age"]]
  assert found["age"][0] == str(len(known)) == "72"
  assert found["volume"][0] == "90"
  ill, well = (
    np.array([float(row["covariate_volume"]) for row in rows.values() if row["label"] == label])
    for label in ("progression", "stable")
  )
  assert found["volume"][1].startswith(f"{(ill[:, None] > well).mean():.3f} [")


def test_what_is_missing_is_said(made):
  section = _section(made)
  assert "F1 is not shown, since there is no validation_diagnoses.csv: old." in section
  assert "diagnoses of two labels" not in section


def test_figures_have_words_and_lie_beside_the_page(made):
  images = re.findall(r'<img src="data:image/svg\+xml[^"]*" alt="([^"]*)"', _section(made))
  assert len(images) == 4
  assert re.search(r"ROC curves.* good 0\.\d{3}, none 0\.\d{3}, old 0\.\d{3}\.", images[0])
  assert images[1].startswith("Calibration of good, mean probability and observed share of prog")
  names = {path.name for path in (made / "figures").iterdir()}
  for stem in ("roc-1", "calibration-01-good", "calibration-02-none", "calibration-03-old"):
    assert {f"{stem}.svg", f"{stem}.png"} <= names


@pytest.mark.slow
def test_there_is_no_section_without_validation_diagnoses(run, tmp_path):
  assert _found(run) is not None
  (run / "validation_diagnoses.csv").unlink()
  assert _found(run) is None
  assert main(["report", str(run), f"--out={tmp_path / 'report'}"]) == 0
  assert "outcome" not in (tmp_path / "report" / "index.html").read_text().split("</style>")[1]


@pytest.mark.slow
def test_there_is_no_section_of_three_labels(run, tmp_path):
  other = shutil.copytree(run, tmp_path / "three")
  for name in ("diagnoses.csv", "validation_diagnoses.csv"):
    rows = [row | {"probability_death": "0"} for row in _csv(other / name)]
    made_outcomes.write(other / name, rows)
  assert _found(other) is None
  found = _found(run, other)
  assert [row[0].text for row in found.tables[0].rows] == ["run"]
  assert "Not shown, since there are no diagnoses of two labels: three." in found.gaps
  bare = make_run(tmp_path / "bare", **SMALL)
  assert "two labels: bare." in _found(run, bare).gaps
  assert _found(bare) is None


def test_one_run_is_compared_with_none_and_may_know_nothing_of_patients(run):
  titles = [table.title for table in _found(run).tables]
  assert titles == ["Outcome: progression", "Covariates alone"]
  (run / "data.csv").unlink()
  found = _found(run)
  assert [table.title for table in found.tables] == ["Outcome: progression"]
  assert found.gaps == ""
  assert found.tables[0].rows[0][1].text == "40"


def test_runs_with_other_covariates_have_tables_of_their_own(run, tmp_path):
  other = shutil.copytree(run, tmp_path / "other")
  rows = [row | {"covariate_volume": str(n)} for n, row in enumerate(_csv(run / "data.csv"))]
  made_outcomes.write(other / "data.csv", rows)
  titles = [table.title for table in _found(run, other).tables]
  assert titles[1:3] == ["Covariates alone, cases of run", "Covariates alone, cases of other"]


def test_several_cases_of_a_patient_are_counted_and_said(tmp_path, few_resamples):
  run = make_run(tmp_path / "run", **SMALL)
  made_outcomes.add_outcomes(run, num_patients=30, cases_each=2)
  table = _found(run).tables[0]
  assert table.header[1:3] == ("patients", "cases")
  assert [cell.text for cell in table.rows[0][1:3]] == ["30", "60"]
  assert "the bootstrap resamples patients" in table.note


def test_labels_and_covariates_that_are_not_known_leave_a_dash(run):
  for name in ("diagnoses.csv", "validation_diagnoses.csv"):
    made_outcomes.write(run / name, [row | {"label": "stable"} for row in _csv(run / name)])
  rows = [row | {"covariate_age": "nan"} for row in _csv(run / "data.csv")]
  made_outcomes.write(run / "data.csv", rows)
  found = _found(run)
  texts = [cell.text for cell in found.tables[0].rows[0]]
  assert [texts[n] for n in (3, 4, 5, 6, 7, 9)] == ["–"] * 6
  assert [cell.text for cell in found.tables[1].rows[0]] == ["age", "0", "–"]
  assert "a seed has no validation case with the outcome: run." in found.gaps
  assert [figure.name for figure in found.figures] == ["calibration-01-run"]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "change", "where"),
  [
    ("diagnoses.csv", {"probability_stable": "1.5"}, "diagnoses.csv"),
    ("validation_diagnoses.csv", {"probability_stable": "much"}, "validation_diagnoses.csv"),
    ("validation_diagnoses.csv", {"probability_stable": "nan"}, "validation_diagnoses.csv"),
    ("diagnoses.csv", {"label": "death"}, "diagnoses.csv"),
    ("diagnoses.csv", {"id": "nobody"}, "diagnoses.csv"),
    ("data.csv", {"covariate_age": "old"}, "data.csv"),
    ("data.csv", {"covariate_age": "inf"}, "data.csv"),
  ],
)
def test_a_damaged_table_is_named(run, tmp_path, capsys, name, change, where):
  rows = _csv(run / name)
  rows[3] |= change
  made_outcomes.write(run / name, rows)
  assert main(["report", str(run), f"--out={tmp_path / 'report'}"]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert f"{run / where} is damaged" in line


def test_a_table_without_rows_is_damaged(run):
  (run / "validation_diagnoses.csv").write_text("seed,id,label,predicted\n")
  with pytest.raises(UserError, match=r"validation_diagnoses\.csv is damaged"):
    read("run", run)


def test_the_same_files_give_the_same_figures(run):
  first, second = _found(run), _found(run)
  assert first == second
  assert all(figure.svg.startswith(b"<?xml") for figure in first.figures)


@pytest.mark.slow
def test_names_from_files_are_text(tmp_path, few_resamples):
  odd = "<b>$x^"
  run = make_run(tmp_path / odd, **SMALL)
  made_outcomes.add_outcomes(run, num_patients=40, covariates=False)
  for path in (run / "diagnoses.csv", run / "validation_diagnoses.csv", run / "data.csv"):
    path.write_text(path.read_text().replace("progression", "<i>$y_"))
  assert main(["report", str(run), f"--out={tmp_path / 'report'}"]) == 0
  page = (tmp_path / "report" / "index.html").read_text()
  assert "<b>" not in page
  assert "<i>" not in page
  assert "Outcome: <i>$y_" in html.unescape(page)


@pytest.mark.slow
def test_a_report_without_outcomes_needs_no_jax():
  words = "import sys, mlseg.report.write; sys.exit('jax' in sys.modules)"
  assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
