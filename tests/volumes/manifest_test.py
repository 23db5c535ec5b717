"""Manifests of cohorts: what they say, and what is refused."""

import math

import pytest

from mlseg.errors import UserError
from mlseg.volumes import read_manifest

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
  first, second = read_manifest(path)
  assert (first.name, first.image, first.label) == ("A", folder / "a.nii", "yes")
  assert second.image == folder / "series"
  assert first.covariates["age"] == 61
  assert math.isnan(first.covariates["stage"])
  assert second.covariates == {"age": 48.5, "stage": 3}


@pytest.mark.parametrize(
  ("old", "new", "message"),
  [
    ("label,age", "outcome,age", "has no column 'label', only patient, image, mask, outcome"),
    ("A,a.nii", "A,c.nii", r"row 2: image .*c\.nii of patient A does not exist"),
    ("B,series", "A,series", "row 3 has the patient 'A' a second time"),
    ("yes,61", ",61", r"row 2 \(patient A\) has no value in column 'label'"),
    ("yes,61", "NaN,61", r"row 2 \(patient A\) has no value in column 'label'"),
    ("48.5", "old", "row 3: covariate 'age' of patient B must be a number, not 'old'"),
    ("no,48.5", "yes,48.5", "all 2 patients have the same label"),
    ("no,48.5,3", "no,48.5", "row 3 has 5 cells, not 6"),
    ("age,stage", "age,age", "has the column 'age' twice"),
    (SOUND.partition("\n")[2], "", "has no patients"),
  ],
)
def test_what_is_wrong_is_named(folder, old, new, message):
  path = folder / "cohort.csv"
  assert old in SOUND
  path.write_text(SOUND.replace(old, new))
  with pytest.raises(UserError, match=f"manifest .*cohort.csv: {message}"):
    read_manifest(path)


def test_a_manifest_that_is_not_there_is_named(tmp_path):
  with pytest.raises(UserError, match=r"manifest .*none\.csv: cannot be read"):
    read_manifest(tmp_path / "none.csv")
