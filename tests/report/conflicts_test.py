"""The section about conflicts: cosines over training, and their statistics in a table."""

import json

import numpy as np
import pytest

from mlseg.report import conflicts, plots, sections
from mlseg.workdir.run_files import read
from tests.report.made_runs import make_run


def _add_cosines(folder, values):
  """Adds cosines to the first lines of epochs: by epoch and seed, those of pairs."""
  path = folder / "metrics.jsonl"
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  for line in lines:
    line["epoch"] = line["step"] / 2 + 0.0
    if line["step"] % 2 and (found := values.get(((line["step"] - 1) // 2, line["seed"]))):
      line["cosines"] = found
  path.write_text("\n".join(map(json.dumps, lines)) + "\n")


VALUES = {
  (0, 0): {"soft_dice/focal": 0.5, "soft_dice/soft_iou": 0.9},
  (0, 1): {"soft_dice/focal": -0.1, "soft_dice/soft_iou": 0.7},
  (2, 0): {"soft_dice/focal": -0.6, "soft_dice/soft_iou": None},
  (2, 1): {"soft_dice/focal": -0.2, "soft_dice/soft_iou": 0.5},
}


@pytest.fixture
def run(tmp_path):
  folder = make_run(tmp_path / "a")
  _add_cosines(folder, VALUES)
  return read("a", folder)


def test_a_pair_has_the_statistics_of_all_seeds_and_the_least_is_first(run):
  first, second = conflicts.pairs(run.records)
  assert (first.name, second.name) == ("soft_dice/focal", "soft_dice/soft_iou")
  assert first[1:] == pytest.approx((-0.1, 0.75, 4))
  assert second[1:] == pytest.approx((0.7, 0.0, 3))


def test_a_band_has_mean_and_range_of_the_seeds_where_an_epoch_begins(run):
  band = conflicts.bands(run.records)["soft_dice/focal"]
  np.testing.assert_array_equal(band.epochs, [0, 2])
  np.testing.assert_allclose(band.mean, [0.2, -0.4])
  np.testing.assert_allclose((band.low, band.high), [(-0.1, -0.6), (0.5, -0.2)])


def test_whole_epochs_between_two_lines_begin_one_epoch_earlier():
  record = {"seed": 0, "epoch": 3.0, "cosines": {"a/b": 0.5}}
  np.testing.assert_array_equal(conflicts.bands([record])["a/b"].epochs, [2])


def test_the_section_has_a_table_and_a_figure_of_each_run_that_measured(run, tmp_path):
  plain = read("b", make_run(tmp_path / "b"))
  assert sections._conflicts([plain], "") == []
  (section,) = sections._conflicts([run, plain], "A band.")
  assert section.reading.endswith("A band.")
  (table,), (figure,) = section.tables, section.figures
  rows = [[cell.text for cell in row] for row in table.rows]
  assert rows == [
    ["soft dice, focal", "-0.10", "75", "4"],
    ["soft dice, soft iou", "0.70", "0", "3"],
  ]
  assert figure.name == "cosines-01-a"
  assert "soft dice, focal from 0.20 to -0.40; soft dice, soft iou from 0.80 to 0.50" in figure.alt
  assert figure.caption == "a."


def test_a_pair_that_no_batch_had_is_in_the_table(tmp_path):
  folder = make_run(tmp_path / "a")
  _add_cosines(folder, {(0, 0): {"a/b": None}, (1, 0): {"a/b": None}})
  (section,) = sections._conflicts([read("a", folder)], "")
  assert [cell.text for cell in section.tables[0].rows[0]] == ["a, b", "–", "–", "0"]
  assert "a, b never measured" in section.figures[0].alt


def test_of_many_pairs_the_figure_has_those_with_the_least_cosines(tmp_path):
  folder = make_run(tmp_path / "a")
  _add_cosines(folder, {(0, 0): {f"a/{n:02}": 0.9 - n / 20 for n in range(15)}})
  run = read("a", folder)
  (figure,) = conflicts.figures([run])
  assert figure.caption == "a. The 10 of 15 pairs with the least mean cosine."
  assert "a, 05 from" in figure.alt
  assert "a, 04 from" not in figure.alt
  assert len(conflicts.tables([run])[0].rows) == 15


def test_a_pair_has_one_colour_in_the_figures_of_all_runs(run, tmp_path, monkeypatch):
  folder = make_run(tmp_path / "b")
  _add_cosines(folder, {(0, 0): {"focal/a": 0.1, "soft_dice/soft_iou": 0.2}})
  drawn = []
  monkeypatch.setattr(conflicts, "report_figure", lambda name, figure, *_: drawn.append(figure))
  conflicts.figures([run, read("b", folder)])
  first, second = (
    {line.get_label(): line.get_color() for line in figure.axes[0].lines} for figure in drawn
  )
  assert first["soft dice, soft iou"] == second["soft dice, soft iou"]
  assert len({*first.values(), second["focal, a"]}) == 4  # and that of the line at 0


def test_a_run_by_itself_has_the_figure_where_it_measured_cosines(run):
  written = [path.name for path in plots.plot_run(run.folder)]
  assert written == ["losses.png", "weights.png", "cosines.png", "predictions.png"]
