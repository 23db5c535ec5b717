"""The numbers behind the figures, against other sources of them."""

import json

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from scipy import stats

from mlseg.report import cases, curves, drawing, outlines, paired, plots, training
from mlseg.workdir.case_table import CaseScore
from mlseg.workdir.run_files import read
from tests.report.made_runs import make_run


def _record(epoch, seed, **losses):
  return {"epoch": epoch, "seed": seed, "losses": losses}


def test_a_band_is_mean_and_range_of_the_finite_values():
  records = [
    _record(1.0, 0, a=1.0),
    _record(1.0, 1, a=4.0),
    _record(2.0, 0, a=None),
    _record(2.0, 1, a=2.0),
    _record(3.0, 0, a=float("nan")),
  ]
  band = curves.term_bands(records, "losses")["a"]
  np.testing.assert_array_equal(band.epochs, [1, 2, 3])
  np.testing.assert_array_equal(band.mean, [2.5, 2, np.nan])
  np.testing.assert_array_equal(band.low, [1, 2, np.nan])
  np.testing.assert_array_equal(band.high, [4, 2, np.nan])


def test_a_long_run_has_as_many_points_as_can_be_seen():
  records = [_record(float(n), 0, a=float(n)) for n in range(1000)]
  band = curves.term_bands(records, "losses")["a"]
  assert len(band.epochs) == 200
  np.testing.assert_allclose(band.mean, band.epochs)
  assert band.mean.mean() == pytest.approx(499.5)


@pytest.mark.parametrize(
  ("peaks", "groups"),
  [
    ({"a": 1.0, "b": 1.1}, ["ab"]),
    ({"a": 1.0, "b": 5.0}, ["b", "a"]),
    ({"a": 0.0, "b": 0.0}, ["ab"]),
    ({"a": 0.0, "b": 9.0}, ["ab"]),  # a loss of 0 is flat everywhere
    ({"a": float("nan"), "b": 1.0}, ["ab"]),
    ({"a": 2.0, "b": 251.0, "c": 1.0}, ["b", "ac"]),
    ({"a": 0.1, "b": 1.0, "c": 10.0, "d": 100.0, "e": 1e3}, ["e", "d", "bc", "a"]),
  ],
)
def test_no_loss_flattens_another(peaks, groups):
  bands = {name: curves.Band(*np.full((4, 1), peak)) for name, peak in peaks.items()}
  found = ["".join(group) for group in curves.groups_of(bands)]
  assert sorted("".join(found)) == sorted(peaks)
  if len(peaks) < 5:
    assert found == groups
  assert len(found) <= 4
  assert len(curves.curves(bands, "weight", "title").axes) == len(found)


def _term_figures(tmp_path, monkeypatch, runs, field="weights"):
  figures = []
  monkeypatch.setattr(
    training, "report_figure", lambda name, figure, *words: figures.append((figure, words))
  )
  training.terms([read(name, tmp_path / name) for name in runs], field, "weight")
  return figures


def test_panels_of_several_runs_have_own_axes_and_the_same_colours(tmp_path, monkeypatch):
  make_run(tmp_path / "a")
  make_run(tmp_path / "b")
  lines = [json.loads(x) for x in (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()]
  for line in lines:  # of another size, without the auxiliary loss, and in another order
    line["weights"] = {"soft_iou": 250, "cross_entropy": 200}
  (tmp_path / "b" / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
  (first, _), (second, _) = _term_figures(tmp_path, monkeypatch, "ab")
  assert [len(axes.lines) for axes in first.axes] == [1, 3]  # the auxiliary loss, the base losses
  assert first.axes[1].get_ylim()[1] < 1
  assert second.axes[0].get_ylim()[0] > 190
  colours = [
    {line.get_label(): line.get_color() for axes in figure.axes for line in axes.lines}
    for figure in (first, second)
  ]
  assert colours[1].items() <= colours[0].items()


def test_the_share_of_the_auxiliary_loss_is_a_line(tmp_path, monkeypatch):
  make_run(tmp_path / "a", config={"auxiliary": {"name": "focal"}}, auxiliary=2.1)
  make_run(tmp_path / "b", config={"auxiliary": {"name": "none"}})
  (first, words), (second, _) = _term_figures(tmp_path, monkeypatch, "ab")
  assert len(first.axes) == len(second.axes) + 1
  (line,) = first.axes[-1].lines
  np.testing.assert_allclose(line.get_ydata(), 70)  # 2.1 of 2.1 and three times 0.3
  assert "share of the auxiliary loss in all weights 70 %" in words[1]
  assert len(_term_figures(tmp_path, monkeypatch, "a", "losses")[0][0].axes) == 1 + 1


@pytest.mark.parametrize("epochs", [[0.2, 0.8], [1], [1, 2], [0.5, 3.5], list(range(1, 41))])
def test_epoch_ticks_are_whole(epochs):
  band = curves.Band(*[np.array(epochs, float)] * 4)
  figure = curves.curves({"a": band}, "weight", "title")
  FigureCanvasAgg(figure).draw()
  low, high = figure.axes[0].get_xlim()
  ticks = [tick for tick in figure.axes[0].get_xticks() if low <= tick <= high]
  assert len(ticks) >= 2
  assert all(tick == int(tick) for tick in ticks)


def test_each_validation_score_has_a_learning_curve(tmp_path):
  folder = make_run(tmp_path / "a")
  path = folder / "metrics.jsonl"
  path.write_text(path.read_text().replace('"validation": {', '"validation": {"auc": 0.75, '))
  names = [figure.name for figure in training.learning([read("a", folder)])]
  assert names == ["learning-1", "learning-auc-1"]


def test_lines_of_many_runs_differ():
  assert len({tuple(drawing.line_style(n).values()) for n in range(28)}) == 28


def test_the_interval_is_that_of_a_t_test_over_cases():
  random = np.random.default_rng(0)
  reference = {(0, f"{n}"): CaseScore("x", float(random.random())) for n in range(20)}
  other = {
    key: CaseScore("x", case.dice + random.normal(0.1, 0.1)) for key, case in reference.items()
  }
  found = paired.difference(paired.pairs(reference, other))
  test = stats.ttest_rel([c.dice for c in other.values()], [c.dice for c in reference.values()])
  interval = test.confidence_interval(0.95)
  np.testing.assert_allclose(found[1:3], [interval.low, interval.high])
  assert found.num_units == 20


def test_a_case_that_several_seeds_test_counts_once():
  reference = {(seed, "a"): CaseScore("x", 0.5) for seed in range(3)} | {
    (0, "b"): CaseScore("x", 0.5)
  }
  other = {(seed, "a"): CaseScore("x", 0.6) for seed in range(3)} | {(0, "b"): CaseScore("x", 0.9)}
  found = paired.difference(paired.pairs(reference, other))
  assert found.mean == pytest.approx(0.25)
  assert found.num_units == 2


def test_cases_of_a_group_count_once():
  reference = {(0, name): CaseScore("x", 0.5) for name in "abc"}
  other = {key: CaseScore("x", 0.5 + 0.1 * (key[1] != "c")) for key in reference}
  found = paired.difference(paired.pairs(reference, other), {"a": 1, "b": 1, "c": 2})
  assert found.mean == pytest.approx(0.05)
  assert found.num_units == 2


def test_only_runs_with_the_same_test_cases_are_paired():
  def run(*keys):
    return {key: CaseScore("x", 0.5) for key in keys}

  one = run((0, "a"), (1, "b"))
  assert paired.pairs(one, run((0, "a"))).ids == ("a",)  # of the seed that both have
  assert paired.pairs(one, run((0, "b"))) is None
  assert paired.pairs(one, run((0, "a"), (0, "b"))) is None
  assert paired.pairs(one, run((7, "a"))) is None
  assert paired.pairs(one, {(0, "a"): CaseScore("x", float("nan"))}) is None


def test_outlines_hold_exactly_their_class():
  random = np.random.default_rng(0)
  mask = random.integers(0, 3, (12, 9)).astype(np.uint8)
  mask[0, :] = 1  # along an edge
  rows, columns = np.mgrid[:12, :9]
  centres = np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=-1)
  found = dict(outlines.paths(mask))
  assert set(found) == {1, 2}
  for place, text in found.items():
    inside = np.zeros(len(centres), bool)
    for ring in text.removesuffix("Z").split("Z"):
      points = [tuple(map(float, point.split())) for point in ring[1:].split("L")]
      inside ^= Path([*points, points[0]], closed=True).contains_points(centres)  # evenodd
    np.testing.assert_array_equal(inside.reshape(mask.shape), mask == place)


def test_empty_masks_have_no_outline():
  assert outlines.paths(np.zeros((4, 4), np.uint8)) == []
  axes = Figure().subplots()
  outlines.outline(axes, np.zeros((4, 4), np.uint8), predicted=True)
  assert not axes.lines


def test_truth_and_prediction_differ_without_colour():
  axes = Figure().subplots()
  mask = np.pad(np.ones((2, 2), np.uint8), 1)
  outlines.outline(axes, mask, predicted=False)
  outlines.outline(axes, mask, predicted=True)
  assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]


def _rescored(folder, scores, kept=None):
  """Sets the Dice of the test cases of a run, and leaves the pictures of some of them."""
  with np.load(folder / "examples.npz") as file:
    examples = dict(file)
  chosen = range(len(scores)) if kept is None else kept
  examples = {name: values[list(chosen)] for name, values in examples.items()}
  examples["dice"] = np.array([scores[n] for n in chosen])
  np.savez(folder / "examples.npz", **examples)
  lines = ["seed,id,label,class,dice"]
  for n, dice in enumerate(scores):
    lines += [f"0,case {n},x,class 0,1", f"0,case {n},x,class 1,{dice}"]
  (folder / "cases.csv").write_text("\n".join(lines) + "\n")
  return read(folder.name, folder)


def test_cases_are_ranked_by_the_mean_over_runs(tmp_path):
  runs = []
  for name, scores in (("a", [0.1, 0.9, 0.5, 1.0]), ("b", [0.3, 0.7, np.nan, 1.0])):
    folder = make_run(tmp_path / name, num_cases=4)
    with np.load(folder / "examples.npz") as file:
      examples = dict(file)
    examples["masks"][3] = 0  # nothing to find: not chosen, though all found it empty
    np.savez(folder / "examples.npz", **examples)
    runs.append(_rescored(folder, scores))
  (group,) = cases.case_groups(runs)
  assert [(p.rank, p.id) for p in group.panels] == [
    ("best", "case 1"),
    ("median", "case 2"),
    ("worst", "case 0"),
  ]
  assert [p.dice for p in group.panels] == pytest.approx([0.8, 0.5, 0.2])
  assert [p.run for p in group.panels[0].predictions] == ["a", "b"]
  assert group.class_names == ("class 0", "class 1")


def test_the_worst_is_that_of_all_cases_though_few_pictures_are_kept(tmp_path):
  scores = {"a": [0.9, 0.8, 0.7, 0.1, 0.6, 0.5], "b": [0.9, 0.8, 0.7, 0.3, 0.6, 0.5]}
  kept = {"a": [0, 1, 2], "b": [0, 2, 3]}
  runs = [
    _rescored(make_run(tmp_path / name, num_cases=6), scores[name], kept[name]) for name in "ab"
  ]
  (group,) = cases.case_groups(runs)
  assert group.num_cases == 6
  best, median, worst = group.panels
  assert (worst.id, worst.dice) == ("case 3", pytest.approx(0.2))
  assert [p.run for p in worst.predictions] == ["b"]
  assert worst.note == "1 of 2 runs kept no prediction of it."
  assert best.note == ""
  assert median.id == "case 2"  # the nearest to case 4 that has a picture
  assert "The picture of the median case was not kept" in median.note


def test_runs_of_other_masks_are_another_group(tmp_path):
  runs = [read(name, make_run(tmp_path / name, num_classes=c)) for name, c in (("a", 2), ("b", 3))]
  assert len(cases.case_groups(runs)) == 2


@pytest.mark.parametrize("count", [1, 2])
def test_few_cases_are_shown_once_each(tmp_path, count):
  run = read("a", make_run(tmp_path / "a", num_cases=count))
  (group,) = cases.case_groups([run])
  assert [p.rank for p in group.panels] == ["best", "worst"][:count]


def test_every_class_has_a_colour_and_its_name_in_a_legend(tmp_path):
  run = read("a", make_run(tmp_path / "a", num_classes=9, size=40))
  names = tuple(run.data.pixels)
  assert len({truth for truth, _ in outlines.colours(9)}) == 8
  (group,) = cases.case_groups([run])
  for figure in (
    cases._figure(group.panels[0], group),
    plots.predictions(run.examples, names),
  ):
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [*names[1:], "truth", "prediction"]
    lines = {line.get_color() for axes in figure.axes for line in axes.lines}
    assert lines == {colour for colour, _ in outlines.colours(9)}


def test_plots_of_a_run_with_three_classes_in_colour(tmp_path):
  folder = make_run(tmp_path / "a", num_classes=3, channels=3)
  before = dict(matplotlib.rcParams)
  files = plots.plot_run(folder)
  assert [path.name for path in files] == ["losses.png", "weights.png", "predictions.png"]
  assert all(path.stat().st_size > 5000 for path in files)
  assert dict(matplotlib.rcParams) == before
