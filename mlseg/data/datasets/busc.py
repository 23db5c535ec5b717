"""BUSC: breast ultrasound with lesion masks."""

import pathlib

import tensorflow_datasets as tfds

from mlseg.data.datasets import paired, ultrasound
from mlseg.data.datasets.sources import PLAIN, NoOptions, Reading, Source
from mlseg.data.datasets.ultrasound import CasePaths
from mlseg.data.findings import Findings

LABELS = ("benign", "malignant", "unknown")
TITLE = "BUSC"
EXPECTED: paired.Expected = ({"benign": 100, "malignant": 150}, {"unknown": 250})

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


class Busc(ultrasound.UltrasoundBuilder):
  """Breast ultrasound: 100 benign and 150 malignant pictures of 128×128 with lesion masks.

  The pictures are those of Rodrigues (2017), doubled in size, with masks by a radiologist.

  The download is known to hold `BUSC Dataset/BUSC_Dataset/Segmentation` with the folders `images`
  and `masks`. It is not known how its files are named, and whether folders separate the diagnoses;
  so every layout is read that `paired.find_cases` describes. Where no path names a diagnosis, all
  cases have the label 'unknown', and a split is not stratified.

  Reference: Iqbal and Sharif, Mendeley Data vckdnhtw26, version 1.
  """

  name = "busc"
  VERSION = tfds.core.Version("1.0.0")
  MASKS = paired.MASKS
  LABELS = LABELS
  HOMEPAGE = "https://data.mendeley.com/datasets/vckdnhtw26/1"
  CITATION = _CITATION
  LICENSE = "CC BY 4.0, as third parties list it"
  MANUAL_DOWNLOAD_INSTRUCTIONS = "The unpacked download of Mendeley Data vckdnhtw26, version 1."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    ultrasound.UltrasoundConfig(
      name="original", description="Pictures and masks in their original sizes."
    ),
  ]

  def find_cases(self, root: pathlib.Path) -> CasePaths:
    """Returns the cases in a folder; all that were published must be there."""
    return _find_all_cases(root)


def open_source(root: pathlib.Path, options: NoOptions, reading: Reading = PLAIN) -> Source:
  """Returns the data set in a folder.

  Raises:
    UserError: it is another folder, or does not have the published numbers of cases.
  """
  found = Findings()
  return ultrasound.make_source(_find_all_cases(root, found), reading, found, paired.MASKS)


def _find_all_cases(root: pathlib.Path, found: Findings | None = None) -> CasePaths:
  cases = find_cases(root, found)
  if not (found and found.faults):  # without those that are bad, the numbers differ anyway
    paired.check_counts(cases, EXPECTED, TITLE, root)
  return cases


def find_cases(folder: pathlib.Path, found: Findings | None = None) -> CasePaths:
  """Returns the cases in a folder; see `paired.find_cases`."""
  return paired.find_cases(folder, TITLE, LABELS[:2], LABELS[2], found)
