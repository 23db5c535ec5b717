"""A data set as a trained run sees it."""

import types

import numpy as np
import pytest

from mlseg.data import padding, partial
from mlseg.errors import UserError
from mlseg.evaluation.fit import copies, fit
from tests.training import made


def _run(
  classes=("background", "lesion"),
  labels=(),
  channels=1,
  segments=True,
  has_findings=False,
  covariates=(),
):
  network = types.SimpleNamespace(segments=segments, covariates=covariates)
  return types.SimpleNamespace(
    network=network,
    class_names=classes,
    label_names=labels,
    channels=channels,
    model=types.SimpleNamespace(has_findings=has_findings),
  )


def test_data_that_fit_stay_as_they_are():
  cases = made.make_cases()
  fitted = fit(cases, _run())
  assert (fitted.has_diagnoses, fitted.warnings) == (False, ())
  np.testing.assert_array_equal(fitted.cases.images, cases.images)
  assert fitted.cases.label_names == cases.label_names


def test_covariates_are_those_that_the_run_reads():
  values = np.arange(48, dtype=np.float32).reshape(24, 2)
  cases = made.make_cases()._replace(covariates=values, covariate_names=("age", "volume"))
  fitted = fit(cases, _run(covariates=("volume",)))
  np.testing.assert_array_equal(fitted.cases.network_covariates, values[:, 1:])
  assert fit(cases, _run()).cases.network_covariates is None
  message = "--data has no covariate 'stage', which the network of the run reads; its manifest has"
  for own, known in ((cases, "age, volume"), (made.make_cases(), "none")):
    with pytest.raises(UserError, match=f"^{message} {known}$"):
      fit(own, _run(covariates=("stage",)))


def test_cases_that_lack_something_cannot_be_tested():
  cases = made.make_cases()
  cases.masks[5] = padding.UNLABELLED
  cases.labels[7] = partial.UNKNOWN
  with pytest.raises(UserError, match="--data has 2 cases whose mask or diagnosis is not known"):
    fit(cases, _run())


def test_diagnoses_are_found_by_name_without_case():
  cases = made.make_cases()._replace(label_names=("Malignant", "benign"))
  fitted = fit(cases, _run(labels=("benign", "malignant", "normal")))
  assert fitted.has_diagnoses
  assert fitted.cases.label_names == ("benign", "malignant", "normal")
  np.testing.assert_array_equal(fitted.cases.labels, 1 - cases.labels)


def test_findings_are_found_by_name_and_brought_into_the_order_of_the_run():
  findings = np.arange(72, dtype=np.int32).reshape(24, 3) % 2
  names = ("Edema", "nodule", "effusion")
  cases = made.make_cases()._replace(findings=findings, finding_names=names)
  run = _run(labels=("effusion", "edema"), has_findings=True)
  fitted = fit(cases, run)
  assert fitted.has_diagnoses
  assert fitted.cases.finding_names == ("effusion", "edema")
  np.testing.assert_array_equal(fitted.cases.findings, findings[:, [2, 0]])
  own = [fitted.cases.label_names[label] for label in fitted.cases.labels[:2]]
  assert own == ["none", "effusion+edema"]
  with pytest.raises(UserError, match="--data has no column of the finding 'mass'"):
    fit(cases, _run(labels=("effusion", "mass"), has_findings=True))


def test_unknown_diagnoses_are_not_tested_where_there_are_masks():
  cases = made.make_cases()._replace(label_names=("benign", "cyst"))
  run = _run(labels=("benign", "malignant"))
  fitted = fit(cases, run)
  assert not fitted.has_diagnoses
  assert fitted.warnings == (
    "diagnoses: 'cyst' is none of the run's (benign, malignant), so that diagnoses are not tested",
  )
  with pytest.raises(UserError, match=r"^--data has the diagnoses 'cyst', which the run does not"):
    fit(cases, _run(labels=("benign", "malignant"), segments=False))


def test_classes_are_taken_in_their_order():
  cases = made.make_cases()._replace(class_names=("Background", "tumour"))
  fitted = fit(cases, _run())
  assert fitted.cases.class_names == ("background", "lesion")
  assert fitted.warnings == ("classes: 'tumour' counts as 'lesion'",)
  with pytest.raises(UserError, match=r"^--data has 2 classes .* and the run 3 \(a, b, c\)"):
    fit(cases, _run(classes=("a", "b", "c")))


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_are_converted(channels):
  cases = made.make_cases()
  if channels == 1:
    cases = cases._replace(images=np.repeat(cases.images, 3, -1))
  fitted = fit(cases, _run(channels=channels))
  assert fitted.cases.images.shape == (24, 8, 8, channels)
  np.testing.assert_array_equal(fitted.cases.images[..., :1], cases.images[..., :1])
  assert fitted.warnings[0].startswith("channels: the images are ")


def test_copies_of_images_that_a_run_has_seen_are_found():
  trained = made.make_cases(12)
  own = made.make_cases(4)
  hashes = ~trained.hashes[:4]
  hashes[2] = trained.hashes[7]
  hashes[2, :5] = ~hashes[2, :5]  # a near-duplicate
  hashes[3] = trained.hashes[9]
  own = own._replace(hashes=hashes)
  seen = [case for case in trained.ids if case != "case 9"]  # which was a test case
  assert copies(own, trained, seen) == [("case 2", "case 7")]
  assert copies(own, trained, ()) == []
