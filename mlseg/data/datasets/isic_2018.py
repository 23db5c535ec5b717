"""ISIC 2018: skin lesions under dermoscopy, with masks or diagnoses."""

import functools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data.datasets import isic_tables, lesion_pairs, sources
from mlseg.data.findings import Findings
from mlseg.errors import UserError
from mlseg.io.pictures.files import natural_key
from mlseg.io.pictures.picture import to_colour, to_grey

TITLE = "ISIC 2018"
TASKS = ("both", "segmentation", "classification")
INPUTS = {1: "ISIC2018_Task1-2_Training_Input", 3: "ISIC2018_Task3_Training_Input"}
MASKS = {1: "ISIC2018_Task1_Training_GroundTruth", 3: "HAM10000_segmentations_lesion_tschandl"}
ENDING = "_segmentation"
EXPECTED = {"pictures in task 1": 2594, "pictures in task 3": 10015}
CLASS_NAMES = ("background", "lesion")
UNKNOWN = "unknown"
_CITATION = """\
@article{codella2019skin,
  title   = {Skin lesion analysis toward melanoma detection 2018: a challenge hosted by the
             International Skin Imaging Collaboration (ISIC)},
  author  = {Codella, Noel and Rotemberg, Veronica and Tschandl, Philipp and others},
  journal = {arXiv:1902.03368},
  year    = {2019}
}
@article{tschandl2018ham10000,
  title   = {The HAM10000 dataset, a large collection of multi-source dermatoscopic images of
             common pigmented skin lesions},
  author  = {Tschandl, Philipp and Rosendahl, Cliff and Kittler, Harald},
  journal = {Scientific Data},
  volume  = {5},
  pages   = {180161},
  year    = {2018},
  doi     = {10.1038/sdata.2018.161}
}"""


class Isic2018Options(NamedTuple):
  """The section config.data.isic_2018."""

  task: str = "both"  # pictures with mask and class; or 'segmentation', 'classification'
  channels: int = 3  # or 1: grey
  duplicate_bits: int = 24  # largest difference of near-duplicates, of 255; -1: none are
  complete: bool = True  # whether all of the published pictures must be there


class Isic2018(sources.SourceBuilder):
  """Dermoscopy: 2594 pictures with lesion masks (task 1), 10015 of seven classes (task 3).

  - 'segmentation' is task 1; the label of every picture is 'unknown'.
  - 'classification' is task 3; every mask is empty.
  - 'both' has the pictures with both a mask and a class. Tasks 1 and 3 have no picture in common,
    so it needs one of two more files: the masks of task 3, `HAM10000_segmentations_lesion_tschandl`
    (Tschandl, Dataverse DBW86T, 10015 pictures), or the diagnoses of task 1, `metadata.csv` of the
    ISIC archive (see `isic_tables.read_archive`). With both files, it has pictures of both tasks.

  Pictures of one lesion (`lesion_id` of ISIC2018_Task3_Training_LesionGroupings.csv, or of
  HAM10000_metadata) are kept together as those of a patient.

  References: Codella et al., arXiv 1902.03368; Tschandl et al., Scientific Data 5 (2018) 180161.
  """

  name = "isic_2018"
  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://challenge.isic-archive.com/data/#2018"
  CITATION = _CITATION
  LICENSE = "CC0 (task 1), CC BY-NC 4.0 (task 3, HAM10000)"
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"A folder with {', '.join(INPUTS.values())} and ground truth."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    sources.SourceConfig(
      name=task, description=f"Pictures for {task}.", options=Isic2018Options(task=task)
    )
    for task in TASKS
  ]

  def names(self) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Returns the classes of masks, the labels of pictures, and the channels of pictures."""
    options = self.builder_config.options
    return CLASS_NAMES, _label_names(options), options.channels

  def open_source(self, root: pathlib.Path) -> sources.Source:
    """Returns the data set in a folder, under the options of the builder's config."""
    return open_source(root, self.builder_config.options)


class SkinCase(NamedTuple):
  """The files of a picture, and what is known about it."""

  image: pathlib.Path
  mask: pathlib.Path | None
  label: str
  lesion: str  # '' where it is not known


def open_source(
  root: pathlib.Path,
  options: Isic2018Options,
  reading: sources.Reading = sources.PLAIN,
) -> sources.Source:
  """Returns the data set in a folder that holds the folders of the challenge.

  Pictures without a mask, and masks without a picture, are among its faults.

  Raises:
    UserError: an option is wrong; a folder or a table is missing; a picture of the chosen task has
      no class; or a row has no picture.
  """
  sources.check_choice("isic_2018", "task", options.task, TASKS)
  sources.check_channels("isic_2018", options.channels)
  sources.check_duplicate_bits("isic_2018", options.duplicate_bits)
  found = Findings()
  cases, tables = find_cases(root, options, found)
  files = [path for case in cases for path in (case.image, case.mask) if path]
  return sources.Source(
    files=(*files, *tables),
    class_names=CLASS_NAMES,
    label_names=_label_names(options),
    channels=options.channels,
    duplicate_bits=options.duplicate_bits,
    parts=tuple(functools.partial(_read, case, options, reading) for case in cases),
    has_masks=options.task != "classification",
    faults=tuple(found.faults),
    notes=found.notes(),
  )


def _label_names(options: Isic2018Options) -> tuple[str, ...]:
  return (UNKNOWN,) if options.task == "segmentation" else isic_tables.LABELS


def find_cases(
  root: pathlib.Path, options: Isic2018Options, found: Findings
) -> tuple[list[SkinCase], list[pathlib.Path]]:
  """Returns the pictures of a task in the order of their numbers, and the files of the tables."""
  expected = EXPECTED if options.complete else {}
  wanted = {"segmentation": (1,), "classification": (3,), "both": (1, 3)}[options.task]
  images: dict[str, pathlib.Path] = {}
  masks: dict[str, pathlib.Path] = {}
  for task in wanted:
    if options.task == "both" and not (root / INPUTS[task]).is_dir():
      continue
    own = _named(root / INPUTS[task], ".jpg", found)
    sources.check_counts({f"pictures in task {task}": len(own)}, expected, TITLE, root, "isic_2018")
    images |= own
    if options.task != "classification" and (task == 1 or (root / MASKS[task]).is_dir()):
      own_masks = _named(root / MASKS[task], f"{ENDING}.png", found)
      for name in _unpaired(own, own_masks, found):
        images.pop(name, None)
      masks |= own_masks
  if not images:
    raise UserError(f"data folder {root} is not {TITLE}: it has no {' or '.join(INPUTS.values())}")
  if options.task == "segmentation":
    return [SkinCase(images[name], masks[name], UNKNOWN, "") for name in images], []
  known = isic_tables.read(root, images.keys(), every=options.task == "classification")
  chosen = [
    name for name in images if name in known.labels and (name in masks or options.task != "both")
  ]
  if not chosen:
    raise UserError(
      f"data folder {root}: no picture of {TITLE} here has both a mask and a class, as tasks 1 and"
      f" 3 have none in common: add {MASKS[3]} (masks of task 3) or {isic_tables.ARCHIVE} of the"
      " ISIC archive (diagnoses of task 1)"
    )
  cases = [
    SkinCase(images[name], masks.get(name), known.labels[name], known.lesions.get(name, ""))
    for name in chosen
  ]
  return cases, known.tables


def _named(folder: pathlib.Path, ending: str, found: Findings) -> dict[str, pathlib.Path]:
  """Returns the files in a folder whose names are `ISIC_`, digits and an ending, by name.

  Endings are compared without case.
  """
  if not folder.is_dir():
    raise UserError(f"data folder {folder.parent} is not {TITLE}: it has no {folder.name}")
  named: dict[str, pathlib.Path] = {}
  for path in sorted(folder.iterdir(), key=natural_key):
    name = path.name[: -len(ending)]
    if not (path.name.startswith("ISIC_") and path.name.lower().endswith(ending)):
      if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
        found.pass_over(path)
    elif name in named:
      found.add(path, f"is there a second time, as {named[name].name}")
    else:
      named[name] = path
  if not named:
    raise UserError(f"data folder {folder} has no files such as ISIC_0000000{ending}")
  return named


def _unpaired(
  images: dict[str, pathlib.Path], masks: dict[str, pathlib.Path], found: Findings
) -> list[str]:
  """Returns the names of pictures without a mask; they and masks without a picture are faults."""
  alone = [name for name in images if name not in masks]
  for name in alone:
    folder = next(iter(masks.values())).parent
    found.add(images[name], f"has no mask, expected {name}{ENDING}.png in {folder}")
  for name in masks.keys() - images.keys():
    folder = next(iter(images.values())).parent
    found.add(masks[name], f"is a mask without a picture, expected {name}.jpg in {folder}")
  return alone


def _read(
  case: SkinCase, options: Isic2018Options, reading: sources.Reading
) -> Iterator[sources.Example]:
  """Yields a picture."""
  pair = lesion_pairs.read(case.image, [case.mask] if case.mask else [], reading)
  pixels = pair.picture.pixels
  yield sources.Example(
    id=case.image.stem,
    image=to_colour(pixels) if options.channels == 3 else to_grey(pixels),
    mask=pair.lesion.astype(np.uint8),
    label=case.label,
    patient=case.lesion,
    changes=pair.changes,
    values=pair.values,
  )
