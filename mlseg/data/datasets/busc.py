"""BUSC, breast ultrasound with lesion masks, as a tfds builder over the downloaded folder."""

import pathlib
from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from mlseg.data.datasets import paired

LABELS = ("benign", "malignant", "unknown")
TITLE = "BUSC"

_CITATION = """\
@article{iqbal2023pdfunet,
  title   = {PDF-UNet: A semi-supervised method for segmentation of breast tumor images using a
             U-shaped pyramid-dilated network},
  author  = {Iqbal, Ahmed and Sharif, Muhammad},
  journal = {Expert Systems with Applications},
  year    = {2023},
  doi     = {10.1016/j.eswa.2023.119718}
}
@misc{rodrigues2017breast,
  title     = {Breast Ultrasound Image},
  author    = {Rodrigues, Paulo Sergio},
  publisher = {Mendeley Data},
  version   = {1},
  year      = {2017},
  doi       = {10.17632/wmy84gzngw.1}
}"""


class Busc(tfds.core.GeneratorBasedBuilder):
  """Breast ultrasound: 100 benign and 150 malignant pictures of 128×128 with lesion masks.

  The pictures are those of Rodrigues (2017), doubled in size, with masks by a radiologist.

  The download is known to hold `BUSC Dataset/BUSC_Dataset/Segmentation` with the folders `images`
  and `masks`; how its files are named, and whether folders separate the diagnoses, is not. So
  every layout is taken that `paired.find_cases` describes. Where no path names a diagnosis, it is
  'unknown' for all cases, and a split is not stratified. Masks are made 0 and 255 by
  `paired.lesion`.

  Reference: Iqbal and Sharif, Mendeley Data vckdnhtw26, version 1.
  """

  name = "busc"
  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = "The unpacked download of Mendeley Data vckdnhtw26, version 1."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    paired.PairedConfig(
      name="original",
      description="Pictures and masks in their original sizes.",
      expected=({"benign": 100, "malignant": 150}, {"unknown": 250}),
    ),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    return self.dataset_info_from_configs(
      features=paired.features(LABELS),
      homepage="https://data.mendeley.com/datasets/vckdnhtw26/1",
      citation=_CITATION,
      license="CC BY 4.0, as third parties list it",
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
    folder = pathlib.Path(dl_manager.manual_dir)
    cases = find_cases(folder)
    paired.check_counts(cases, self.builder_config.expected, TITLE, folder)
    return {label: self._generate_examples(cases, label) for label in cases}

  def _generate_examples(self, cases: paired.Cases, label: str) -> Iterator[tuple[int, Any]]:
    yield from paired.examples(cases, label)


def find_cases(folder: pathlib.Path) -> paired.Cases:
  """Returns per label and case the picture and its mask; see `paired.find_cases`."""
  return paired.find_cases(folder, TITLE, LABELS[:2], LABELS[2])
