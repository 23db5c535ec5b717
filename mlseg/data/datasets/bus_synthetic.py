"""BUS synthetic, made-up breast ultrasound with masks, as a tfds builder over the download."""

import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from mlseg.data.datasets import paired

LABELS = ("synthetic",)
TITLE = "BUS synthetic"

_CITATION = """\
@article{iqbal2023pdfunet,
  title   = {PDF-UNet: A semi-supervised method for segmentation of breast tumor images using a
             U-shaped pyramid-dilated network},
  author  = {Iqbal, Ahmed and Sharif, Muhammad},
  journal = {Expert Systems with Applications},
  year    = {2023},
  doi     = {10.1016/j.eswa.2023.119718}
}"""


class BusSynthetic(tfds.core.GeneratorBasedBuilder):
  """500 synthetic breast ultrasound pictures of 128×128 with lesion masks, without a diagnosis.

  The download is known to hold `BUS Synthetic Dataset` with the folders `images` and `masks` and
  PNG files of the same names in both; every layout is taken that `paired.find_cases` describes.
  Masks may be probabilities: a pixel belongs to the lesion from one half on, which is 128 of 255;
  see `paired.lesion`.

  Reference: Iqbal and Sharif, Mendeley Data r4phtn49r7, version 1.
  """

  name = "bus_synthetic"
  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = "The unpacked download of Mendeley Data r4phtn49r7, version 1."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    paired.PairedConfig(
      name="original",
      description="Pictures and masks in their original sizes.",
      expected=({"synthetic": 500},),
    ),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=paired.features(LABELS),
      homepage="https://data.mendeley.com/datasets/r4phtn49r7/1",
      citation=_CITATION,
      license="see the homepage",
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
    folder = pathlib.Path(dl_manager.manual_dir)
    cases = find_cases(folder)
    paired.check_counts(cases, self.builder_config.expected, TITLE, folder)
    return {label: self._generate_examples(cases, label) for label in cases}

  def _generate_examples(self, cases: paired.Cases, label: str) -> Iterator[tuple[int, Any]]:
    yield from paired.examples(cases, label)


def find_cases(folder: pathlib.Path) -> paired.Cases:
  """Returns per case the picture and its mask, under one label; see `paired.find_cases`."""
  return paired.find_cases(folder, TITLE, (), LABELS[0])
