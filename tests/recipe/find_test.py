"""Recipes are found as given, in the package, or beside it."""

import pathlib

import pytest

from mlseg.recipe import find

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def package(tmp_path, monkeypatch):
  """The folder of an installed package without recipes; the working directory is empty."""
  folder = tmp_path / "site-packages" / "mlseg"
  folder.mkdir(parents=True)
  working = tmp_path / "working"
  working.mkdir()
  monkeypatch.chdir(working)
  return folder


def _write(path):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("")
  return path


def test_a_file_that_exists_as_given_is_taken(package):
  _write(package / "configs" / "mine.py")
  _write(pathlib.Path("configs/mine.py"))
  assert find.find("configs/mine.py:fixed", package) == "configs/mine.py:fixed"


@pytest.mark.parametrize("name", ["configs/mine.py", "configs/studies/mine.py"])
def test_the_package_comes_next_and_the_variant_stays(package, name):
  expected = _write(package / name)
  assert find.find(f"{name}:mad+none", package) == f"{expected}:mad+none"
  assert find.find(name, package) == str(expected)


def test_a_clone_has_its_recipes_beside_the_package(package):
  expected = _write(package.parent / "configs" / "mine.py")
  assert find.find("configs/mine.py", package) == str(expected)


def test_an_installed_package_does_not_look_beside_itself(package):
  _write(package / "configs" / "mine.py")
  _write(package.parent / "configs" / "other.py")
  assert find.find("configs/other.py", package) == "configs/other.py"


@pytest.mark.parametrize("path", ["mine.py", "recipes/mine.py", "/configs/mine.py", "configs", ""])
def test_only_paths_below_configs_are_looked_up(package, path):
  _write(package / "configs" / "mine.py")
  _write(package / "recipes" / "mine.py")
  _write(package / "mine.py")
  assert find.find(path, package) == path


def test_the_recipes_of_this_clone_are_found_from_elsewhere(package):
  assert find.find("configs/dmf_busi.py:fixed") == f"{ROOT / 'configs' / 'dmf_busi.py'}:fixed"


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_flags_of_both_forms_are_completed(package, dashes):
  found = str(ROOT / "configs" / "smoke.py")
  flag = f"{dashes}config"
  others = ["--config.seed=1", "--workdir=configs/smoke.py", "--configs=configs/smoke.py"]
  assert find.find_in_flags(["main", f"{flag}=configs/smoke.py", *others]) == [
    "main", f"{flag}={found}", *others,
  ]  # fmt: skip
  assert find.find_in_flags(["main", flag, "configs/smoke.py"]) == ["main", flag, found]
  assert find.find_in_flags(["main", flag]) == ["main", flag]
