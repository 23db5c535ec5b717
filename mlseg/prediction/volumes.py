"""Predicts the patients of a manifest, and writes diagnoses, slice weights and figures."""

import pathlib
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from mlseg.console import Reporter
from mlseg.data import padding
from mlseg.data.datasets import cohort, manifest
from mlseg.data.findings import Findings
from mlseg.devices import compiler
from mlseg.errors import UserError
from mlseg.files import to_csv, write_file
from mlseg.postprocessing.decision import decide
from mlseg.prediction import inference, trained
from mlseg.prediction import outputs as prediction_outputs
from mlseg.report import plots
from mlseg.workdir import attention_table
from mlseg.workdir.patients_file import Patients

ATTENTION = attention_table.NAME
_COLUMNS = ("file", *attention_table.COLUMNS[2:])


def predict(
  images: pathlib.Path,
  out: pathlib.Path,
  run: trained.Trained,
  saliency: str,
  claim: Callable[[], None],
  reporter: Reporter,
) -> tuple[int, int]:
  """Predicts the patients of a manifest and writes the results.

  Args:
    images: the manifest, or a folder with the manifest that the run's recipe names; outcomes need
      not be known, and of covariates only the columns that the network reads.
    out: the folder of the results.
    run: a run that was trained on volumes.
    saliency: one of `gradcam.METHODS`, or 'none'.
    claim: makes the folder of the results, or raises a UserError if another command made it.
    reporter: prints messages and progress.

  Returns:
    The number of patients that could not be read, and the number of all patients.

  Raises:
    UserError: the manifest is missing or wrong, or results cannot be written.
  """
  table = images / run.data.options.manifest if images.is_dir() else images
  faults = Findings()  # rows that cannot be used; the other patients are predicted
  columns = run.network.covariates
  found = manifest.read(table, with_labels=False, covariates=columns, found=faults)
  try:
    claim()
    reporter.print(f"model     {run.name}, seeds {list(run.seeds)}")
    reporter.print(f"diagnoses {', '.join(run.label_names)}")
    reporter.print(f"patients  {len(found) + len(faults.faults)} in {table}")
    for fault in faults.faults:
      print(f"mlseg: {fault.file}: {fault.reason}", file=sys.stderr)
    start = time.monotonic()
    num_broken = _predict_all(out, run, found, saliency, reporter)
  except OSError as error:
    raise UserError(f"--out: {out} cannot be written ({error.strerror})") from error
  seconds = (time.monotonic() - start) / max(len(found), 1)
  reporter.print(f"{len(found) - num_broken} patients predicted: {out}")
  reporter.print(f"{seconds:.2f} s a patient, compilation included")
  num_faults = len(faults.faults)
  return num_broken + num_faults, len(found) + num_faults


def _predict_all(
  out: pathlib.Path,
  run: trained.Trained,
  found: Sequence[manifest.Patient],
  saliency: str,
  reporter: Reporter,
) -> int:
  """Predicts the patients one by one, with one volume in memory; returns how many failed."""
  options = run.data.options
  shown = saliency if prediction_outputs.has_saliency(run, saliency) else None
  function = inference.make_predict(run.model, False, shown, options.slices, run.views)
  network = jax.jit(function, compiler_options=compiler.compiler_options())
  variables = jax.device_put(run.variables)
  answers: list[dict[str, Any]] = []
  attention: list[dict[str, Any]] = []
  with reporter.bar("patients", len(found), 0):
    for number, patient in enumerate(found, start=1):
      try:
        image, mask = cohort.read_patient(patient, options, run.data.image_size)
      except UserError as error:
        print(f"mlseg: {error}", file=sys.stderr)
        continue
      picture = np.repeat(image[None, ..., None], run.channels, axis=-1)
      on_host = jax.device_get(network(variables, picture, _covariates(run, patient)))
      prediction = inference.calibrated(on_host, run.manner.temperatures)
      answers.append(prediction_outputs.answer(run, patient.name, prediction.diagnoses[0]))
      rows = attention_table.slice_rows(prediction.attention[0])
      attention += [{"file": patient.name} | row for row in rows]
      if shown:
        page = _page(run, patient, image, mask, prediction)
        plots.plot_patients(out / "patients", run.name.partition(":")[0], page, number)
      reporter.advance(number)
  columns = prediction_outputs.columns(prediction_outputs.DIAGNOSES, run)
  write_file(out / prediction_outputs.DIAGNOSES, to_csv(answers, columns))
  write_file(out / ATTENTION, to_csv(attention, _COLUMNS))
  return len(found) - len(answers)


def _covariates(run: trained.Trained, patient: manifest.Patient) -> np.ndarray | None:
  """Returns what the network reads of a patient beside the volume, [1, K]; None: nothing."""
  names = run.network.covariates
  return np.array([[patient.covariates[n] for n in names]], np.float32) if names else None


def _page(
  run: trained.Trained,
  patient: manifest.Patient,
  image: np.ndarray,
  mask: np.ndarray,
  prediction: inference.Prediction,
) -> Patients:
  """Returns the arrays that the figure of a patient shows."""
  slices = run.data.num_slices
  diagnoses = np.asarray(prediction.diagnoses)[0]
  predicted = run.label_names[int(diagnoses.argmax())]
  predicted_mask = np.zeros_like(mask)
  if prediction.probabilities is not None:
    predicted_mask = decide(np.asarray(prediction.probabilities)[0], run.manner.decision, slices)
  absent = mask == padding.IGNORED
  heat = np.rint(255 * np.asarray(prediction.saliency)[0]).astype(np.uint8)
  pixels = (image, np.where(absent, 0, mask), np.where(absent, 0, predicted_mask), heat)
  return Patients(
    np.zeros(1, int),
    np.array([patient.name]),
    np.array([patient.label or "not known"]),
    np.array([predicted]),
    diagnoses.max(keepdims=True),
    np.asarray(prediction.attention),
    *(array.reshape(1, slices, -1, array.shape[1]) for array in pixels),
  )
