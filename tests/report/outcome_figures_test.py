"""The figures of outcomes, against the numbers that they show."""

import numpy as np
import pytest

from mlseg.report.outcome import figures as outcome_figures
from mlseg.report.outcome import numbers as outcome_numbers
from mlseg.report.outcome.rows import RunRows, pool
from tests.report import made_outcomes


def _numbers(separation, name="run"):
  rows = RunRows(made_outcomes.diagnosis_rows(separation))
  return outcome_numbers.summarize({name: rows}, num_resamples=9)["runs"], {name: pool(rows)}


@pytest.fixture
def drawn(monkeypatch):
  """Returns the figures that are made for the report."""
  figures = []

  def keep(name, figure, *words):
    figures.append(figure)

  monkeypatch.setattr(outcome_figures, "report_figure", keep)
  return figures


def test_the_roc_curve_is_drawn_through_its_points(drawn):
  runs, _ = _numbers(1)
  outcome_figures.roc(runs)
  chance, line = drawn[0].axes[0].lines
  np.testing.assert_array_equal(chance.get_xydata(), [[0, 0], [1, 1]])
  points = np.stack([runs["run"]["roc"][f"{x}_positive_rate"] for x in ("false", "true")], -1)
  np.testing.assert_array_equal(line.get_xydata(), points)
  assert len(points) == 91  # of continuous probabilities each its own: a stair
  assert (np.diff(points, axis=0) > 0).sum(axis=1).tolist() == [1] * 90


def test_many_runs_share_colours_in_several_figures(drawn):
  runs, _ = _numbers(1)
  outcome_figures.roc({f"run {n}": runs["run"] for n in range(9)})
  first, second = (figure.axes[0].lines for figure in drawn)
  for lines, coloured in ((first, 5), (second, 4)):
    assert len(lines) == 1 + 9
    assert sum(line.get_color() == "0.75" for line in lines) == 9 - coloured
    assert len({line.get_color() for line in lines}) == 2 + coloured


def test_the_calibration_plot_has_its_bins_and_counts_every_case(drawn):
  runs, pooled = _numbers(1)
  outcome_figures.calibration(runs, pooled)
  above, below = drawn[0].axes
  curve = runs["run"]["calibration"]
  there = [n for n, count in enumerate(curve["counts"]) if count]
  points = above.lines[1].get_xydata()
  np.testing.assert_allclose(points, [[curve[x][n] for x in ("predicted", "observed")]
                                      for n in there])  # fmt: skip
  (bars,) = above.collections
  ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
  np.testing.assert_allclose(ends, [[curve[x][n] for x in ("low", "high")] for n in there])
  counts = {patch.get_label(): patch.get_data().values.sum() for patch in below.patches[1::2]}
  assert counts == {"stable": 64, "progression": 26}
