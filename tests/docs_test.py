"""The pages of studies, and the README's table, are what their committed rows give."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
STUDIES = sorted(  # with rows
  path.parent.name
  for path in (ROOT / "docs").glob("*/make.py")
  if [*path.parent.rglob("study.json")]
  or any((path.parent / name).exists() for name in ("models.csv", "rows.csv"))
)
SLOW_STUDIES = ("response_study",)  # pages that take 8 seconds or more


def _check(root, study):
  command = [sys.executable, str(root / "docs" / study / "make.py"), "--check"]
  return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
  "study",
  [
    pytest.param(name, marks=pytest.mark.slow) if name in SLOW_STUDIES else name for name in STUDIES
  ],
)
def test_pages_are_what_their_rows_give(study):
  result = _check(ROOT, study)
  assert result.returncode == 0, result.stderr


def test_a_page_that_differs_is_named(tmp_path):
  for name in ("docs", "configs"):
    shutil.copytree(ROOT / name, tmp_path / name)
  shutil.copy(ROOT / "README.md", tmp_path)
  rows = tmp_path / "docs" / "dmf_study" / "rows.csv"
  lines = rows.read_text().splitlines()
  assert lines[1].startswith("grouped,variance+tversky,0,")
  rows.write_text("\n".join([lines[0], lines[1].replace(",0.", ",0.1"), *lines[2:]]) + "\n")
  result = _check(tmp_path, "dmf_study")
  assert result.returncode == 1
  for name in ("docs/dmf_study.md", "docs/dmf_study/tables.md"):
    assert f"{name} differs from what its rows give" in result.stderr


@pytest.mark.parametrize(
  "recipe", sorted((ROOT / "configs").glob("*.py")), ids=lambda recipe: recipe.stem
)
def test_scores_in_a_recipe_are_on_a_page(recipe):
  pages = " ".join(" ".join(page.read_text().split()) for page in (ROOT / "docs").rglob("*.md"))
  text = " ".join(recipe.read_text().split())
  # As 63.0 ± 2.0 or 0.710 [0.643, 0.776]; what a paper "reports" is not ours.
  scores = re.findall(r"(?<!reports )\b\d+\.\d+ (?:± \d+\.\d+|\[\d\.\d+, \d\.\d+\])", text)
  assert [score for score in scores if score not in pages] == []


def test_the_multi_task_page_tests_over_seeds_or_patients_and_lists_what_was_not_run():
  text = " ".join((ROOT / "docs" / "multitask_study.md").read_text().split())
  first, second = text.split("## Brain MRI")
  assert "Interval and p are over the 3 seeds" in first
  assert "Interval and p are over the 10 patients" in second
  for part, study in ((first, "busi"), (second, "lgg")):
    record = json.loads((ROOT / "docs" / "multitask_study" / study / "study.json").read_text())
    for cell in record["cells"]:
      line = f"| {cell['labels']['method']} | not run |"
      assert (line in part) == (not cell["complete"]), line


@pytest.mark.parametrize("study", STUDIES)
def test_pages_tell_what_is_wrong_with_rows_of_the_first_version(study):
  rows = [json.loads(path.read_text()) for path in (ROOT / "docs" / study).rglob("setting.json")]
  old = sum(setting["versions"]["mlseg"] == "0.1.0" for setting in rows)
  text = (ROOT / "docs" / f"{study}.md").read_text()
  assert text.count("**Faults of these rows.**") == old
  assert "pictures" not in text


def _pages(entry):
  """Yields the paths of pages in an entry of the site's navigation."""
  if isinstance(entry, str):
    yield entry
  else:
    for part in entry.values() if isinstance(entry, dict) else entry:
      yield from _pages(part)


def test_the_site_has_every_page():
  listed = list(_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
  written = [str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")]
  # The pages that the hook makes of README.md, CHANGELOG.md and CONTRIBUTING.md.
  assert sorted(listed) == sorted([*written, "index.md", "changelog.md", "contributing.md"])
