"""The tables of the metrics of each finding, for runs whose cases may have several."""

from collections.abc import Sequence

from mlseg.report.classes import in_words
from mlseg.report.tables import Table, TableCell
from mlseg.workdir.run_files import RunFiles

READING = (
  "How well each finding is told; a case may have several of them, or none. A finding is predicted"
  " where its probability is above 0.5."
)
_COLUMNS = (
  ("roc_auc", "AUC"),
  ("average_precision", "average precision"),
  ("classification_recall", "sensitivity"),
  ("classification_specificity", "specificity"),
  ("classification_f1", "F1"),
  ("classification_accuracy", "accuracy"),
  ("balanced_accuracy", "balanced accuracy"),
)
_NOTE = (
  "In percent; a dash where a score is not defined, since all test cases have the finding, or none."
  " Cases: those that have the finding, and those that are predicted to have it, mean over seeds."
)


def tables(runs: Sequence[RunFiles]) -> list[Table]:
  """Returns a table for each run whose cases may have several findings."""
  return [_table(run) for run in runs if run.findings]


def _table(run: RunFiles) -> Table:
  rows = []
  for name, metrics in run.findings.items():
    counts = (in_words(metrics.get(count), 1.0, 1) for count in ("num_true", "num_predicted"))
    scores = (in_words(metrics.get(column)) for column, _ in _COLUMNS)
    rows.append(tuple(map(TableCell, (name, *counts, *scores))))
  means = (in_words(run.metrics.get(column)) for column, _ in _COLUMNS)
  rows.append(tuple(map(TableCell, ("mean", "", "", *means))))
  exact = in_words(run.metrics.get("exact_match"))
  note = f"{_NOTE} All findings are right in {exact} % of the cases."
  header = ("finding", "cases, true", "cases, predicted", *(title for _, title in _COLUMNS))
  return Table(f"Findings, {run.name}", header, tuple(rows), note)
