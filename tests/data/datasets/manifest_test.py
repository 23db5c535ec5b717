"""Manifests of cohorts: what is read from them, and what is refused."""

import math

import pytest

from mlseg.data.datasets import manifest
from mlseg.errors import UserError

SOUND = "patient, image ,mask,label,age,stage\nA,a.nii,am.nii,yes,61,\nB,series,bm.nii,no,48.5,3\n"


@pytest.fixture
def folder(tmp_path):
  for name in ("a.nii", "am.nii", "bm.nii"):
    (tmp_path / name).touch()
  (tmp_path / "series").mkdir()
  return tmp_path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_manifest_has_paths_labels_and_covariates(folder, separator):
  path = folder / "cohort.csv"
  path.write_text("\ufeff" + SOUND.replace(",", separator) + "\n")
  first, second = manifest.read(path)
  assert (first.name, first.image, first.label) == ("A", folder / "a.nii", "yes")
  assert second.image == folder / "series"
  assert first.covariates["age"] == 61
  assert math.isnan(first.covariates["stage"])
  assert second.covariates == {"age": 48.5, "stage": 3}


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("label,age", "outcome,age", "has no column 'label', only patient, image, mask, outcome"),
    ("A,a.nii", "A,c.nii", r"patient A: image .*c\.nii does not exist"),
    ("B,series", "A,series", "row 3 has the id 'A' a second time"),
    ("yes,61", ",61", "row 2 has no value in column 'label'"),
    ("yes,61", "NaN,61", "patient A has the label 'NaN', which stands for a missing value"),
    ("48.5", "old", "patient B: covariate 'age' must be a number, not 'old'"),
    ("no,48.5", "yes,48.5", "all 2 patients have the same label"),
    ("no,48.5,3", "no,48.5", "row 3 has not the 6 cells of the header"),
    ("no,48.5,3", "no,48.5,3,4", "row 3 has not the 6 cells of the header"),
    ("age,stage", "age,age", "has a column twice"),
    (SOUND, "", "has no column 'patient', only none"),
  ],
)
def test_what_is_wrong_is_named(folder, old, new, message):
  path = folder / "cohort.csv"
  assert old in SOUND
  path.write_text(SOUND.replace(old, new))
  with pytest.raises(UserError, match=f"table .*cohort.csv: {message}"):
    manifest.read(path)


def test_a_manifest_that_is_not_there_is_named(tmp_path):
  with pytest.raises(UserError, match=r"table .*none\.csv: cannot be read"):
    manifest.read(tmp_path / "none.csv")
