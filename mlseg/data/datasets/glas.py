"""Warwick-QU: the glands of the GlaS challenge."""

import functools
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data import mask_values, preprocessing
from mlseg.data.datasets import csv_table, lesion_pairs, sources
from mlseg.data.findings import Findings
from mlseg.errors import UserError, require
from mlseg.io.pictures import files
from mlseg.io.pictures.files import natural_key
from mlseg.io.pictures.picture import to_colour, to_grey

TITLE = "Warwick-QU (GlaS)"
FOLDER = "Warwick_QU_Dataset"
WITHIN = f"{FOLDER} (Released 2016_07_08)"  # as the download is called
TABLE = "Grade.csv"
EXPECTED = {"pictures": 165, "training pictures": 85}
CLASS_NAMES = ("background", "gland")
# Columns of the table, whose header has stray blanks.
COLUMNS = {"grade": "grade (GlaS)", "histology": "grade (Sirinukunwattana et al. 2015)"}
LABELS = {
  "grade": ("benign", "malignant"),
  "histology": (
    "healthy", "adenomatous", "moderately differentiated", "moderately-to-poorly differentiated",
    "poorly differentiated",
  ),
}  # fmt: skip
MISSPELT = {"moderately-to-poorly differentated": "moderately-to-poorly differentiated"}
_PICTURE = re.compile(r"(?P<id>(?P<part>train|testA|testB)_\d+)\.(bmp|png|jpg|jpeg|tif|tiff)", re.I)
_MASK = re.compile(r"(?P<id>(train|testA|testB)_\d+)_anno\.(bmp|png|tif|tiff)", re.I)
_CITATION = """\
@article{sirinukunwattana2017gland,
  title   = {Gland segmentation in colon histology images: The {GlaS} challenge contest},
  author  = {Sirinukunwattana, Korsuk and Pluim, Josien P W and Chen, Hao and Qi, Xiaojuan and
             Heng, Pheng-Ann and Guo, Yun Bo and Wang, Li Yang and Matuszewski, Bogdan J and
             Bruni, Elia and Sanchez, Urko and others},
  journal = {Medical Image Analysis},
  volume  = {35},
  pages   = {489--502},
  year    = {2017},
  doi     = {10.1016/j.media.2016.08.008}
}"""


class GlasOptions(NamedTuple):
  """The section config.data.glas."""

  label: str = "grade"  # benign or malignant; or 'histology': of five kinds
  channels: int = 3  # or 1: grey
  reduction: int = 1  # number of pixels along a side that become one; 1: 0.62 µm, as published
  complete: bool = True  # whether all of the published pictures must be there


class Glas(sources.SourceBuilder):
  """Glands of the colon: 165 pictures of 16 patients, 85 of them to train on, stained with H&E.

  Original masks number the single glands. Here masks have the class 1 for all glands, and examples
  have the numbers as true objects. 'testA' and 'testB' are both the published test part, in which
  patients of the training part recur.

  Reference: Sirinukunwattana et al., Medical Image Analysis 35 (2017) 489-502.
  """

  name = "glas"
  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://warwick.ac.uk/fac/cross_fac/tia/data/glascontest"
  CITATION = _CITATION
  LICENSE = "research only"
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"A folder with pictures, masks (_anno) and {TABLE}."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    sources.SourceConfig(
      name=label, description=f"The class is the {label}.", options=GlasOptions(label=label)
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


class GlandCase(NamedTuple):
  """The files of a picture, and its row in the table."""

  image: pathlib.Path
  mask: pathlib.Path
  label: str
  patient: str

  @property
  def part(self) -> str:
    """Returns 'train' or 'test'."""
    return "train" if self.image.stem.lower().startswith("train") else "test"


def open_source(
  root: pathlib.Path, options: GlasOptions, reading: sources.Reading = sources.PLAIN
) -> sources.Source:
  """Returns the data set in a folder, or in the folder of the download in it.

  Pictures without a mask or a row, and masks without a picture, are among its faults.

  Raises:
    UserError: an option is wrong; it is another folder; or the table is wrong.
  """
  sources.check_choice("glas", "label", options.label, tuple(LABELS))
  sources.check_channels("glas", options.channels)
  rule = "config.data.glas.reduction must be 1 to 16"
  require(1 <= options.reduction <= 16, rule, options.reduction)
  within = FOLDER if (root / FOLDER).is_dir() else WITHIN
  folder = sources.find_root(root, within, TABLE, TITLE)
  found = Findings()
  cases = find_cases(folder, options.label, found)
  counts = {
    "pictures": len(cases), "training pictures": sum(case.part == "train" for case in cases)
  }  # fmt: skip
  is_complete = options.complete and not found.faults
  sources.check_counts(counts, EXPECTED if is_complete else {}, TITLE, folder, "glas")
  return sources.Source(
    files=(folder / TABLE, *(path for case in cases for path in (case.image, case.mask))),
    class_names=CLASS_NAMES,
    label_names=LABELS[options.label],
    channels=options.channels,
    # Near-duplicates are cut from one slide, and so are of one patient, who is known.
    duplicate_bits=sources.NO_DUPLICATES,
    parts=tuple(functools.partial(_read, case, options, reading) for case in cases),
    faults=tuple(found.faults),
    notes=found.notes(),
  )


def find_cases(folder: pathlib.Path, label: str, found: Findings) -> list[GlandCase]:
  """Returns the pictures in the order of the numbers in their names.

  Raises:
    UserError: as `open_source`.
  """
  images: dict[str, pathlib.Path] = {}
  masks: dict[str, pathlib.Path] = {}
  for path in sorted(folder.iterdir(), key=natural_key):
    for pattern, chosen in ((_PICTURE, images), (_MASK, masks)):
      if match := pattern.fullmatch(path.name):
        if match["id"] in chosen:
          found.add(path, f"is there a second time, as {chosen[match['id']].name}")
        else:
          chosen[match["id"]] = path
        break
    else:
      if path.name != TABLE:
        found.pass_over(path)
  if not images:
    raise UserError(f"data folder {folder} is not {TITLE}: it has no pictures such as train_1.bmp")
  for name in masks.keys() - images.keys():
    found.add(masks[name], f"is a mask without a picture, expected {name}.bmp beside it")
  table = csv_table.read(folder / TABLE, "name", ["patient ID", COLUMNS[label]])
  cases = []
  for name, image in images.items():
    if name not in masks:
      found.add(image, f"has no mask, expected {name}_anno.bmp beside it")
      continue
    if name not in table:
      found.add(f"table {folder / TABLE}", f"has no row of the picture {name}")
      continue
    value = table[name][COLUMNS[label]]
    value = MISSPELT.get(value, value)
    if value not in LABELS[label]:
      rule = f"{COLUMNS[label]} of {name} must be {', '.join(LABELS[label])}"
      raise UserError(f"table {folder / TABLE}: {rule}, not {value!r}")
    cases.append(GlandCase(image, masks[name], value, table[name]["patient ID"]))
  return cases


def _read(
  case: GlandCase, options: GlasOptions, reading: sources.Reading
) -> Iterator[sources.Example]:
  """Yields a picture."""
  picture = files.read(case.image, reading.sixteen_bit)
  stored = files.read_mask(case.mask)
  glands = mask_values.objects(stored, case.mask)
  shape, name = picture.pixels.shape, case.image.name
  glands = mask_values.fit(glands, case.mask, shape, name, reading.mask_resize)
  image, glands = preprocessing.reduce(picture.pixels, glands, options.reduction)
  yield sources.Example(
    id=case.image.stem,
    image=to_colour(image) if options.channels == 3 else to_grey(image),
    mask=(glands > 0).astype(np.uint8),
    label=case.label,
    patient=case.patient,
    part=case.part,
    objects=glands,
    changes=(*lesion_pairs.picture_changes(picture), *stored.changes),
  )
