"""TCGA-LGG: brain MRI slices with tumour masks (`kaggle_3m`)."""

import functools
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data.datasets import csv_table, lesion_pairs, sources
from mlseg.data.findings import Findings
from mlseg.errors import UserError
from mlseg.io.pictures.files import natural_key
from mlseg.io.pictures.picture import to_colour

TITLE = "TCGA-LGG"
FOLDER = "kaggle_3m"
TABLE = "data.csv"
EXPECTED = {"patients": 110, "slices": 3929}
CLASS_NAMES = ("background", "tumour")
LABELS = {"presence": ("no tumour", "tumour"), "grade": ("grade II", "grade III")}
SLICES = ("all", "tumour")
GRADES = {"1": "grade II", "2": "grade III"}  # by the value in the table
FLAIR = 1  # channel
_FOLDER = re.compile(r"(?P<patient>TCGA_\w+_\w+)_\d{8}")
_CITATION = """\
@article{buda2019association,
  title   = {Association of genomic subtypes of lower-grade gliomas with shape features
             automatically extracted by a deep learning algorithm},
  author  = {Buda, Mateusz and Saha, Ashirbani and Mazurowski, Maciej A},
  journal = {Computers in Biology and Medicine},
  volume  = {109},
  pages   = {218--225},
  year    = {2019},
  doi     = {10.1016/j.compbiomed.2019.05.002}
}"""


class LggOptions(NamedTuple):
  """The section config.data.lgg."""

  label: str = "presence"  # of a tumour in the slice; or 'grade', that of the patient's tumour
  slices: str = "all"  # or 'tumour': only those that show one
  channels: int = 3  # before contrast, FLAIR, after contrast; or 1: FLAIR
  complete: bool = True  # whether all of the published patients must be there


class Lgg(sources.SourceBuilder):
  """Lower-grade glioma: 3929 MRI slices of 110 patients with masks of the FLAIR abnormality.

  The channels of a picture are T1 before contrast, FLAIR, T1 after contrast; where a sequence is
  missing, the original has FLAIR instead. The label is either the presence of a tumour in the
  slice, or the patient's grade, `neoplasm_histologic_grade` of `data.csv`: 1 is II, 2 is III. With
  grades, the one patient of the 110 without a grade is left out.

  Reference: Buda, Saha and Mazurowski, Computers in Biology and Medicine 109 (2019) 218-225.
  """

  name = "lgg"
  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://www.kaggle.com/datasets/mateuszbuda/lgg-mri-segmentation"
  CITATION = _CITATION
  LICENSE = "CC BY-NC-SA 4.0"
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"The folder {FOLDER} with a folder per patient and {TABLE}."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    sources.SourceConfig(
      name=label, description=f"The class is the tumour's {label}.", options=LggOptions(label=label)
    )
    for label in LABELS
  ]

  def names(self) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Returns the classes of masks, the labels of pictures, and the channels of pictures."""
    options = self.builder_config.options
    return CLASS_NAMES, LABELS[options.label], options.channels

  def open_source(self, root: pathlib.Path) -> sources.Source:
    """Returns the data set in a folder, under the options of the builder's config."""
    return open_source(root, self.builder_config.options)


class Slice(NamedTuple):
  """The files of a slice, and its patient."""

  image: pathlib.Path
  mask: pathlib.Path
  patient: str


def open_source(
  root: pathlib.Path, options: LggOptions, reading: sources.Reading = sources.PLAIN
) -> sources.Source:
  """Returns the data set in a folder: `kaggle_3m`, or the one that holds it.

  Slices without a mask, and masks without a slice, are among its faults.

  Raises:
    UserError: an option is wrong; it is another folder; or a patient is not in the table.
  """
  sources.check_choice("lgg", "label", options.label, tuple(LABELS))
  sources.check_choice("lgg", "slices", options.slices, SLICES)
  sources.check_channels("lgg", options.channels)
  if options.label == "presence" and options.slices == "tumour":
    raise UserError("config.data.lgg.slices 'tumour' leaves one class to config.data.lgg.label"
                    " 'presence': use label='grade'")  # fmt: skip
  folder = sources.find_root(root, FOLDER, TABLE, TITLE)
  found = Findings()
  slices = find_slices(folder, found)
  counts = {"patients": len({slice_.patient for slice_ in slices}), "slices": len(slices)}
  is_complete = options.complete and not found.faults
  sources.check_counts(counts, EXPECTED if is_complete else {}, TITLE, folder, "lgg")
  grades = _grades(folder / TABLE, slices) if options.label == "grade" else {}
  chosen = [s for s in slices if options.label == "presence" or s.patient in grades]
  return sources.Source(
    files=(folder / TABLE, *(path for s in chosen for path in (s.image, s.mask))),
    class_names=CLASS_NAMES,
    label_names=LABELS[options.label],
    channels=options.channels,
    # Neighbouring slices resemble each other, and so do slices of different patients: a chain of
    # near-duplicates would soon connect all patients.
    duplicate_bits=sources.NO_DUPLICATES,
    parts=tuple(functools.partial(_read, one, grades, options, reading) for one in chosen),
    faults=tuple(found.faults),
    notes=found.notes(),
  )


def find_slices(folder: pathlib.Path, found: Findings) -> list[Slice]:
  """Returns the slices of all patients, in the order of the numbers in their names.

  Args:
    folder: of the data set.
    found: gets the slices without a mask, and the masks without a slice.

  Raises:
    UserError: there are none.
  """
  slices = []
  for inner in sorted(folder.iterdir(), key=natural_key):
    match = _FOLDER.fullmatch(inner.name)
    if not (match and inner.is_dir()):
      continue
    names = re.compile(rf"(?P<slice>{inner.name}_\d+)(?P<mask>_mask)?\.(?i:tif)")
    images: dict[str, pathlib.Path] = {}
    masks: dict[str, pathlib.Path] = {}
    for path in sorted(inner.iterdir(), key=natural_key):
      if parts := names.fullmatch(path.name):
        (masks if parts["mask"] else images)[parts["slice"]] = path
      else:
        found.pass_over(path)
    for name in images.keys() - masks.keys():
      found.add(images[name], f"has no mask, expected {name}_mask.tif beside it")
    for name in masks.keys() - images.keys():
      found.add(masks[name], f"is a mask without a slice, expected {name}.tif beside it")
    paired = [name for name in images if name in masks]
    slices += [Slice(images[name], masks[name], match["patient"]) for name in paired]
  if not slices:
    raise UserError(
      f"data folder {folder} is not {TITLE}: it has no folders such as TCGA_CS_4941_19960909"
    )
  return slices


def _grades(path: pathlib.Path, slices: list[Slice]) -> dict[str, str]:
  """Returns the grades by patient; patients without a grade are left out."""
  column = "neoplasm_histologic_grade"
  table = csv_table.read(path, "Patient", [column], may_be_empty=True)
  grades = {}
  for patient in dict.fromkeys(slice_.patient for slice_ in slices):
    if patient not in table:
      raise UserError(f"table {path}: has no row of the patient {patient}")
    value = table[patient][column]
    if value and value not in GRADES:
      raise UserError(
        f"table {path}: {column} of {patient} must be {', '.join(GRADES)} or empty, not {value!r}"
      )
    if value:
      grades[patient] = GRADES[value]
  return grades


def _read(
  slice_: Slice, grades: dict[str, str], options: LggOptions, reading: sources.Reading
) -> Iterator[sources.Example]:
  """Yields a slice, if it is chosen."""
  pair = lesion_pairs.read(slice_.image, [slice_.mask], reading)
  if options.slices == "tumour" and not pair.lesion.any():
    return
  image = to_colour(pair.picture.pixels)
  presence = LABELS["presence"][int(pair.lesion.any())]
  yield sources.Example(
    id=slice_.image.stem,
    image=image if options.channels == 3 else image[..., FLAIR],
    mask=pair.lesion.astype(np.uint8),
    label=grades[slice_.patient] if options.label == "grade" else presence,
    patient=slice_.patient,
    changes=pair.changes,
    values=pair.values,
  )
