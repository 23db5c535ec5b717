"""BUS synthetic: made-up breast ultrasound with masks."""

import pathlib

import tensorflow_datasets as tfds

from mlseg.data.datasets import paired, ultrasound
from mlseg.data.datasets.sources import PLAIN, NoOptions, Reading, Source
from mlseg.data.datasets.ultrasound import CasePaths
from mlseg.data.findings import Findings

LABELS = ("synthetic",)
TITLE = "BUS synthetic"
EXPECTED: paired.Expected = ({"synthetic": 500},)

_CITATION = """\
@article{iqbal2023pdfunet,
  title   = {PDF-UNet: A semi-supervised method for segmentation of breast tumor images using a
             U-shaped pyramid-dilated network},
  author  = {Iqbal, Ahmed and Sharif, Muhammad},
  journal = {Expert Systems with Applications},
  year    = {2023},
  doi     = {10.1016/j.eswa.2023.119718}
}"""


class BusSynthetic(ultrasound.UltrasoundBuilder):
  """500 synthetic breast ultrasound pictures of 128×128 with lesion masks, without a diagnosis.

  The download is known to hold `BUS Synthetic Dataset` with the folders `images` and `masks`, and
  PNG files of the same names in both. Every layout is read that `paired.find_cases` describes.
  Masks may be probabilities; see `mask_values.lesion`.

  Reference: Iqbal and Sharif, Mendeley Data r4phtn49r7, version 1.
  """

  name = "bus_synthetic"
  VERSION = tfds.core.Version("1.0.0")
  MASKS = paired.MASKS
  LABELS = LABELS
  HOMEPAGE = "https://data.mendeley.com/datasets/r4phtn49r7/1"
  CITATION = _CITATION
  LICENSE = "see the homepage"
  MANUAL_DOWNLOAD_INSTRUCTIONS = "The unpacked download of Mendeley Data r4phtn49r7, version 1."
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
    UserError: it is another folder, or does not have the published number of cases.
  """
  found = Findings()
  return ultrasound.make_source(_find_all_cases(root, found), reading, found, paired.MASKS)


def _find_all_cases(root: pathlib.Path, found: Findings | None = None) -> CasePaths:
  cases = find_cases(root, found)
  if not (found and found.faults):  # without those that are bad, the numbers differ anyway
    paired.check_counts(cases, EXPECTED, TITLE, root)
  return cases


def find_cases(folder: pathlib.Path, found: Findings | None = None) -> CasePaths:
  """Returns the cases in a folder, all under one label; see `paired.find_cases`."""
  return paired.find_cases(folder, TITLE, (), LABELS[0], found)
