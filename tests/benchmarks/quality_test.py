"""The comparison of quality with a peer, rehearsed at toy size."""

import json
import subprocess
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow


def test_both_are_trained_on_the_same_cases_and_stand_in_the_table(benchmarks, tmp_path):
  result = subprocess.run(
    [
      sys.executable, str(benchmarks / "quality.py"), f"--workdir={tmp_path / 'run'}",
      f"--out={tmp_path}", "--scratch", "--name=toy", "--threads=1", "--config=configs/smoke.py",
      "--config.num_epochs=1", "--config.num_seeds=1",
    ],
    cwd=benchmarks.parent, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert result.returncode == 0, result.stderr
  entry = json.loads((tmp_path / "quality.json").read_text())["toy"]
  summary = json.loads((tmp_path / "run" / "results.json").read_text())
  dice = entry["all"]["dice"]
  assert dice["mlseg"] == pytest.approx(summary["metrics"]["dice"]["mean"], abs=1e-5)
  assert dice["difference"] == pytest.approx(dice["mlseg"] - dice["peer"])
  assert dice["low"] <= dice["difference"] <= dice["high"]
  assert np.isfinite([entry["all"][name]["peer"] for name in entry["all"]]).all()
  assert "| Dice, % |" in (tmp_path / "quality.md").read_text()
