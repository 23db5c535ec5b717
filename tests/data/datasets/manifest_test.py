"""Manifests of cohorts: what is read from them, and what is refused."""

import math
import unicodedata

import pytest

from mlseg.data.datasets import manifest
from mlseg.data.findings import Findings
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
    (
      "yes,61",
      "NaN,61",
      r"row 2 has no value in column 'label' \('NaN' stands for a missing one\)",
    ),
    ("48.5", "old", "patient B: covariate 'age' must be a finite number, not 'old'"),
    ("48.5", "inf", "patient B: covariate 'age' must be a finite number, not 'inf'"),
    ("yes,61", "No ,61", "the labels 'No' and 'no' look like one; write them alike"),
    ("yes,61", '"yes,61', "is damaged after line 3: a quotation mark is not closed"),
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


@pytest.mark.parametrize("text", ["NA", "n/a", "None", "nan", " null ", "#N/A", ""])
def test_a_missing_covariate_is_not_known(folder, text):
  path = folder / "cohort.csv"
  path.write_text(SOUND.replace("48.5", text))
  assert math.isnan(manifest.read(path)[1].covariates["age"])


def test_rows_that_cannot_be_used_are_left_out_where_they_are_collected(folder):
  path = folder / "new.csv"
  path.write_text("patient,image,mask,age\nA,a.nii,am.nii,inf\nB,gone,bm.nii,1\nC,,am.nii,1\n")
  found = Findings()
  (patient,) = manifest.read(path, with_labels=False, found=found)
  assert (patient.name, patient.label, patient.covariates) == ("A", "", {})
  reasons = [f"{fault.file}: {fault.reason}" for fault in found.faults]
  assert reasons == [
    f"table {path}: row 4 has no value in column 'image'",
    f"table {path}: patient B: image {folder}/gone does not exist",
  ]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "y/" + "x" * 5000])
def test_names_that_no_disk_takes_do_not_exist(folder, name):
  path = folder / "cohort.csv"
  path.write_text(SOUND.replace("series", name))
  with pytest.raises(UserError, match=r"patient B: image .* does not exist"):
    manifest.read(path)


def test_files_are_found_in_either_form_of_unicode(folder):
  for form in ("NFC", "NFD"):
    (folder / unicodedata.normalize(form, f"{form}é.nii")).touch()
  path = folder / "cohort.csv"
  path.write_text(SOUND.replace("a.nii", "NFDé.nii").replace("bm.nii", "NFCe\u0301.nii"))
  first, second = manifest.read(path)
  assert first.image.exists()
  assert second.mask.exists()


def test_some_covariates_are_read_without_outcomes(folder):
  path = folder / "new.csv"
  rows = "A,a.nii,am.nii,x,61,old\nB,series,bm.nii,y,,2\nC,a.nii,am.nii,z,old,3\n"
  path.write_text(f"patient,image,mask,note,age,stage\n{rows}")
  found = Findings()
  first, second = manifest.read(path, with_labels=False, covariates=("age",), found=found)
  assert first.covariates == {"age": 61}
  assert math.isnan(second.covariates["age"])
  (fault,) = found.faults
  assert fault.file == f"table {path}: patient C"
  assert fault.reason == "covariate 'age' must be a finite number, not 'old'"


def test_a_covariate_that_is_needed_must_be_a_column(folder):
  path = folder / "new.csv"
  path.write_text("patient,image,mask,age\nA,a.nii,am.nii,1\n")
  message = r"^table .*new\.csv: has no column 'volume', only patient, image, mask, age$"
  with pytest.raises(UserError, match=message):
    manifest.read(path, with_labels=False, covariates=("age", "volume"), found=Findings())
