"""The section of a report on findings, of which a case may have several."""

import json

from mlseg.report import findings, sections
from mlseg.report import scores as report_scores
from mlseg.workdir import run_files
from tests.report.made_runs import make_run, write_json


def _metric(value):
  return {"mean": value, "std": None, "per_seed": [value]}


def _run(folder, name="run"):
  """Returns a run of two findings, of which one is in no test case."""
  make_run(folder / name, num_seeds=1)
  path = folder / name / "results.json"
  content = json.loads(path.read_text())
  own = {"num_true": 3, "num_predicted": 4, "roc_auc": 0.75, "classification_f1": 0.5}
  absent = {"num_true": 0, "num_predicted": 1, "roc_auc": None, "classification_f1": 0.0}
  content["findings"] = {
    finding: {metric: _metric(value) for metric, value in metrics.items()}
    for finding, metrics in (("effusion", own), ("edema", absent))
  }
  means = {"roc_auc": 0.75, "classification_f1": 0.25, "exact_match": 0.125}
  content["metrics"] |= {metric: _metric(value) for metric, value in means.items()}
  write_json(path, content)
  return run_files.read(name, folder / name)


def test_a_table_has_a_row_for_each_finding_and_their_mean(tmp_path):
  (table,) = findings.tables([_run(tmp_path)])
  columns = ("finding", "cases, true", "cases, predicted", "AUC", "F1")
  places = [table.header.index(name) for name in columns]
  rows = [[row[n].text for n in places] for row in table.rows]
  assert rows == [
    ["effusion", "3", "4", "75.00", "50.00"],
    ["edema", "0", "1", "–", "0.00"],
    ["mean", "", "", "75.00", "25.00"],
  ]
  assert table.note.endswith("All findings are right in 12.50 % of the cases.")


def test_the_page_has_a_section_of_findings_where_a_run_has_them(tmp_path):
  run = _run(tmp_path)
  (section,) = sections._diagnoses([run])
  assert section.title == "Findings"
  assert section.reading.startswith("How well each finding is told")
  assert "F1, mean over findings" in report_scores.table([run]).header
  plain = make_run(tmp_path / "plain", num_seeds=1)
  assert sections._diagnoses([run_files.read("plain", plain)]) == []
