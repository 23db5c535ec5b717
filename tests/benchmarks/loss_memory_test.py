"""The benchmark of memory runs, and holds the published bound at a toy size."""

import json
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "loss_memory.py"


@pytest.mark.slow
def test_several_losses_hold_little_more_than_one(tmp_path):
  command = [sys.executable, str(SCRIPT), "--small", f"--out={tmp_path}"]
  done = subprocess.run(command, capture_output=True, text=True, check=True)
  assert "all five losses" in done.stdout
  found = json.loads((tmp_path / "loss_memory.json").read_text())
  assert found["all"]["peak"] == found["all"]["arguments"] + found["all"]["temporary"]
  ratio = found["all"]["peak"] / found["classification_cross_entropy"]["peak"]
  assert 1 < ratio <= 1.25  # the recipe, which takes longer to compile, has 1.16
