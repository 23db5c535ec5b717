"""The script for a GPU is rehearsed on a CPU; its parts that others share have tests there."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_script_compares_with_a_cpu_and_times_the_table(benchmarks, tmp_path):
  own = {"PYTHON": sys.executable, "OUT": str(tmp_path), "PARTS": "correct,table"}
  done = subprocess.run(
    [str(benchmarks / "gpu.sh"), "--rehearse"],
    env={**os.environ, **own}, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert done.returncode == 0, done.stderr
  parts = json.loads((tmp_path / "cpu-small.json").read_text())["parts"]
  assert [row["what"] for row in parts["correct"]["rows"]] == [
    "losses",
    "weightings",
    "networks",
    "training",
  ]
  assert all(row["difference"] <= row["tolerance"] for row in parts["correct"]["rows"])
  (row,) = parts["table"]["rows"]
  assert row["models"] == 4
  assert row["seconds"] > 0


def test_a_package_that_is_missing_is_told(benchmarks, tmp_path):
  bare = tmp_path / "python"  # an interpreter without packages
  bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
  bare.chmod(0o755)
  done = subprocess.run(
    [str(benchmarks / "gpu.sh")],
    env={**os.environ, "PYTHON": str(bare), "PYTHONPATH": ""}, capture_output=True, text=True,
    check=False,
  )  # fmt: skip
  assert done.returncode == 2
  assert "a package is missing: see --wheels" in done.stderr
