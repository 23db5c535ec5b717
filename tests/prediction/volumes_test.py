"""Predicting a manifest goes on past rows and patients that cannot be used."""

import types

import jax.numpy as jnp
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
  """A run of two outcomes whose network answers 0.25 and 0.75, and patients that are not read.

  The weights of two slices are the covariates that the network was given, 0.5 for NaN.
  """

  def read_patient(patient, options, size):
    if patient.name == "bad":
      raise UserError(f"patient {patient.name}: {patient.image}: is damaged")
    return np.zeros((8, 4), np.uint8), np.zeros((8, 4), np.uint8)

  def make_predict(*_):
    answer = inference.Prediction(
      None, None, None, np.array([[0.25, 0.75]]), None, np.array([[0.5, 0.5]])
    )

    def predict(variables, picture, covariates):
      if covariates is None:
        return answer
      return answer._replace(attention=jnp.nan_to_num(covariates, nan=0.5))

    return predict

  monkeypatch.setattr(cohort, "read_patient", read_patient)
  monkeypatch.setattr(inference, "make_predict", make_predict)
  data = types.SimpleNamespace(
    options=cohort.CohortOptions(slices=2), image_size=4, patch_size=0, num_slices=2
  )
  return types.SimpleNamespace(
    name="run", seeds=(0,), label_names=("no", "yes"), data=data, channels=1,
    network=types.SimpleNamespace(covariates=()),
    model=types.SimpleNamespace(has_findings=False), variables=np.zeros(1), views="one",
    manner=Manner(),
  )  # fmt: skip


def _predict(run, folder, claim=lambda: None):
  """Predicts the patients of new.csv; returns how many failed, and how many there are."""
  for name in ("a.nii", "bad.nii"):
    (folder / name).touch()
  (folder / "out").mkdir()
  return volumes.predict(
    folder / "new.csv", folder / "out", run, "none", claim, Reporter(quiet=True)
  )


def test_rows_and_patients_that_cannot_be_used_are_reported(run, tmp_path, capsys):
  (tmp_path / "new.csv").write_text(MANIFEST)
  assert _predict(run, tmp_path) == (3, 5)
  rows = read_csv(tmp_path / "out" / "diagnoses.csv")
  assert [(row["file"], row["diagnosis"]) for row in rows] == [("good1", "yes"), ("good2", "yes")]
  lines = capsys.readouterr().err.splitlines()
  assert len(lines) == 3
  assert lines[0].endswith("new.csv: row 5 has no value in column 'image'")
  assert lines[1].endswith("nowhere.nii does not exist")
  assert "patient gone" in lines[1]
  assert lines[2].endswith("bad.nii: is damaged")


def test_a_network_is_given_the_covariates_that_it_reads(run, tmp_path, capsys):
  run.network.covariates = ("volume", "age")
  rows = "one,a.nii,a.nii,61,,x\ntwo,a.nii,a.nii,NA,2.5,y\nthree,a.nii,a.nii,old,1,z\n"
  (tmp_path / "new.csv").write_text(f"patient,image,mask,age,volume,note\n{rows}")
  assert _predict(run, tmp_path) == (1, 3)
  rows = read_csv(tmp_path / "out" / "attention.csv")
  found = [(row["file"], float(row["attention"])) for row in rows]
  assert found == [("one", 0.5), ("one", 61), ("two", 2.5), ("two", 0.5)]
  (line,) = capsys.readouterr().err.splitlines()
  assert line.endswith("patient three: covariate 'age' must be a finite number, not 'old'")


def test_a_network_without_covariates_is_given_none(run, tmp_path):
  (tmp_path / "new.csv").write_text("patient,image,mask,age\none,a.nii,a.nii,61\n")
  assert _predict(run, tmp_path) == (0, 1)
  rows = read_csv(tmp_path / "out" / "attention.csv")
  assert [float(row["attention"]) for row in rows] == [0.5, 0.5]


def test_a_column_that_the_network_reads_must_be_there_before_anything_is_written(run, tmp_path):
  def claim():
    raise AssertionError("the folder of the results was made")

  run.network.covariates = ("stage",)
  (tmp_path / "new.csv").write_text("patient,image,mask,age\none,a.nii,a.nii,61\n")
  message = r"^table .*new\.csv: has no column 'stage', only patient, image, mask, age$"
  with pytest.raises(UserError, match=message):
    _predict(run, tmp_path, claim)
  assert not any((tmp_path / "out").iterdir())
