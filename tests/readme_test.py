"""What the README and the guides show runs as it stands."""

import functools
import json
import pathlib
import re
import shlex

import cv2
import numpy as np
import pytest

from mlseg import evaluate, predict, sweep
from mlseg.recipe import data_flags, parse
from mlseg.studies import grid
from tests.prediction.made import write_run

ROOT = pathlib.Path(__file__).parent.parent
PAGES = {
  str(path.relative_to(ROOT)): path.read_text()
  for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs/guides").glob("*.md"))
}
README = PAGES["README.md"]


@pytest.fixture(autouse=True)
def read_studies_once(monkeypatch):
  """Works in the repository, and reads each study once, since some have more than 100 cells."""
  monkeypatch.chdir(ROOT)
  monkeypatch.setattr(grid, "of_study", lambda path, overrides: _study(path, tuple(overrides)))


_OF_STUDY = grid.of_study


@functools.cache
def _study(path, overrides):
  return _OF_STUDY(path, overrides)


def _blocks(text, language):
  return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def _lines(program):
  """Returns, by page and line, the arguments of the commands that start a program of mlseg."""
  found = []
  for page, text in PAGES.items():
    for block in _blocks(text, "sh"):
      for line in block.replace("\\\n", " ").splitlines():
        if f"-m {program}" in line:
          arguments = shlex.split(line.split(program, 1)[1], comments=True)
          found.append(pytest.param(arguments, id=f"{page}: {' '.join(arguments)}"))
  return found


def test_the_first_commands_are_the_two_that_a_machine_with_python_needs():
  assert [block.strip() for block in _blocks(README, "sh")[:2]] == [
    "pip install -e . && python -m mlseg.main --config=configs/dmf_busi.py",
    "pip install -e '.[test]' && pytest",
  ]


@pytest.mark.parametrize("arguments", _lines("mlseg.main"))
def test_every_training_command_parses(arguments):
  config, _ = parse.parse(["mlseg.main", *arguments])
  assert config.num_epochs >= 1


@pytest.mark.parametrize("arguments", _lines("mlseg.sweep"))
def test_every_sweep_parses(arguments):
  whole, options = sweep.parse(["mlseg.sweep", *arguments])
  assert options.mine
  if whole.reference:
    assert whole.reference in {cell.labels["method"] for cell in whole.cells}


@pytest.mark.parametrize("arguments", _lines("mlseg.predict"))
def test_every_prediction_parses(arguments):
  assert predict.parse(["mlseg.predict", *arguments])["workdir"].startswith("runs/")


@pytest.mark.parametrize("arguments", _lines("mlseg.evaluate"))
def test_every_evaluation_parses(arguments):
  options = evaluate.parse(["mlseg.evaluate", *arguments])
  assert options.workdir.parts[0] == "runs"
  content = parse.content(["", "--config=configs/smoke.py"])
  assert data_flags.other_data(content, options.data)["data"]["root"] in ("DIR", "STU")


def test_the_study_has_the_papers_table_on_two_splits():
  whole, _ = sweep.parse(["mlseg.sweep", "--study=configs/studies/dmf_busi.py"])
  papers = [cell for cell in whole.cells if cell.labels["method"] in whole.published["rows"]]
  assert len(papers) * papers[0].recipe["num_seeds"] == 2 * 130


def _run(text, containing):
  (code,) = [block for block in _blocks(text, "python") if containing in block]
  names = {}
  exec(code, names)
  return names


def test_the_weighting_example_runs():
  names = _run(README, "from mlseg import weighting")
  x = np.linspace(-1, 1, 32)
  # The least squares; the absolute error, which the other loss is, moves them a little.
  np.testing.assert_allclose(names["params"], np.polyfit(x, np.exp(x), 1), atol=0.1)
  assert float(sum(names["result"].weights.values())) == pytest.approx(1.0)


def test_the_losses_and_metrics_example_runs():
  names = _run(README, "from mlseg import losses, metrics")
  assert 0 < float(names["value"]) < 1
  # The square of 4 × 4 moved by one column: 12 pixels in common.
  np.testing.assert_allclose(names["table"]["dice"], 24 / 32)
  assert names["lesion"] == 0.5


def test_the_examples_of_the_guide_to_the_library_run():
  guide = PAGES["docs/guides/library.md"]
  fitted = _run(guide, "w.uncertainty()")["params"]
  x = np.linspace(-1, 1, 32)
  np.testing.assert_allclose(fitted["a"] * x + fitted["b"] * x**3, np.sin(2 * x), atol=0.1)
  weights = _run(guide, "w.geometric()")["weights"]
  assert weights == {"dice": 1.0, "cross_entropy": 0.25}  # √(L₁ L₂) / (2 L)
  weights = _run(guide, "present=there")["weights"]
  assert {name: round(float(weight), 2) for name, weight in weights.items()} == {
    "diagnosis": 0.0, "mask": 0.18, "size": 0.82,
  }  # fmt: skip
  updates = _run(guide, "w.mgda()")["updates"]
  assert (np.asarray(updates) != 0).any()
  names = _run(guide, "summarize_surface")
  np.testing.assert_allclose(names["dice"], 2 * 48 / 128)
  assert names["surfaces"]["hausdorff"] == 2.0


def test_the_python_interface_of_the_guide_runs(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "runs" / "NAME").mkdir(parents=True)
  write_run(tmp_path / "runs" / "NAME")
  for name in ("image", "a", "b"):
    cv2.imwrite(f"{name}.png", np.zeros((40, 50), np.uint8))
  names = _run(PAGES["docs/guides/prediction_and_reports.md"], "mlseg.load")
  assert names["found"].mask.shape == (40, 50)
  assert len(names["many"]) == 2


def test_no_python_block_is_left_out_here():
  counts = {page: len(_blocks(text, "python")) for page, text in PAGES.items()}
  assert {page: count for page, count in counts.items() if count} == {
    "README.md": 2, "docs/guides/library.md": 5, "docs/guides/prediction_and_reports.md": 1,
  }  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_is_named_exists(page):
  folders = "mlseg|configs|benchmarks|docs|examples|launch|tests"
  for path in re.findall(rf"`((?:{folders})/[\w/.]*)`", PAGES[page]):
    assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_to_a_file(page):
  for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", PAGES[page]):
    assert ((ROOT / page).parent / target).exists(), target


def test_the_tree_of_the_readme_is_the_tree_of_the_package():
  (tree,) = _blocks(README, "text")
  above, _, below = tree.partition("\nmlseg/\n")
  for folder in re.findall(r"^(\w+)/", above, flags=re.MULTILINE):
    assert (ROOT / folder).is_dir()
  named = set(re.findall(r"^  (\w+)(?:/|\.py) ", below, flags=re.MULTILINE))
  named |= {"evaluate", "export", "main", "predict", "sweep"}
  there = {path.stem for path in (ROOT / "mlseg").iterdir() if path.name[0] not in "._"}
  assert named == there - {"py"}


def test_the_speed_with_onednn_is_that_of_the_benchmarks():
  parts = json.loads((ROOT / "benchmarks/results/cpu.json").read_text())["parts"]
  gains = []
  for part, plain in (("frameworks", "mlseg"), ("multitask", "mlseg, many steps in one program")):
    rows = [row for row in parts[part]["rows"] if row["run"] == "train"]
    speed = {row["framework"]: row["images_per_second"] for row in rows}
    for name in ("mlseg, oneDNN", "mlseg, oneDNN, products of bfloat16"):
      gains.append(f"{speed[name] / speed[plain]:.1f}")
  guide = " ".join(PAGES["docs/guides/training.md"].split())
  words = r"trains ([\d.]+) times as fast with oneDNN as without, and ([\d.]+) times with bfloat16;"
  found = re.search(words + r" MobileNetV2's U-Net ([\d.]+) and ([\d.]+) times\.", guide)
  assert found
  assert list(found.groups()) == gains
  least, most = sorted((gains[0], gains[2]))
  assert f"[{least} to {most} times as fast]" in " ".join(README.split())
