"""What the README shows runs as it stands."""

import pathlib
import re
import shlex

import numpy as np
import pytest

from mlseg import sweep
from mlseg.recipe import parse

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, flags=re.DOTALL)
COMMANDS = [
  line.split("#")[0].strip()
  for language, block in BLOCKS
  if language == "sh"
  for line in block.replace("\\\n", " ").splitlines()
  if "mlseg.main" in line
]


def test_the_first_commands_are_the_two_that_a_machine_with_python_needs():
  first = [block.strip() for language, block in BLOCKS if language == "sh"][:2]
  assert first == [
    "pip install -e . && python -m mlseg.main --config=configs/dmf_busi.py",
    "pip install -e '.[test]' && pytest",
  ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command, monkeypatch):
  monkeypatch.chdir(ROOT)
  arguments = shlex.split(command.split("mlseg.main", 1)[1])
  config, _ = parse.parse(["mlseg.main", *arguments])
  assert config.num_epochs >= 1


STUDIES = [line for line in TEXT.splitlines() if line.startswith("python -m mlseg.sweep --study")]


@pytest.mark.parametrize("line", STUDIES)
def test_every_study_parses(line, monkeypatch):
  monkeypatch.chdir(ROOT)
  whole, _ = sweep.parse(["mlseg.sweep", *shlex.split(line.split("mlseg.sweep", 1)[1])])
  assert whole.reference in {cell.labels["method"] for cell in whole.cells}


def test_the_study_has_the_papers_table_on_two_splits(monkeypatch):
  monkeypatch.chdir(ROOT)
  (line,) = [line for line in STUDIES if "dmf_busi" in line]
  whole, _ = sweep.parse(["mlseg.sweep", *shlex.split(line.split("mlseg.sweep", 1)[1])])
  papers = [cell for cell in whole.cells if cell.labels["method"] in whole.published["rows"]]
  assert len(papers) * papers[0].recipe["num_seeds"] == 2 * 130


def test_the_weighting_example_runs():
  (code,) = [block for language, block in BLOCKS if "from mlseg import weighting" in block]
  names = {}
  exec(code, names)
  x = np.linspace(-1, 1, 32)
  # The least squares; the absolute error, which the other loss is, moves them a little.
  np.testing.assert_allclose(names["params"], np.polyfit(x, np.exp(x), 1), atol=0.1)
  assert float(sum(names["result"].weights.values())) == pytest.approx(1.0)


def test_the_losses_and_metrics_example_runs():
  (code,) = [block for language, block in BLOCKS if "from mlseg import losses, metrics" in block]
  names = {}
  exec(code, names)
  assert 0 < float(names["value"]) < 1
  # The square of 4 × 4 moved by one column: 12 pixels in common.
  np.testing.assert_allclose(names["table"]["dice"], 24 / 32)
  assert names["lesion"] == 0.5


def test_every_file_that_is_named_exists():
  for path in re.findall(r"`((?:mlseg|configs|benchmarks)/[\w/.]*)`", TEXT):
    assert (ROOT / path).exists(), path
