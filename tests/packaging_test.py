"""The wheel and the sdist hold what is needed, and work in an empty folder."""

import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser

import pytest

import mlseg

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPES = {
  f"mlseg/{path.relative_to(ROOT)}"
  for path in (ROOT / "configs").rglob("*")
  if path.suffix in (".py", ".json")
}


def _build(target, folder):
  command = [sys.executable, "-m", "hatchling", "build", "--target", target, "-d", str(folder)]
  subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
  (file,) = folder.iterdir()
  return file


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  """The wheel of this repository."""
  return _build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
  """A folder with the unpacked wheel, as an installation has it."""
  folder = tmp_path_factory.mktemp("site-packages")
  with zipfile.ZipFile(wheel) as archive:
    archive.extractall(folder)
  return folder


def _run(code, installed, working):
  """Runs code in another folder, where only the wheel has the package."""
  environment = os.environ | {"PYTHONPATH": str(installed)}
  command = [sys.executable, "-c", code]
  result = subprocess.run(
    command, cwd=working, env=environment, check=False, capture_output=True, text=True
  )
  assert result.returncode == 0, result.stderr
  return result.stdout.split()


def test_the_wheel_holds_the_package_and_the_recipes_and_nothing_else(wheel):
  with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
  package = {
    str(path.relative_to(ROOT))
    for path in (ROOT / "mlseg").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
  }
  rest = {name for name in names if ".dist-info/" not in name}
  assert rest == package | RECIPES
  for needed in ("py.typed", "report/page.html", "report/page.css", "configs/dmf_busi.py"):
    assert f"mlseg/{needed}" in rest
  assert any("/embedded/" in name and ".array_record" in name for name in rest)
  assert f"mlseg_jax-{mlseg.__version__}.dist-info/licenses/LICENSE" in names


def test_the_sdist_holds_what_the_wheel_is_built_from(tmp_path):
  with tarfile.open(_build("sdist", tmp_path)) as archive:
    names = {pathlib.PurePath(name).parts[1] for name in archive.getnames()}
  assert names == {
    "mlseg", "configs", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "CITATION.cff",
    "PKG-INFO", ".gitignore",
  }  # fmt: skip


def test_the_distribution_has_a_name_of_its_own_and_a_licence(wheel):
  with zipfile.ZipFile(wheel) as archive:
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    metadata = HeaderParser().parsestr(archive.read(name).decode())
  assert metadata["Name"] == "mlseg-jax"
  assert metadata["Version"] == mlseg.__version__
  assert metadata["License-Expression"] == "Apache-2.0"


def test_recipes_are_found_in_an_empty_folder(installed, tmp_path):
  code = (
    "from mlseg import sweep; from mlseg.recipe import parse\n"
    "config, _ = parse.parse(['', '--config=configs/dmf_busi.py:mad+none', '--config.seed=1'])\n"
    "study, _ = sweep.parse(['', '--study=configs/studies/multitask_lgg.py'])\n"
    "flags, _ = sweep.parse(['', '--config=configs/dmf_busi.py', '--variants=all'])\n"
    "print(parse.__file__, config.variant, len(study.cells) > 1, len(flags.cells))"
  )
  file, *values = _run(code, installed, tmp_path)
  assert pathlib.Path(file).is_relative_to(installed)
  assert values == ["mad+none", "True", "13"]


def test_the_library_does_not_load_the_trainer(installed, tmp_path):
  code = "import sys, mlseg.weighting; print(mlseg.weighting.__file__, *sys.modules)"
  file, *modules = _run(code, installed, tmp_path)
  assert pathlib.Path(file).is_relative_to(installed)
  loaded = {name.partition(".")[0] for name in modules}
  assert not loaded & {"tensorflow_datasets", "orbax", "flax", "ml_collections", "cv2", "PIL"}
