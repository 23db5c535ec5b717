"""Cells of a study: killed and resumed, failing one by one, tabulated; against an unbroken run."""

import json
import random
import signal
import subprocess
import sys
import time

import pytest

from mlseg import sweep
from mlseg.report import __main__ as report
from mlseg.studies import cells, grid
from mlseg.training import train
from tests.end_to_end.command import ROOT, SMOKE

pytestmark = pytest.mark.usefixtures("no_figures")

# Two groups of four models each; long enough to be killed in the middle of either.
STUDY = {
  "name": "tiny",
  "config": str(ROOT / "configs" / "smoke.py"),
  "seeds": 2,
  "settings": {
    "num_epochs": 6,
    "data.image_size": 16,
    "metrics.surface": False,
    "seeds.strategy": "map",
    "log_every": 14,
  },
  "axes": {
    "split": {"grouped": {"data.split": "grouped"}, "random": {"data.split": "random"}},
    "method": {"fixed": {"weighting.name": "fixed"}, "fusion": {}},
  },
  "reference": "fixed",
}
FILES = ("rows.csv", "dice.csv", "comparisons.csv", "table.md", "study.json")


def _write(tmp_path, **entries):
  path = tmp_path / "tiny.py"
  path.write_text(f"def get_study():\n  return {STUDY | entries!r}\n")
  return f"--study={path}"


def _start(study, workdir):
  command = [sys.executable, "-u", "-m", "mlseg.sweep", study, f"--workdir={workdir}"]
  pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
  return subprocess.Popen(command, cwd=ROOT, **pipes)


def _kill_after(process, said):
  """Kills a process a moment after it said something; returns what it had said."""
  output = []
  for line in process.stdout:
    output.append(line)
    if said in line:
      time.sleep(random.uniform(0, 0.3))
      break
  process.send_signal(signal.SIGKILL)
  process.communicate(timeout=60)
  return "".join(output)


def _finish(process):
  """Waits for a process to end well; returns what it said."""
  output = process.communicate(timeout=300)[0]
  assert process.returncode == 0, output
  return output


@pytest.mark.slow
def test_a_study_that_is_killed_twice_gives_the_tables_of_an_unbroken_one(tmp_path):
  study = _write(tmp_path)
  output = _kill_after(_start(study, tmp_path / "broken"), "epoch   3/6")
  assert "cells   0 of 4 done, 4 to train" in output
  # The first group is complete, the second in its middle.
  output = _kill_after(_start(study, tmp_path / "broken"), "all     75 % of 8 models")
  assert "goes on from step" in output
  output = _finish(_start(study, tmp_path / "broken"))
  assert "cells   2 of 4 done, 2 to train" in output
  assert "goes on from step" in output
  _finish(_start(study, tmp_path / "unbroken"))
  for name in FILES:
    assert (tmp_path / "broken" / name).read_text() == (tmp_path / "unbroken" / name).read_text()
  assert not list((tmp_path / "broken" / "checkpoints").iterdir())  # for nothing any more


@pytest.mark.slow
def test_cells_that_fail_are_reported_and_lose_no_other(tmp_path, capsys):
  settings = STUDY["settings"] | {"num_epochs": 1}
  methods = {
    "fixed": {"weighting.name": "fixed"},
    "no such": {"weighting.name": "no_such"},
    "late": {"loss_options.focal.gamma": -1.0, "auxiliary.name": "focal"},
    "diverges": {"optimizer.learning_rate": 1e30, "max_nonfinite": 3},
    "fusion": {},
  }
  axes = {"method": methods}
  study = _write(tmp_path, settings=settings, axes=axes)
  command = ["mlseg.sweep", study, f"--workdir={tmp_path / 'out'}"]
  assert sweep.run(command) == 1
  said = capsys.readouterr()
  assert "no_such failed: config.weighting.name: unknown weighting 'no_such'" in said.err.replace(
    "no such", "no_such"
  )
  assert "late failed: config.loss_options.focal" in said.err
  assert "diverges failed:" in said.err
  table = (tmp_path / "out" / "table.md").read_text()
  rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| f")]
  assert [sorted(own) for own in (rows[:2], rows[2:])] == [["fixed", "fusion"]] * 2
  assert "Failed: " in table
  # What is complete, or has diverged, is not trained again.
  assert sweep.run(command) == 1
  said = capsys.readouterr()
  assert "cells   2 of 5 done, 0 to train, 3 failed" in said.out
  assert "compiled" not in said.out
  assert (tmp_path / "out" / "table.md").read_text() == table
  # A command that does not train it still says that it diverged.
  assert sweep.run([*command, "--table"]) == 0
  written = json.loads((tmp_path / "out" / "study.json").read_text())["cells"]
  assert [cell["name"] for cell in written if "failed" in cell] == ["diverges"]


@pytest.mark.slow
def test_a_group_that_breaks_down_loses_no_other(tmp_path, capsys, monkeypatch):
  whole = train.train_together

  def with_little_memory(runs, *others):
    if runs[0].title == "grouped/fixed":
      raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
    return whole(runs, *others)

  study = _write(tmp_path, settings=STUDY["settings"] | {"num_epochs": 1})
  command = ["mlseg.sweep", study, f"--workdir={tmp_path}", "--cells=grouped/*", "--together=2"]
  monkeypatch.setattr(train, "train_together", with_little_memory)
  assert sweep.run(command) == 1
  error = capsys.readouterr().err
  assert error == ("mlseg: grouped/fixed failed: RuntimeError: RESOURCE_EXHAUSTED: out of memory\n")
  assert "Failed: grouped/fixed" in (tmp_path / "table.md").read_text()
  monkeypatch.undo()  # it is tried again
  assert sweep.run(command) == 0
  said = capsys.readouterr().out
  assert "cells   1 of 2 done, 1 to train" in said
  assert "Failed" not in (tmp_path / "table.md").read_text()


def test_a_mistake_that_all_cells_share_is_one_line(tmp_path, capsys):
  study = _write(tmp_path, settings=STUDY["settings"] | {"data.root": str(tmp_path / "nowhere")})
  assert sweep.run(["mlseg.sweep", study, f"--workdir={tmp_path / 'out'}"]) == 2
  assert capsys.readouterr().err.count("nowhere does not exist") == 1


@pytest.mark.slow
def test_only_chosen_cells_are_trained(tmp_path, capsys):
  study = _write(tmp_path, settings=STUDY["settings"] | {"num_epochs": 1})
  command = ["mlseg.sweep", study, f"--workdir={tmp_path}", "--cells=grouped/*", "--together=2"]
  assert sweep.run(command) == 0
  said = capsys.readouterr().out
  assert said.count("compiled in") == 2  # one group for each cell
  assert "all     100 % of 4 models" in said
  content = json.loads((tmp_path / "study.json").read_text())
  assert [cell["complete"] for cell in content["cells"]] == [True, True, False, False]
  # The report of the folder has the study's tables.
  assert report.main(["mlseg.report", str(tmp_path), f"--out={tmp_path / 'report'}"]) == 0
  page = (tmp_path / "report" / "index.html").read_text()
  assert "tiny, grouped: all classes, pooled" in page
  assert "Not complete: random/fixed, random/fusion." in page


@pytest.mark.parametrize(
  ("patterns", "names"),
  [
    ((), ["grouped/fixed", "grouped/fusion", "random/fixed", "random/fusion"]),
    (("random/fixed", "grouped/*"), ["grouped/fixed", "grouped/fusion", "random/fixed"]),
  ],
)
def test_cells_of_any_pattern_are_chosen(tmp_path, patterns, names):
  words = [f"--cells={pattern}" for pattern in patterns]
  _, options = sweep.parse(["mlseg.sweep", _write(tmp_path), *words])
  assert [cell.name for cell in options.mine] == names


def test_each_pattern_of_cells_has_a_cell(tmp_path, capsys):
  command = ["mlseg.sweep", _write(tmp_path), "--cells=grouped/*", "--cells=none/*"]
  assert sweep.run(command) == 2
  assert "--cells=none/* is none of grouped/fixed" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    (["--config=x.py", "--study=y.py"], "--study names recipe and axes"),
    (["--study=nowhere.py"], "--study: there is no file nowhere.py"),
    ([f"--study={ROOT / 'configs' / 'smoke.py'}"], "has no function get_study"),
    ([SMOKE, "--together=-1"], "--together must not be negative"),
  ],
)
def test_wrong_use_is_one_line(flags, said, capsys):
  assert sweep.run(["mlseg.sweep", *flags]) == 2
  error = capsys.readouterr().err
  assert said in error
  assert error.count("\n") == 1


def test_a_cell_has_diverged_only_under_its_present_config(tmp_path):
  names = ("same", "changed", "never")
  mine = [grid.Cell(name, {"method": name}, {"num_epochs": 2}) for name in names]
  for cell, epochs in zip(mine, (2, 3), strict=False):
    (tmp_path / cell.name).mkdir()
    content = {"reason": "loss a was not finite", "config": {"num_epochs": epochs}}
    (tmp_path / cell.name / "failed.json").write_text(json.dumps(content))
  assert cells.divergences(mine, tmp_path) == {"same": "loss a was not finite"}
