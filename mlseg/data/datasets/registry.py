"""The data sets by name: how each is opened, its options, and its tfds builder."""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow_datasets as tfds

from mlseg.data.datasets import (
  bus_synthetic,
  busc,
  busi,
  coco,
  cohort,
  folder,
  glas,
  isic_2018,
  lgg,
  nnunet,
  panda,
  siim_acr,
)
from mlseg.data.datasets.sources import NoOptions, Reading, Source

FOLDER = "folder"  # any folder of pictures and masks


class Dataset(NamedTuple):
  """A data set that can be opened."""

  # From the root folder, the options, and how files are read.
  open: Callable[[pathlib.Path, Any, Reading], Source]
  options: type[NamedTuple]  # class of the options, the section of a recipe with the set's name
  download: str  # what the root folder is, in words
  builder: type[tfds.core.GeneratorBasedBuilder] | None = None  # for `prepare`
  # From the options, the pictures that come with the package.
  open_embedded: Callable[[Any], Source] | None = None
  embedded_size: int = 0  # side of those pictures, pixels


DATASETS: dict[str, Dataset] = {
  "busi": Dataset(
    busi.open_source,
    busi.BusiOptions,
    f"original {busi.FOLDER}",
    busi.Busi,
    busi.open_embedded,
    busi.EMBEDDED_SIZE,
  ),
  "busc": Dataset(busc.open_source, NoOptions, "unpacked download of BUSC", busc.Busc),
  "bus_synthetic": Dataset(
    bus_synthetic.open_source,
    NoOptions,
    "unpacked download of BUS synthetic",
    bus_synthetic.BusSynthetic,
  ),
  "glas": Dataset(glas.open_source, glas.GlasOptions, f"folder {glas.FOLDER}", glas.Glas),
  "isic_2018": Dataset(
    isic_2018.open_source, isic_2018.Isic2018Options, "folders of ISIC 2018", isic_2018.Isic2018
  ),
  "lgg": Dataset(lgg.open_source, lgg.LggOptions, f"folder {lgg.FOLDER} of TCGA-LGG", lgg.Lgg),
  "panda": Dataset(
    panda.open_source,
    panda.PandaOptions,
    f"folder with {', '.join(panda.FOLDERS)} and {panda.TABLE}",
    panda.Panda,
  ),
  "siim_acr": Dataset(
    siim_acr.open_source,
    siim_acr.SiimAcrOptions,
    f"folder with {siim_acr.FOLDER} and {siim_acr.TABLE}",
    siim_acr.SiimAcr,
  ),
  FOLDER: Dataset(folder.open_source, folder.FolderOptions, "folder of the data"),
  nnunet.NAME: Dataset(
    nnunet.open_source, nnunet.NnunetOptions, "folder of nnU-Net's raw data, or of the Decathlon"
  ),
  coco.NAME: Dataset(
    coco.open_source, coco.CocoOptions, "folder of the images and the annotations"
  ),
  cohort.NAME: Dataset(cohort.open_source, cohort.CohortOptions, "folder of the data"),
}
