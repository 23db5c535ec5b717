"""Predicting a manifest goes on past rows and patients that cannot be used."""

import types

import numpy as np
import pytest

from mlseg.console import Reporter
from mlseg.data.datasets import cohort
from mlseg.errors import UserError
from mlseg.files import read_csv
from mlseg.postprocessing.decision import Manner
from mlseg.prediction import inference, volumes

MANIFEST = """patient,image,mask,age
good1,a.nii,a.nii,inf
gone,nowhere.nii,a.nii,1
bad,bad.nii,a.nii,1
empty,,a.nii,1
good2,a.nii,a.nii,old
"""


@pytest.fixture
def run(monkeypatch):
  """A run of two outcomes whose network answers 0.25 and 0.75, and patients that are not read."""

  def read_patient(patient, options, size):
    if patient.name == "bad":
      raise UserError(f"patient {patient.name}: {patient.image}: is damaged")
    return np.zeros((8, 4), np.uint8), np.zeros((8, 4), np.uint8)

  def make_predict(*_):
    answer = inference.Prediction(
      None, None, None, np.array([[0.25, 0.75]]), None, np.array([[0.5, 0.5]])
    )
    return lambda variables, picture: answer

  monkeypatch.setattr(cohort, "read_patient", read_patient)
  monkeypatch.setattr(inference, "make_predict", make_predict)
  data = types.SimpleNamespace(
    options=cohort.CohortOptions(slices=2), image_size=4, patch_size=0, num_slices=2
  )
  return types.SimpleNamespace(
    name="run", seeds=(0,), label_names=("no", "yes"), data=data, channels=1,
    model=types.SimpleNamespace(has_findings=False), variables=np.zeros(1), views="one",
    manner=Manner(),
  )  # fmt: skip


def test_rows_and_patients_that_cannot_be_used_are_reported(run, tmp_path, capsys):
  (tmp_path / "new.csv").write_text(MANIFEST)
  for name in ("a.nii", "bad.nii"):
    (tmp_path / name).touch()
  out = tmp_path / "out"
  out.mkdir()
  counts = volumes.predict(
    tmp_path / "new.csv", out, run, "none", lambda: None, Reporter(quiet=True)
  )
  assert counts == (3, 5)
  rows = read_csv(out / "diagnoses.csv")
  assert [(row["file"], row["diagnosis"]) for row in rows] == [("good1", "yes"), ("good2", "yes")]
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 3
  assert lines[0].endswith("new.csv: row 5 has no value in column 'image'")
  assert lines[1].endswith("nowhere.nii does not exist")
  assert "patient gone" in lines[1]
  assert lines[2].endswith("bad.nii: is damaged")
