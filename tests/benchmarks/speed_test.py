"""The benchmark of speed runs at toy size, and its tables are made of what its file holds."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from speed_parts import check, in_flax, in_floor, in_mlseg, start, tables, workers
from speed_parts import problem as problems


def _run(benchmarks, folder, *options):
  command = [sys.executable, str(benchmarks / "speed.py"), "--small", f"--out={folder}"]
  done = subprocess.run(
    [*command, "--device=cpu", *options], capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr
  results = json.loads((folder / "cpu-small.json").read_text())
  assert (folder / "cpu-small.md").read_text() == tables.page(results)
  return results, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
  ("part", "rows", "measure"),
  [
    ("memory", 2, "temp"),
    ("gram", 2, "milliseconds"),
    ("scaling", 6, "milliseconds"),
    ("seeds", 5, "ratio"),
    ("floor", 4, "fraction"),
    ("data", 8, "images_per_second"),
    ("start", 2, "seconds"),
    ("sweep", 2, "share"),
  ],
)
def test_a_part_measures_at_toy_size(benchmarks, tmp_path, part, rows, measure):
  results, printed = _run(benchmarks, tmp_path, f"--parts={part}")
  measured = results["parts"][part]
  assert len(measured["rows"]) == rows, measured
  for row in measured["rows"]:
    assert np.all(np.array(row[measure]) > 0), row
  assert printed.strip() == tables.section(part, measured).strip()


@pytest.mark.slow
def test_two_versions_of_jax_are_compared(benchmarks, tmp_path):
  """Here the same version, by another path to the same interpreter."""
  other = tmp_path / "python"
  other.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
  other.chmod(0o755)
  results, printed = _run(benchmarks, tmp_path, "--parts=versions", f"--other-python={other}")
  measured = results["parts"]["versions"]
  assert [row["run"] for row in measured["rows"]] == ["train", "evaluate"]
  assert f"The other interpreter has jax {jax.__version__}" in printed


def test_versions_need_two_interpreters(benchmarks, tmp_path):
  command = [sys.executable, str(benchmarks / "speed.py"), f"--out={tmp_path}", "--parts=versions"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  assert done.returncode == 2
  assert "needs --other-python" in done.stderr
  assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_frameworks_that_cannot_be_imported_are_left_out_with_a_reason(benchmarks, tmp_path):
  """A second run of another part keeps the first one's numbers."""
  options = ("--parts=frameworks", "--frameworks=mlseg;Flax as one writes it;PyTorch, eager")
  bare = tmp_path / "python"  # an interpreter without packages
  bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
  bare.chmod(0o755)
  results, printed = _run(benchmarks, tmp_path, *options, f"--torch-python={bare}")
  measured = results["parts"]["frameworks"]
  assert [row["framework"] for row in measured["rows"] if row["run"] == "evaluate"] == [
    "mlseg",
    "Flax as one writes it",
  ]
  assert list(measured["skipped"]) == ["PyTorch, eager"]
  assert "Not measured: PyTorch, eager (ModuleNotFoundError" in printed


def test_the_reference_has_the_parameters_that_its_table_is_about():
  before_norms = 2 * (16 + 32 + 64 + 128 + 256 + 128 + 64 + 32 + 16)  # biases that norms cancel
  assert problems.num_params(problems.REFERENCE) + before_norms == 1_943_778


def test_plain_flax_and_mlseg_are_the_same_network():
  """In the same order of layers; the initial values are drawn from the same distributions."""
  problem = problems.TOY
  images, _ = problems.make_data(problem)
  ours = in_mlseg.make_module(problem)
  plain = in_flax.UNet(problem)
  variables = jax.eval_shape(lambda: plain.init(jax.random.key(0), images, False))
  shapes = sorted(leaf.shape for leaf in jax.tree.leaves(variables))
  own = jax.eval_shape(lambda: ours.init(jax.random.key(0), images, False))
  assert sorted(leaf.shape for leaf in jax.tree.leaves(own)) == shapes


def test_operations_are_counted_from_shapes():
  """A convolution, its dilated counterpart and a matrix product, by hand."""
  images, kernel = jnp.zeros((2, 8, 8, 3)), jnp.zeros((3, 3, 3, 5))

  def convolve(**options):
    return jax.make_jaxpr(
      lambda x, k: jax.lax.conv_general_dilated(
        x, k, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"), **options
      )
    )(images, kernel).jaxpr

  outputs = 2 * 8 * 8 * 5
  assert in_floor.count(convolve())[0] == 2 * outputs * 27
  moved = 4e-6 * (images.size + kernel.size + outputs)
  assert in_floor.count(convolve())[1] == pytest.approx(moved)
  spread = in_floor.count(convolve(lhs_dilation=(2, 2)))[0]
  assert spread == pytest.approx(2 * (2 * 15 * 15 * 5) * 27 / 4)
  inner = jax.make_jaxpr(jax.jit(lambda x: x @ x))(jnp.zeros((4, 4))).jaxpr
  assert in_floor.count(inner)[0] == 2 * 4**3


def test_quartiles_of_few_values():
  assert workers.quartiles([3.0]) == (3.0, 3.0, 3.0)
  assert workers.quartiles([1.0, 2.0, 3.0]) == (1.5, 2.0, 2.5)


def test_ratios_that_are_worse_are_named():
  def rows(ratio, many):
    own = {"run": "train", "framework": "PyTorch, eager", "ratio": [0.1, ratio, 9.0]}
    return [own | {"ratio_many": [many] * 3}, {"run": "train", "framework": "mlseg"}]

  assert not list(check.worse("frameworks", rows(1.0, 2.0), rows(0.91, 3.0)))
  assert list(check.worse("frameworks", rows(1.0, 2.0), rows(0.89, 1.7))) == [
    "frameworks: train, PyTorch, eager: ratio 0.89, committed 1",
    "frameworks: train, PyTorch, eager: ratio_many 1.7, committed 2",
  ]
  assert not list(check.worse("frameworks", [], rows(0.1, 0.1)))  # a new row
  slower = [[{"variant": "a", "ratio": [1.0, value, 2.0]}] for value in (1.0, 1.2)]
  assert list(check.worse("gram", *slower)) == ["gram: a: ratio 1.2, committed 1"]
  assert not list(check.worse("gram", *slower[::-1]))
  share = [[{"variant": "a", "share": value}] for value in (0.5, 0.6)]
  assert list(check.worse("sweep", *share)) == ["sweep: a: share 0.6, committed 0.5"]


@pytest.mark.slow
def test_a_measurement_is_compared_with_the_file(benchmarks, tmp_path):
  _run(benchmarks, tmp_path, "--parts=floor")
  path = tmp_path / "cpu-small.json"
  file = json.loads(path.read_text())
  for row in file["parts"]["floor"]["rows"]:
    row["fraction"] = 1e6
  path.write_text(json.dumps(file))
  command = [sys.executable, str(benchmarks / "speed.py"), "--small", f"--out={tmp_path}"]
  options = ["--device=cpu", "--check", "--parts=floor,seeds"]
  done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
  assert done.returncode == 1, done.stderr
  assert "floor: float32: fraction" in done.stdout
  assert "seeds is not in the file" in done.stdout
  assert json.loads(path.read_text()) == file


def test_programs_compiled_at_once_and_traces_within_traces_count_once(tmp_path):
  events = [
    ["tracing", 1.0, 2.0], ["tracing", 0.0, 3.0],  # one function within another
    ["reading", 5.0, 6.0],
    ["compiling", 5.0, 7.0], ["compiling", 6.0, 8.0], ["compiling", 10.0, 11.0],
  ]  # fmt: skip
  (tmp_path / "events").write_text("".join(f"{json.dumps(event)}\n" for event in events))
  expected = {"tracing": 3.0, "lowering": 0.0, "compiling": 3.0, "reading": 1.0}
  assert start.spent(tmp_path / "events") == expected
