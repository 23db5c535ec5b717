"""The lines of the console about patients and diagnoses."""

import numpy as np

from mlseg.data.splits.grouped import Split
from mlseg.training import case_counts
from tests.training import made

SPLIT = Split(np.arange(12), np.arange(12, 18), np.arange(18, 24))


def test_patients_and_diagnoses_are_counted_in_each_part():
  cases = made.make_cases()._replace(patients=np.arange(24, dtype=np.int32) // 3)
  assert [line.strip() for line in case_counts.lines(cases, SPLIT)] == [
    "patients: 8 (4 / 2 / 2)",
    "benign: 12 (6 / 3 / 3); malignant: 12 (6 / 3 / 3)",
  ]


def test_what_the_data_do_not_tell_has_no_line():
  assert case_counts.lines(made.make_cases(num_labels=1), SPLIT) == []


def test_metrics_of_more_than_two_diagnoses_have_no_positive_one():
  assert case_counts.positive(made.make_cases()) == "malignant"
  assert case_counts.positive(made.make_cases(num_labels=3)) == ""


def test_findings_are_counted_each_by_itself_and_none_is_the_positive_one():
  findings = np.stack([np.arange(24) % 2, np.arange(24) < 15], 1).astype(np.int32)
  cases = made.make_cases()._replace(findings=findings, finding_names=("effusion", "edema"))
  (line,) = case_counts.lines(cases, SPLIT)
  assert line.strip() == "effusion: 12 (6 / 3 / 3); edema: 15 (12 / 3 / 0)"
  assert case_counts.positive(cases) == ""
