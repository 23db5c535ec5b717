"""PANDA: prostate biopsies as whole slides, with masks and grades."""

import functools
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data.datasets import csv_table, sources, tissue
from mlseg.data.findings import Findings
from mlseg.errors import UserError, require
from mlseg.io.pictures import slides

TITLE = "PANDA"
FOLDERS = ("train_images", "train_label_masks")
TABLE = "train.csv"
WITHIN = "prostate-cancer-grade-assessment"  # the folder that the download unpacks to
EXPECTED = {"karolinska slides": 5456, "radboud slides": 5160, "masks": 10516}
PROVIDERS = ("karolinska", "radboud")
LABELS = tuple(f"ISUP {grade}" for grade in range(6))
RADBOUD = ("background", "stroma", "benign epithelium", "Gleason 3", "Gleason 4", "Gleason 5")
CLASS_NAMES = {
  "common": ("background", "benign", "cancer"),
  "binary": ("background", "cancer"),
  "gleason": RADBOUD,
}
# By scheme and provider, the class of each value in the masks.
CLASSES = {
  ("common", "karolinska"): (0, 1, 2),
  ("common", "radboud"): (0, 1, 1, 2, 2, 2),
  ("binary", "karolinska"): (0, 0, 1),
  ("binary", "radboud"): (0, 0, 0, 1, 1, 1),
  ("gleason", "radboud"): (0, 1, 2, 3, 4, 5),
}
WHITE = 255  # beyond a slide's edges
_CITATION = """\
@article{bulten2022panda,
  title   = {Artificial intelligence for diagnosis and Gleason grading of prostate cancer: the
             PANDA challenge},
  author  = {Bulten, Wouter and Kartasalo, Kimmo and Chen, Po-Hsuan Cameron and others},
  journal = {Nature Medicine},
  volume  = {28},
  pages   = {154--163},
  year    = {2022},
  doi     = {10.1038/s41591-021-01620-2}
}"""


class PandaOptions(NamedTuple):
  """The section config.data.panda."""

  level: int = 1  # of the slides: 0 as scanned (0.5 µm per pixel), 1 a quarter, 2 a sixteenth
  tile: int = 512  # side of a tile at that level, pixels
  max_tiles: int = 8  # number per slide, those with most tissue; 0: all
  min_tissue: float = 0.1  # least share of tissue in a tile
  provider: str = "all"  # or karolinska, radboud
  classes: str = "common"  # background, benign, cancer; 'binary': cancer; 'gleason': radboud's six
  complete: bool = True  # whether all of the published slides must be there


class Panda(sources.SourceBuilder):
  """Prostate biopsies: tiles of 10616 slides with masks, and the slide's ISUP grade.

  The masks of Karolinska have 0 background, 1 benign tissue, 2 cancerous tissue; those of Radboud
  0 background, 1 stroma, 2 benign epithelium, 3 to 5 cancerous epithelium of that Gleason pattern.
  The common classes are background, benign (1; 1 and 2) and cancer (2; 3 to 5). The binary classes
  are cancer and the rest: benign tissue is background. Karolinska's cancer includes the stroma, and
  Radboud's does not.

  A pixel is tissue where its channels differ by 20 of 255 or more, at the slide's smallest level.
  Tiles with less tissue than `min_tissue` are left out, and so are slides that have no other tiles.
  The 100 slides without a mask are left out.

  Reference: Bulten et al., Nature Medicine 28 (2022) 154-163.
  """

  name = "panda"
  VERSION = tfds.core.Version("1.0.0")
  HOMEPAGE = "https://www.kaggle.com/c/prostate-cancer-grade-assessment"
  CITATION = _CITATION
  LICENSE = "CC BY-NC-SA 4.0"
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"A folder with {', '.join(FOLDERS)} and {TABLE}."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    sources.SourceConfig(
      name="common", description="Both providers, common classes.", options=PandaOptions()
    ),
    sources.SourceConfig(
      name="binary",
      description="Both providers, cancer against the rest.",
      options=PandaOptions(classes="binary"),
    ),
    sources.SourceConfig(
      name="gleason",
      description="Radboud's slides, with Gleason patterns.",
      options=PandaOptions(provider="radboud", classes="gleason"),
    ),
  ]

  def names(self) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Returns the classes of masks, the labels of pictures, and the channels of pictures."""
    return CLASS_NAMES[self.builder_config.options.classes], LABELS, 3

  def open_source(self, root: pathlib.Path) -> sources.Source:
    """Returns the data set in a folder, under the options of the builder's config."""
    return open_source(root, self.builder_config.options)


class Slide(NamedTuple):
  """The files of a slide, and what is known about it."""

  image: pathlib.Path
  mask: pathlib.Path
  provider: str
  label: str


def open_source(
  root: pathlib.Path, options: PandaOptions, reading: sources.Reading = sources.PLAIN
) -> sources.Source:
  """Returns the data set in a folder that holds the slides, their masks and the table.

  Rows without a slide, and slides and masks without a row, are among its faults.

  Raises:
    UserError: an option or the table is wrong.
  """
  _check(options)
  folder = sources.find_root(root, WITHIN, TABLE, TITLE)
  found = Findings()
  slides_here = find_slides(folder, options.complete, found)
  chosen = [slide for slide in slides_here if options.provider in ("all", slide.provider)]
  return sources.Source(
    files=(folder / TABLE, *(path for slide in chosen for path in (slide.image, slide.mask))),
    class_names=CLASS_NAMES[options.classes],
    label_names=LABELS,
    channels=3,
    duplicate_bits=sources.NO_DUPLICATES,  # the tiles of a slide are kept together
    parts=tuple(functools.partial(_read_tiles, slide, options) for slide in chosen),
    faults=tuple(found.faults),
  )


def _check(options: PandaOptions) -> None:
  sources.check_choice("panda", "provider", options.provider, ("all", *PROVIDERS))
  sources.check_choice("panda", "classes", options.classes, tuple(CLASS_NAMES))
  if options.classes == "gleason" and options.provider != "radboud":
    raise UserError(
      "config.data.panda.classes 'gleason' needs config.data.panda.provider 'radboud', as the"
      f" masks of karolinska have no Gleason patterns, not {options.provider!r}"
    )
  for name, least in (("level", 0), ("tile", 8), ("max_tiles", 0)):
    value = getattr(options, name)
    require(value >= least, f"config.data.panda.{name} must be at least {least}", value)
  rule = "config.data.panda.min_tissue must be more than 0 and at most 1"
  require(0 < options.min_tissue <= 1, rule, options.min_tissue)


def find_slides(folder: pathlib.Path, complete: bool, found: Findings) -> list[Slide]:
  """Returns the slides that have a mask, in the order of the table.

  Args:
    folder: of the data set.
    complete: whether all of the published slides must be there.
    found: gets the rows without a slide, and the slides and masks without a row.

  Raises:
    UserError: as `open_source`.
  """
  path = folder / TABLE
  table = csv_table.read(path, "image_id", ["data_provider", "isup_grade"])
  images, masks = (
    _named(folder / name, end) for name, end in zip(FOLDERS, (".tiff", "_mask.tiff"), strict=True)
  )
  for name, row in table.items():
    if name not in images:
      found.add(f"table {path}", f"{FOLDERS[0]} has no file {name}.tiff")
    if row["data_provider"] not in PROVIDERS or f"ISUP {row['isup_grade']}" not in LABELS:
      raise UserError(
        f"table {path}: {name} must be of {' or '.join(PROVIDERS)} with a grade of 0 to 5,"
        f" not {row['data_provider']!r} with {row['isup_grade']!r}"
      )
  for name, file in {**images, **masks}.items():
    if name not in table:
      found.add(file, f"has no row in {TABLE}")
  rows = [row["data_provider"] for row in table.values()]
  counts = {f"{provider} slides": rows.count(provider) for provider in PROVIDERS}
  expected = EXPECTED if complete and not found.faults else {}
  sources.check_counts({**counts, "masks": len(masks)}, expected, TITLE, folder, "panda")
  return [
    Slide(images[name], masks[name], row["data_provider"], f"ISUP {row['isup_grade']}")
    for name, row in table.items()
    if name in masks and name in images
  ]


def _named(folder: pathlib.Path, ending: str) -> dict[str, pathlib.Path]:
  """Returns the files of a folder with an ending, compared without case, by their other part.

  Hidden files, such as the `._x` that macOS leaves, are passed over.
  """
  paths = sorted(folder.iterdir()) if folder.is_dir() else []
  return {
    path.name[: -len(ending)]: path
    for path in paths
    if path.name.lower().endswith(ending) and not path.name.startswith(".")
  }


def _read_tiles(slide: Slide, options: PandaOptions) -> Iterator[sources.Example]:
  """Yields the chosen tiles of a slide, each read separately from the files."""
  classes = np.array(CLASSES[options.classes, slide.provider], np.uint8)
  with slides.opened(slide.image) as levels, slides.opened(slide.mask) as mask_levels:
    page = _level(levels, options.level, slide.image)
    mask_page = _level(mask_levels, options.level, slide.mask)
    shape, mask_shape = (f"{level.imagelength}×{level.imagewidth}" for level in (page, mask_page))
    if shape != mask_shape:
      raise UserError(
        f"{slide.mask}: is {mask_shape} at level {options.level}, but its slide is {shape}"
      )
    stained = tissue.is_tissue(slides.read_overview(levels[-1], slide.image))
    height, width, size = page.imagelength, page.imagewidth, options.tile
    tiles = tissue.best_tiles(
      stained, height, width, size, least=options.min_tissue, most=options.max_tiles
    )
    for row, column in tiles:
      image = slides.read_region(page, row * size, column * size, size, WHITE, slide.image)
      values = slides.read_region(mask_page, row * size, column * size, size, 0, slide.mask)
      values = values if values.ndim == 2 else values[..., 0]  # the red channel has the values
      if values.max() >= len(classes):
        raise UserError(
          f"{slide.mask}: has the value {values.max()}, but masks of {slide.provider} have 0 to"
          f" {len(classes) - 1}"
        )
      yield sources.Example(
        id=f"{slide.image.stem}_{row}_{column}",
        image=image,
        mask=classes[values],
        label=slide.label,
        patient=slide.image.stem,
      )


def _level(levels: list[Any], level: int, path: pathlib.Path) -> Any:
  if level >= len(levels):
    raise UserError(f"{path}: has {len(levels)} levels, none of number config.data.panda.level"
                    f" {level}")  # fmt: skip
  return levels[level]
