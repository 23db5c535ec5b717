"""Writes the results of one picture: masks, overlays and saliency maps, and rows of tables."""

import errno
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mlseg.errors import UserError, printable
from mlseg.files import write_file
from mlseg.io.pictures import overlays
from mlseg.io.pictures.picture import Picture
from mlseg.models.averaging import ONE, VIEWS
from mlseg.postprocessing.decision import PLAIN, in_words
from mlseg.prediction import inference, region_table, trained
from mlseg.workdir.diagnosis_table import PROBABILITY

REGIONS, DIAGNOSES = "predictions.csv", "diagnoses.csv"
NONE = "none"  # no method of saliency
# Errors that a disk has with one name, such as one that is too long.
_OF_THE_NAME = (
  errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ, errno.EINVAL,
)  # fmt: skip


class Destination(NamedTuple):
  """Where the results of a picture go."""

  out: pathlib.Path  # the folder of all results
  name: str  # of the picture's files below the folders, without '.png'
  file: str  # name of the picture in tables


def names(run: trained.Trained, saliency: str) -> list[str]:
  """Returns the folders and tables that predictions with a run write.

  Args:
    run: its heads decide.
    saliency: one of `gradcam.METHODS`, or 'none'.
  """
  found = ["masks", "overlays", REGIONS] if run.network.segments else []
  if run.label_names:
    found += ["saliency"] if has_saliency(run, saliency) else []
    found += [DIAGNOSES]
  return found


def has_saliency(run: trained.Trained, saliency: str) -> bool:
  """Returns whether predictions show where the network looked: not over several tiles."""
  return bool(saliency != NONE and run.label_names and not run.data.patch_size)


def manner(run: trained.Trained) -> dict[str, Any]:
  """Returns for `predict.json` how masks are made, where that is not the default."""
  found: dict[str, Any] = {} if run.views == ONE else {"views": run.views}
  return found if run.decision == PLAIN else found | {"postprocessing": run.decision._asdict()}


def manner_lines(run: trained.Trained) -> list[str]:
  """Returns lines for the console on how masks are made, where that is not the default."""
  lines = [] if run.views == ONE else [f"views     mean of {len(VIEWS[run.views])}: {run.views}"]
  return lines if run.decision == PLAIN else [*lines, f"masks     {in_words(run.decision)}"]


def columns(table: str, run: trained.Trained) -> tuple[str, ...]:
  """Returns the columns of a table."""
  if table == REGIONS:
    return region_table.COLUMNS
  return ("file", "diagnosis", *(f"{PROBABILITY}{label}" for label in run.label_names))


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
    yield DIAGNOSES, [answer(run, destination.file, prediction.diagnoses)]


def answer(run: trained.Trained, name: str, diagnoses: Any) -> dict[str, Any]:
  """Returns the row of a picture or a patient in the table of diagnoses.

  Args:
    run: that predicted it.
    name: in the column 'file'.
    diagnoses: [L], their probabilities.
  """
  values = np.asarray(diagnoses)
  row = {"file": name, "diagnosis": run.label_names[int(values.argmax())]}
  return row | dict(zip(columns(DIAGNOSES, run)[2:], map(float, values), strict=True))


def _write_regions(
  destination: Destination, run: trained.Trained, picture: Picture, prediction: inference.Prediction
) -> list[dict[str, Any]]:
  """Writes mask and overlay of a picture and returns its rows."""
  pixels, num_classes = picture.pixels, len(run.class_names)
  probabilities, (height, width) = np.asarray(prediction.probabilities), pixels.shape[:2]
  labels, best = inference.restore(probabilities, height, width, run.decision)
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


def _write_picture(destination: Destination, folder: str, content: bytes) -> None:
  """Writes a picture.

  Raises:
    UserError: the disk does not take a file of this name, which says nothing about other files.
    OSError: nothing can be written.
  """
  path = destination.out / folder / f"{destination.name}.png"
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, content)
  except OSError as error:
    if error.errno not in _OF_THE_NAME:
      raise
    name = printable(destination.file)
    raise UserError(f"{name}: its result cannot be written ({error.strerror})") from error
