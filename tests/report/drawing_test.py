"""Texts and legends of figures are whole: nothing is cut at an edge."""

import matplotlib.text
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlseg.report import audit, cases, curves, diagnosis, drawing, paired, patients, training
from mlseg.report.outcome import figures as outcome_figures
from mlseg.report.outcome import numbers as outcome_numbers
from mlseg.report.outcome.rows import RunRows, pool
from mlseg.workdir.patients_file import Patients
from mlseg.workdir.run_files import read
from mlseg.workdir.saliency_file import Saliency
from tests.report import made_outcomes
from tests.report.made_runs import make_run

LONG = "dynamic_memory_fusion, bayesian, auxiliary class_balanced_dice, data.image_size=256 " * 2


def assert_whole(figure):
  """Asserts that all texts of a figure lie within it."""
  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  assert all(np.isfinite(figure.get_size_inches()))
  ticks = [
    text
    for axes in figure.findobj(matplotlib.axes.Axes)
    for axis in (axes.xaxis, axes.yaxis)
    for tick in (*axis.majorTicks, *axis.minorTicks)
    for text in (tick.label1, tick.label2)
  ]  # some lie beyond the limits and are not drawn
  for text in figure.findobj(matplotlib.text.Text):
    if not text.get_visible() or not text.get_text().strip() or text in ticks:
      continue
    box = text.get_window_extent(canvas.get_renderer())
    assert box.x0 >= -1, text
    assert box.y0 >= -1, text
    assert box.x1 <= figure.bbox.x1 + 1, text
    assert box.y1 <= figure.bbox.y1 + 1, text


@pytest.fixture
def drawn(monkeypatch):
  """Returns the figures that are made for the report, in its style."""
  figures = []
  for module in (audit, cases, diagnosis, outcome_figures, paired, patients, training):
    monkeypatch.setattr(
      module, "report_figure", lambda name, figure, *words: figures.append(figure)
    )
  with drawing.style():
    yield figures


def test_a_legend_has_as_many_columns_as_fit():
  with drawing.style():
    for labels, columns in ((["a", "b", "c"], 3), (["m" * 20] * 3, 1), ([LONG], 1)):
      figure = Figure(figsize=(3.0, 2.0), layout="constrained")
      axes = figure.subplots()
      for number, label in enumerate(labels):
        axes.plot([0, 1], label=f"{label}{number if len(labels) > 1 else ''}")
      drawing.legend_of(figure, [axes])
      (legend,) = figure.legends
      assert legend._ncols == columns
      assert figure.get_figheight() > 2.0
      assert_whole(figure)
      assert axes.get_window_extent().height > 60  # the legend took no room from the axes


def test_lines_are_broken_where_names_part():
  with drawing.style():
    width = drawing.text_width("variance+class_balanced_")
    assert drawing.fitted("variance+class_balanced_dice", width) == "variance+class_balanced_\ndice"
    assert drawing.fitted("one\ntwo", width) == "one\ntwo"
    assert drawing.fitted("", width) == ""
    lines = drawing.fitted("m" * 200, width).split("\n")
    assert "".join(lines) == "m" * 200
    assert max(drawing.text_width(line) for line in lines) <= width


@pytest.mark.slow
def test_figures_of_a_run_with_a_long_name_are_whole(tmp_path, drawn):
  folder = make_run(tmp_path / "a", num_classes=9, size=40, num_cases=3)
  runs = [read(f"{LONG} {n}", folder) for n in range(3)]
  runs = [run._replace(config={"auxiliary": {"name": "focal"}}) for run in runs]
  training.terms(runs, "weights", "weight")
  training.learning(runs)
  group = cases.case_groups(runs)
  panels = tuple(p._replace(id=LONG, note=LONG) for p in group[0].panels)
  cases.figures([group[0]._replace(panels=panels)])
  paired.compare(runs, [runs[0].name])
  audit.audit([run._replace(data=run.data._replace(labels=(LONG, "b") * 6)) for run in runs])
  assert len(drawn) > 10
  for figure in drawn:
    assert_whole(figure)


def test_figures_of_outcomes_with_a_long_name_are_whole(drawn):
  rows = RunRows(made_outcomes.diagnosis_rows(1, names=("stable", LONG.strip())))
  numbers = outcome_numbers.summarize({LONG: rows}, num_resamples=9)["runs"]
  outcome_figures.roc(numbers)
  outcome_figures.calibration(numbers, {LONG: pool(rows)})
  assert len(drawn) == 2
  for figure in drawn:
    assert_whole(figure)


def enlarged(cells, size):
  """Returns maps [4, size, size] of random cells, enlarged linearly as a network's are."""
  random = np.random.default_rng(0).random((4, cells, cells))
  places = np.clip((np.arange(size) + 0.5) * cells / size - 0.5, 0, cells - 1)
  low = np.floor(places).astype(int).clip(0, max(cells - 2, 0))
  share = places - low
  high = np.minimum(low + 1, cells - 1)
  rows = random[:, low] * (1 - share)[:, None] + random[:, high] * share[:, None]
  maps = rows[..., low] * (1 - share) + rows[..., high] * share
  return np.rint(255 * maps / maps.max((1, 2), keepdims=True)).astype(np.uint8)


@pytest.mark.parametrize(("cells", "size"), [(1, 64), (2, 64), (4, 128), (7, 224), (16, 64)])
def test_the_grid_of_saliency_maps_is_known_from_the_maps(cells, size):
  assert diagnosis.grid_of([enlarged(cells, size)]) == (cells, cells)
  assert diagnosis.is_fine((cells, cells)) == (cells >= 7)


def test_coarse_maps_are_told_in_words():
  assert "4×4 cells" in diagnosis.warning(enlarged(4, 128) / 255)
  assert diagnosis.warning(enlarged(8, 64) / 255) == ""
  assert diagnosis.warning(np.zeros((2, 8, 8))) == ""


def test_maps_of_zeros_are_no_maps():
  assert diagnosis.grid_of([np.zeros((3, 8, 8), np.uint8)]) == (0, 0)


def _saliency(cells, size=56):
  images = np.full((4, size, size, 1), 128, np.uint8)
  masks = np.zeros((4, size, size), np.uint8)
  masks[:, 20:30, 20:30] = 1
  names = np.array(["benign", LONG, "benign", "malignant"])
  maps = {"gradcam": enlarged(cells, size), "gradcam++": enlarged(cells, size)}
  return Saliency(images, masks, np.array(["a", LONG, "c", "d"]), names, names, maps)


def test_saliency_maps_have_a_colour_bar_and_leave_the_image_visible(tmp_path, drawn):
  run = read("a", make_run(tmp_path / "a", num_cases=2))
  fine, coarse = (run._replace(name=LONG, saliency=_saliency(cells)) for cells in (8, 4))
  diagnosis.saliency([fine, coarse])
  (figure,) = drawn  # none of the coarse maps
  assert_whole(figure)
  assert any("saliency" in axes.get_ylabel() for axes in figure.axes)
  opacities = [
    np.max(image.get_alpha()) for axes in figure.axes for image in axes.images
    if image.get_alpha() is not None
  ]  # fmt: skip
  assert opacities
  assert max(opacities) < 0.6
  words = diagnosis.coarse([fine, coarse._replace(name="coarse")])
  assert words.startswith("No saliency maps are shown of coarse: the network's last features have")
  assert "4×4 cells" in words


@pytest.mark.parametrize("cells", [2, 8])
def test_patients_are_shown_with_maps_where_these_are_fine(drawn, cells):
  shape = (1, 3, 56, 56)
  maps = enlarged(cells, 56)[:3][None]
  masks = np.zeros(shape, np.uint8)
  masks[..., 20:30, 20:30] = 1
  shown = Patients(
    np.array([0]), np.array([LONG]), np.array(["responder"]), np.array(["responder"]),
    np.array([0.7]), np.array([[0.2, 0.5, 0.3]]), np.full(shape, 99, np.uint8), masks, masks, maps,
  )  # fmt: skip
  figure = patients.figure(LONG, shown, 0)
  assert_whole(figure)
  images = [image for axes in figure.findobj(matplotlib.axes.Axes) for image in axes.images]
  with_maps = [image for image in images if image.get_alpha() is not None]
  assert len(with_maps) == (3 if cells == 8 else 0)


def test_titles_of_curves_are_whole():
  with drawing.style():
    band = curves.Band(*np.ones((4, 3)))
    bands = {LONG: band, "b": band}
    assert_whole(curves.curves(bands, "weight", LONG, size=(3.6, 2.5), share=band))
