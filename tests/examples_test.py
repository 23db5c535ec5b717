"""Every script of `examples/` runs as it stands, is short, and prints numbers that make sense."""

import importlib.util
import pathlib
import re
import runpy
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
# What each prints, as a regular expression of the numbers that matter, first to last.
PRINTED = {
  "combinators": (
    r"dice 0\.\d+ to 0\.[01]\d, entropy 0\.69 to 0\.[01]\d, tversky 0\.\d+ to 0\.[01]\d"
    r".*to warm_up +\|   0\.33  0\.33  0\.33 "  # equal weights at step 20
    r".*to with_prior +\|   0\.20  0\.60  0\.20 "
    r".*to bounded(?: +\|   0\.[12]\d  0\.[3-6]\d  0\.[12]\d){3}"
  ),
  "equinox_model": r"centre 0\.0\d+ .*dice 0\.0\d+ .*Dice on 64 new pictures: 0\.(?:89|9\d)",
  "flax_nnx": r"dice 0\.0\d+ .*Dice of disc and rim: 0\.9[5-9]\d 0\.9[2-9]\d",
  "gradient_based_two_heads": (
    r"plain sum Dice 0\.(?:[0-7]|8[0-7])\d+, area off by 1?\d\.\d pixels\s"
    r"nash_mtl  Dice 0\.(?:8[89]|9)\d+, area off by [3-7]\.\d pixels"
  ),
  "keras_on_jax": r"Dice 0\.9[4-9]\d, diameter off by 0\.\d\d pixels",
  "losses_and_metrics_on_numpy": (
    r"case 33: .*Dice 0\.760"
    r".*Dice +first  0\.90\d \[0\.88\d, 0\.91\d\]"
    r".*HD95 in mm +second 1\.9\d+ \[1\.\d+, 2\.\d+\]"
    r".*Dice differs by 0\.06\d, Wilcoxon p = 1\.9e-06"
  ),
  "optax_loop": (
    r"step   1: dice 0\.\d+ × 0\.33, entropy [01]\.\d+ × 0\.33, iou 0\.\d+ × 0\.33"
    r".*step 200: dice 0\.[01]\d+ × .*Dice on 64 new pictures: 0\.(?:8[5-9]|9\d)"
  ),
  "own_weighting": (
    r"ce \d+\.\d+ × 1\.0000, dice 0\.\d+ × 1\.0000, Dice of new pictures 0\.8[0-7]\d\s"
    r"ce \d+\.\d+ × 0\.000\d, dice 0\.0\d+ × 0\.999\d, Dice of new pictures 0\.(?:8[7-9]|9\d)\d"
  ),
  "pinn": (
    r"plain sum .*: .*\d\d\.\d\d"  # at least one seed that fails
    r".*tuned sum .*:(?: +[01]\.\d\d){4}\s"
    r".*nash_mtl .*:(?: +[0-2]\.\d\d){4}\s"
  ),
  "pinn_inverse": (  # within 6 % of 2, which the plain sum misses by half
    r"plain sum .*:(?: (?:0\.\d\d|1\.[01]\d)){3}\s"
    r"nash_mtl .*:(?: (?:1\.(?:8[89]|9\d)|2\.(?:0\d|1[0-2]))){3}\s"
  ),
  "predict_from_python": (
    r"lesion in \d+\.\d% of the pixels, entropy 0\.[0-5]\d\s"
    r"Dice of the mask file: 0\.[4-8]"
  ),
  "seeds_by_vmap": (
    r"weights of dice +\[(?:0\.[234]\d? *){8}\].*"
    r"Dice: (?:8[7-9]|9\d)\.\d ± [01]\.\d % over 8 seeds\s"
    r"seed 3 alone differs by 0\.00"
  ),
}
# Those that take 3 seconds or more.
SLOW = ("equinox_model", "flax_nnx", "gradient_based_two_heads", "keras_on_jax", "optax_loop",
        "pinn", "pinn_inverse", "predict_from_python")  # fmt: skip
# Those that need a package which only the extras `test` and `peers` install.
PACKAGES = {"equinox_model": "equinox", "keras_on_jax": "keras"}


def test_the_table_is_complete():
  assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTED)


@pytest.mark.parametrize(
  "name",
  [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in PRINTED],
)
def test_an_example_prints_what_it_promises(name, capsys, monkeypatch):
  package = PACKAGES.get(name, "mlseg")
  if importlib.util.find_spec(package) is None:  # importing Keras would choose its backend
    pytest.skip(f"{package} is not installed")
  path = EXAMPLES / f"{name}.py"
  monkeypatch.setattr(sys, "argv", [str(path)])
  runpy.run_path(str(path), run_name="__main__")
  printed = capsys.readouterr().out
  assert re.search(PRINTED[name], printed, flags=re.DOTALL), printed


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_is_short_and_says_how_it_is_run(name):
  text = (EXAMPLES / f"{name}.py").read_text()
  assert len(text.splitlines()) <= 75
  assert f"python examples/{name}.py" in text.split('"""')[1]


def test_the_page_lists_every_example():
  listed = re.findall(
    r"^\| \[`(\w+)\.py`\]\(\1\.py\) \|", (EXAMPLES / "README.md").read_text(), re.M
  )
  assert sorted(listed) == sorted(PRINTED)
