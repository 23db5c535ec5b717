"""What a prediction of one picture leaves: pictures, and rows of tables."""

import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mlseg.files import write_file
from mlseg.io.pictures import overlays
from mlseg.io.pictures.picture import Picture
from mlseg.prediction import inference, region_table, trained
from mlseg.workdir.columns import PROBABILITY

REGIONS, DIAGNOSES = "predictions.csv", "diagnoses.csv"
NONE = "none"  # instead of a method of saliency


class Place(NamedTuple):
  """Where the results of a picture go."""

  out: pathlib.Path
  name: str  # of its files below the folders, without '.png'
  file: str  # what tables call the picture


def names(run: trained.Trained, saliency: str) -> list[str]:
  """Returns the folders and tables that predictions of a run leave.

  Args:
    run: whose heads decide.
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


def columns(table: str, run: trained.Trained) -> tuple[str, ...]:
  """Returns the columns of a table."""
  if table == REGIONS:
    return region_table.COLUMNS
  return ("file", "diagnosis", *(f"{PROBABILITY}{label}" for label in run.label_names))


def write(
  place: Place, run: trained.Trained, picture: Picture, prediction: inference.Prediction
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
  """Writes what a picture gives and yields its rows by the name of their table."""
  if prediction.saliency is not None:
    heat = overlays.heat_png(picture.pixels, np.asarray(prediction.saliency))
    _write_picture(place, "saliency", heat)
  if prediction.probabilities is not None:
    yield REGIONS, _write_regions(place, run, picture, prediction)
  if prediction.diagnoses is not None:
    yield DIAGNOSES, [answer(run, place.file, prediction.diagnoses)]


def answer(run: trained.Trained, name: str, diagnoses: Any) -> dict[str, Any]:
  """Returns the row of a picture or a patient in the table of diagnoses.

  Args:
    run: whose diagnoses these are.
    name: in the column 'file'.
    diagnoses: [L], their probabilities.
  """
  values = np.asarray(diagnoses)
  row = {"file": name, "diagnosis": run.label_names[int(values.argmax())]}
  return row | dict(zip(columns(DIAGNOSES, run)[2:], map(float, values), strict=True))


def _write_regions(
  place: Place, run: trained.Trained, picture: Picture, prediction: inference.Prediction
) -> list[dict[str, Any]]:
  """Writes mask and overlay of a picture and returns its rows."""
  pixels, num_classes = picture.pixels, len(run.class_names)
  labels, best = inference.restore(np.asarray(prediction.probabilities), *pixels.shape[:2])
  _write_picture(place, "overlays", overlays.overlay_png(pixels, labels, num_classes))
  _write_picture(place, "masks", overlays.mask_png(labels, num_classes))
  rows = region_table.measure(labels, best, run.class_names, picture.spacing)
  spreads = {"flip_spread": prediction.flip_spread, "seed_spread": prediction.seed_spread}
  return [
    {"file": place.file, "mask": f"masks/{place.name}.png"}
    | row
    | {name: None if values is None else float(values[c]) for name, values in spreads.items()}
    for c, row in enumerate(rows, start=1)
  ]


def _write_picture(place: Place, folder: str, content: bytes) -> None:
  path = place.out / folder / f"{place.name}.png"
  path.parent.mkdir(parents=True, exist_ok=True)
  write_file(path, content)
