"""The lines of `metrics.jsonl` of runs that are compared."""

import json

import pytest


def read_records(workdir):
  """Returns the lines of a run by seed and step."""
  lines = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
  return {(line["seed"], line["step"]): line for line in lines}


def assert_same(actual, expected):
  """Compares two runs: the same steps of the same seeds, and their numbers."""
  assert actual.keys() == expected.keys()
  for key, line in expected.items():
    for kind in ("losses", "weights"):
      assert actual[key][kind] == pytest.approx(line[kind], rel=2e-5)
    # Rounding of gradients that nearly vanish moves their direction.
    assert actual[key].get("cosines", {}) == pytest.approx(line.get("cosines", {}), abs=1e-4)
    if "validation" in line:
      assert actual[key]["validation"]["losses"] == pytest.approx(
        line["validation"]["losses"], rel=2e-5
      )
      # A pixel at the threshold may fall to the other side.
      assert actual[key]["validation"]["dice"] == pytest.approx(
        line["validation"]["dice"], abs=1e-3
      )
