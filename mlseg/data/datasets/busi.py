"""BUSI: breast ultrasound pictures with lesion masks; the original folder, or the embedded copy."""

import pathlib
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data import findings
from mlseg.data.datasets import ultrasound
from mlseg.data.datasets.sources import PLAIN, Example, Reading, Source
from mlseg.data.datasets.ultrasound import CasePaths
from mlseg.data.findings import Findings
from mlseg.data.splits.grouped import THRESHOLD
from mlseg.errors import UserError
from mlseg.io.pictures.files import natural_key

LABELS = ("benign", "malignant", "normal")
LESION_LABELS = LABELS[:2]  # normal pictures have no lesion
FOLDER = "Dataset_BUSI_with_GT"
_EMBEDDED = pathlib.Path(__file__).parents[1] / "embedded" / "busi"
EMBEDDED = _EMBEDDED / "size128" / "1.0.0"
EMBEDDED_NORMAL = _EMBEDDED / "normal128" / "1.0.0"
EMBEDDED_SIZE = 128
NAME = re.compile(r"(?P<case>[^.].*?)(?P<mask>_mask(_\d+)?)?\.(?i:png)")  # no hidden files

_CITATION = """\
@article{aldhabyani2020busi,
  title   = {Dataset of breast ultrasound images},
  author  = {Al-Dhabyani, Walid and Gomaa, Mohammed and Khaled, Hussien and Fahmy, Aly},
  journal = {Data in Brief},
  volume  = {28},
  pages   = {104863},
  year    = {2020},
  doi     = {10.1016/j.dib.2019.104863}
}"""


class BusiOptions(NamedTuple):
  """The section `config.data.busi`."""

  normal: bool = False  # whether the 133 pictures without a lesion are there too

  @property
  def labels(self) -> tuple[str, ...]:
    """The diagnoses. 'normal' is the last, so that the others keep their numbers."""
    return LABELS if self.normal else LESION_LABELS


class Busi(ultrasound.UltrasoundBuilder):
  """Breast ultrasound: 437 benign, 210 malignant, 133 normal pictures with lesion masks.

  A case's mask is the union of its `_mask`, `_mask_1`, ... files, written as 0 and 255. The splits
  are the folders, in the order of the numbers in the names. Build it from a folder with
  `python -m mlseg.data.prepare`.

  Reference: Al-Dhabyani et al., Data in Brief 28 (2020) 104863.
  """

  name = "busi"
  VERSION = tfds.core.Version("1.0.0")
  LABELS = LABELS
  HOMEPAGE = "https://scholar.cu.edu.eg/?q=afahmy/pages/dataset"
  CITATION = _CITATION
  LICENSE = "CC BY 4.0 (article); listed as CC0"
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"The folder {FOLDER} with benign, malignant and normal."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    ultrasound.UltrasoundConfig(
      name="original", description="Pictures and masks in their original sizes."
    ),
    ultrasound.UltrasoundConfig(
      name="size128",
      description="Grey pictures of 128×128 (area) and masks (nearest), with a lesion only.",
      size=EMBEDDED_SIZE,
      labels=LESION_LABELS,
    ),
    ultrasound.UltrasoundConfig(
      name="normal128",
      description="Grey pictures of 128×128 (area) and empty masks, without a lesion only.",
      size=EMBEDDED_SIZE,
      labels=LABELS[2:],
    ),
  ]

  def find_cases(self, root: pathlib.Path) -> CasePaths:
    """Returns the cases in a folder."""
    return find_cases(root)


def open_source(root: pathlib.Path, options: BusiOptions, reading: Reading = PLAIN) -> Source:
  """Returns the cases in a folder, the normal ones last where they are wanted; see `find_cases`."""
  found = Findings()
  cases = find_cases(root, found)
  return ultrasound.make_source({label: cases[label] for label in options.labels}, reading, found)


def open_embedded(options: BusiOptions | None = None) -> Source:
  """Returns the cases at 128×128 that come with the package; without options those of lesions."""
  labels = (options or BusiOptions()).labels
  folders = {label: EMBEDDED if label in LESION_LABELS else EMBEDDED_NORMAL for label in labels}

  def read() -> Iterator[Example]:
    for label, folder in folders.items():
      builder = tfds.builder_from_directory(folder)
      rows = {row["id"].decode(): row for row in builder.as_data_source(split=label)}
      for case in sorted(rows, key=ultrasound.case_key):
        mask = (rows[case]["mask"][..., 0] > 0).astype(np.uint8)
        yield Example(id=case, image=rows[case]["image"][..., 0], mask=mask, label=label)

  return Source(
    files=tuple(path for folder in dict.fromkeys(folders.values()) for path in folder.iterdir()),
    class_names=ultrasound.CLASS_NAMES,
    label_names=labels,
    channels=1,
    duplicate_bits=THRESHOLD,
    parts=(read,),
  )


def find_cases(folder: pathlib.Path, found: Findings | None = None) -> CasePaths:
  """Returns the cases by label, in the order of the numbers in their names.

  Args:
    folder: `Dataset_BUSI_with_GT`, or the folder that holds it.
    found: gets the pictures without a mask, and the masks without a picture; None: they are
      refused.

  Raises:
    UserError: the folder is missing or is not BUSI, or as `found` says.
  """
  root = folder / FOLDER if (folder / FOLDER).is_dir() else folder
  missing = [label for label in LABELS if not (root / label).is_dir()]
  if missing:
    what = "is not BUSI" if root.is_dir() else "does not exist"
    raise UserError(
      f"data folder {folder} {what}: expected {FOLDER} with the folders {', '.join(LABELS)},"
      f" without {', '.join(missing)}"
    )
  own = Findings() if found is None else found
  cases = {label: _cases_of(root / label, own) for label in LABELS}
  if found is None:
    findings.refuse(own.faults)
  return cases


def _cases_of(
  folder: pathlib.Path, found: Findings
) -> dict[str, tuple[pathlib.Path, list[pathlib.Path]]]:
  images: dict[str, pathlib.Path] = {}
  masks: dict[str, list[pathlib.Path]] = {}
  for path in sorted(folder.iterdir(), key=natural_key):
    match = NAME.fullmatch(unicodedata.normalize("NFC", path.name))
    if not match:  # the download has no other files, but viewers of pictures may have left some
      found.pass_over(path)
    elif match["mask"]:
      masks.setdefault(match["case"], []).append(path)
    elif match["case"] in images:
      found.add(path, f"is there a second time, as {images[match['case']].name}")
    else:
      images[match["case"]] = path
  if not images:
    raise UserError(f"data folder {folder} is not BUSI: it has no PNG pictures")
  for case, path in images.items():
    if case not in masks:
      found.add(path, f"has no mask, expected {case}_mask.png beside it")
  for case, paths in masks.items():
    if case not in images:
      found.add(paths[0], f"is a mask without a picture, expected {case}.png beside it")
  return {case: (path, masks[case]) for case, path in images.items() if case in masks}
