"""Writes the results of one picture: masks, overlays and saliency maps, and rows of tables."""

import errno
import importlib.util
import io
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mlseg.data import multilabel
from mlseg.errors import UserError, printable
from mlseg.files import write_file
from mlseg.io.pictures import overlays
from mlseg.io.pictures.picture import Picture
from mlseg.io.volumes import nifti
from mlseg.models.averaging import ONE, VIEWS
from mlseg.postprocessing.decision import PLAIN, in_words
from mlseg.postprocessing.temperature import Temperatures, scaled
from mlseg.prediction import enlarge, inference, region_table, trained
from mlseg.workdir.diagnosis_table import PROBABILITY

REGIONS, DIAGNOSES, FINDINGS = "predictions.csv", "diagnoses.csv", "findings.csv"
NONE = "none"  # no method of saliency, or no maps
MAPS = (NONE, "png", "nifti", "npz")  # how probabilities and uncertainties are written
# Errors that a disk has with one name, such as one that is too long.
_OF_THE_NAME = (
  errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ, errno.EINVAL,
)  # fmt: skip


class Destination(NamedTuple):
  """Where the results of a picture go."""

  out: pathlib.Path  # the folder of all results
  name: str  # of the picture's files below the folders, without '.png'
  file: str  # name of the picture in tables
  maps: str = NONE  # one of `MAPS`


def names(run: trained.Trained, saliency: str, maps: str = NONE) -> list[str]:
  """Returns the folders and tables that predictions with a run write.

  Args:
    run: its heads decide.
    saliency: one of `gradcam.METHODS`, or 'none'.
    maps: one of `MAPS`.
  """
  found = ["masks", "overlays", REGIONS] if run.network.segments else []
  if run.network.segments:
    single = ["probabilities", "entropy", "disagreement"]
    found += {NONE: [], "png": single, "nifti": single, "npz": ["maps"]}[maps]
  if run.label_names:
    found += ["saliency"] if has_saliency(run, saliency) else []
    found += [FINDINGS if run.model.has_findings else DIAGNOSES]
  return found


def check_maps(run: trained.Trained, maps: str) -> None:
  """Raises a UserError where a run, or this machine, cannot write such maps."""
  if maps == NONE:
    return
  if run.data.has_volumes or not run.network.segments:
    what = "whose volumes have diagnoses alone" if run.data.has_volumes else "without masks"
    raise UserError(f"--maps must be 'none' for a run {what}, not {maps!r}")
  if maps == "nifti" and importlib.util.find_spec("nibabel") is None:
    raise UserError("--maps 'nifti' needs nibabel: pip install 'mlseg-jax[ct]'")


def has_saliency(run: trained.Trained, saliency: str) -> bool:
  """Returns whether predictions show where the network looked: not over several tiles."""
  return bool(saliency != NONE and run.label_names and not run.data.patch_size)


def manner(run: trained.Trained) -> dict[str, Any]:
  """Returns for `predict.json` how masks are made, where that is not the default."""
  found: dict[str, Any] = {} if run.views == ONE else {"views": run.views}
  decision, temperatures = run.manner
  found |= {} if decision == PLAIN else {"postprocessing": decision._asdict()}
  return found | ({} if temperatures == Temperatures() else {"calibration": temperatures._asdict()})


def manner_lines(run: trained.Trained) -> list[str]:
  """Returns lines for the console on how masks are made, where that is not the default."""
  decision, temperatures = run.manner
  lines = [] if run.views == ONE else [f"views     mean of {len(VIEWS[run.views])}: {run.views}"]
  lines += [] if decision == PLAIN else [f"masks     {in_words(decision)}"]
  own = {"pixels": run.network.segments, "diagnoses": bool(run.label_names)}
  words = [f"{what} {getattr(temperatures, what):.2f}" for what, there in own.items() if there]
  if temperatures != Temperatures():
    lines.append(f"calibrated by the temperatures of {', '.join(words)}")
  return lines


def columns(table: str, run: trained.Trained) -> tuple[str, ...]:
  """Returns the columns of a table."""
  if table == REGIONS:
    return region_table.COLUMNS
  answered = "findings" if table == FINDINGS else "diagnosis"
  return ("file", answered, *(f"{PROBABILITY}{label}" for label in run.label_names))


def write(
  destination: Destination, run: trained.Trained, picture: Picture, prediction: inference.Prediction
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
  """Writes the images of a picture's results and yields its rows by the name of their table."""
  if prediction.saliency is not None:
    heat = overlays.heat_png(picture.pixels, np.asarray(prediction.saliency))
    _write_picture(destination, "saliency", heat)
  if prediction.probabilities is not None:
    yield REGIONS, _write_regions(destination, run, picture, prediction)
  if prediction.diagnoses is not None:
    table = FINDINGS if run.model.has_findings else DIAGNOSES
    yield table, [answer(run, destination.file, prediction.diagnoses)]


def answer(run: trained.Trained, name: str, diagnoses: Any) -> dict[str, Any]:
  """Returns the row of a picture or a patient in the table of diagnoses or findings.

  Args:
    run: that predicted it.
    name: in the column 'file'.
    diagnoses: [L], their probabilities.
  """
  values, names = np.asarray(diagnoses), run.label_names
  if run.model.has_findings:
    answered = multilabel.combination(names, values > multilabel.THRESHOLD)
  else:
    answered = names[int(values.argmax())]
  table = FINDINGS if run.model.has_findings else DIAGNOSES
  return dict(zip(columns(table, run), (name, answered, *map(float, values)), strict=True))


def _write_regions(
  destination: Destination, run: trained.Trained, picture: Picture, prediction: inference.Prediction
) -> list[dict[str, Any]]:
  """Writes mask and overlay of a picture and returns its rows."""
  pixels, num_classes = picture.pixels, len(run.class_names)
  probabilities, (height, width) = np.asarray(prediction.probabilities), pixels.shape[:2]
  decision, temperatures = run.manner
  labels, best = enlarge.restore(probabilities, height, width, decision, temperatures.pixels)
  if destination.maps != NONE:
    _write_maps(destination, run, picture, prediction)
  _write_picture(destination, "overlays", overlays.overlay_png(pixels, labels, num_classes))
  _write_picture(destination, "masks", overlays.mask_png(labels, num_classes))
  rows = region_table.measure(labels, best, run.class_names, picture.spacing)
  spreads = {"flip_spread": prediction.flip_spread, "seed_spread": prediction.seed_spread}
  return [
    {"file": destination.file, "mask": f"masks/{destination.name}.png"}
    | row
    | {name: None if values is None else float(values[c]) for name, values in spreads.items()}
    for c, row in enumerate(rows, start=1)
  ]


def _write_maps(
  destination: Destination,
  run: trained.Trained,
  picture: Picture,
  prediction: inference.Prediction,
) -> None:
  """Writes the probabilities of a picture's pixels, their entropy, and the disagreement of models.

  As PNG, 0 to 255 stands for 0 to 1. As PNG and NIfTI, the background's probabilities are left out.
  """
  size = picture.pixels.shape[:2]
  small = scaled(np.asarray(prediction.probabilities), run.manner.temperatures.pixels)
  probabilities = enlarge.resized(small, *size)
  entropy = np.asarray(inference.entropy_of(probabilities))
  disagreement = enlarge.resized(np.asarray(prediction.disagreement)[..., None], *size)[..., 0]
  if destination.maps == "npz":
    content = io.BytesIO()
    np.savez_compressed(
      content,
      classes=np.array(run.class_names),
      probabilities=probabilities,
      entropy=entropy,
      disagreement=disagreement,
    )
    _write_file(destination, f"maps/{destination.name}.npz", content.getvalue())
    return
  several = len(run.class_names) > 2
  for label, name in list(enumerate(run.class_names))[1:]:
    folder = f"probabilities/{name}" if several else "probabilities"
    _write_map(destination, folder, probabilities[..., label], picture.spacing)
  _write_map(destination, "entropy", entropy, picture.spacing)
  _write_map(destination, "disagreement", disagreement, picture.spacing)


def _write_map(
  destination: Destination,
  folder: str,
  values: np.ndarray,
  spacing: tuple[float, float] | None,
) -> None:
  """Writes values [H, W] of 0 to 1 as PNG or NIfTI; a spacing that is not known becomes 1 mm."""
  if destination.maps == "png":
    _write_picture(destination, folder, overlays.share_png(values))
    return
  volume = nifti.plane(values.astype(np.float32), spacing or (1.0, 1.0))
  _write_file(destination, f"{folder}/{destination.name}.nii.gz", nifti.to_bytes(volume))


def _write_picture(destination: Destination, folder: str, content: bytes) -> None:
  """Writes a picture, as `_write_file` does."""
  _write_file(destination, f"{folder}/{destination.name}.png", content)


def _write_file(destination: Destination, file: str, content: bytes) -> None:
  """Writes a file below the folder of the results.

  Raises:
    UserError: the disk does not take a file of this name, which says nothing about other files.
    OSError: nothing can be written.
  """
  path = destination.out / file
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content)
  except OSError as error:
    if error.errno not in _OF_THE_NAME:
      raise
    name = printable(destination.file)
    raise UserError(f"{name}: its result cannot be written ({error.strerror})") from error
