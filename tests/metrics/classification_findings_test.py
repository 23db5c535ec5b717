"""Metrics of findings, of which a case may have several, against scikit-learn and by hand."""

import numpy as np
import pytest

from mlseg import metrics

peer = pytest.importorskip("sklearn.metrics")


def _data(seed=0, count=60):
  rng = np.random.default_rng(seed)
  findings = (rng.random((count, 3)) < (0.5, 0.2, 0.7)).astype(np.int32)
  noise = rng.normal(size=findings.shape)
  return findings, 1 / (1 + np.exp(-(findings - 0.5 + noise)))


def test_each_finding_has_the_scores_of_a_task_of_two_classes():
  findings, probabilities = _data()
  table = metrics.summarize_findings(findings, probabilities)
  predicted = probabilities > 0.5
  assert table["num_true"].tolist() == findings.sum(0).tolist()
  assert table["num_predicted"].tolist() == predicted.sum(0).tolist()
  for n in range(3):
    own = findings[:, n], predicted[:, n]
    expected = {
      "roc_auc": peer.roc_auc_score(own[0], probabilities[:, n]),
      "average_precision": peer.average_precision_score(own[0], probabilities[:, n]),
      "classification_accuracy": peer.accuracy_score(*own),
      "balanced_accuracy": peer.balanced_accuracy_score(*own),
      "classification_precision": peer.precision_score(*own),
      "classification_recall": peer.recall_score(*own),
      "classification_specificity": peer.recall_score(*own, pos_label=0),
      "classification_f1": peer.f1_score(*own),
      "brier": peer.brier_score_loss(own[0], probabilities[:, n]),
    }
    for name, value in expected.items():
      np.testing.assert_allclose(table[name][n], value, rtol=1e-6, err_msg=name)


def test_means_are_over_findings_and_an_exact_match_is_of_whole_cases():
  findings, probabilities = _data(1)
  means = metrics.average_findings(findings, probabilities)
  macro = {
    "roc_auc": peer.roc_auc_score(findings, probabilities),
    "average_precision": peer.average_precision_score(findings, probabilities),
    "classification_f1": peer.f1_score(findings, probabilities > 0.5, average="macro"),
    "exact_match": peer.accuracy_score(findings, probabilities > 0.5),
  }
  for name, value in macro.items():
    np.testing.assert_allclose(means[name], value, rtol=1e-6, err_msg=name)
  assert not any(name.startswith("num_") for name in means)


def test_a_finding_that_no_case_or_every_case_has_is_left_out_of_means():
  findings, probabilities = np.array([[0, 1], [0, 1]]), np.array([[0.2, 0.6], [0.1, 0.3]])
  table = metrics.summarize_findings(findings, probabilities)
  assert np.isnan(table["roc_auc"]).all()
  for name in ("classification_recall", "classification_precision", "classification_f1"):
    assert np.isnan(table[name]).tolist() == [True, False], name
  assert np.isnan(table["classification_specificity"]).tolist() == [False, True]
  means = metrics.average_findings(findings, probabilities)
  assert means["classification_recall"] == 0.5
  assert means["classification_specificity"] == 1.0
  assert np.isnan(means["roc_auc"])


@pytest.mark.parametrize(
  ("findings", "probabilities", "said"),
  [
    ([[0, 1]], [[0.5]], r"must both be \[N, L\], got \(1, 2\) and \(1, 1\)"),
    ([0, 1], [0.5, 0.5], r"must both be \[N, L\]"),
    ([[2]], [[0.5]], r"labels: must be in 0 \.\.\. 1, got 2"),
    ([[1]], [[1.5]], r"probabilities: must be in \[0, 1\], got 1.5"),
  ],
)
def test_wrong_arrays_are_named(findings, probabilities, said):
  with pytest.raises(ValueError, match=said):
    metrics.summarize_findings(findings, probabilities)
