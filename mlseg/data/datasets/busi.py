"""BUSI, breast ultrasound images with lesion masks, as a tfds builder over the original folder."""

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from mlseg.data.preprocessing import resize_image, resize_mask
from mlseg.errors import UserError
from mlseg.io.pictures.files import natural_key, read_8_bits
from mlseg.io.pictures.picture import to_colour, to_grey
from mlseg.io.pictures.png import encode

LABELS = ("benign", "malignant", "normal")
FOLDER = "Dataset_BUSI_with_GT"
NAME = re.compile(r"(?P<case>[^.].*?)(?P<mask>_mask(_\d+)?)?\.png")  # no hidden files

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


class BusiConfig(tfds.core.BuilderConfig):
  """What of the originals a build keeps.

  Args:
    size: side of the square grey pictures that are kept, pixels; None for the originals as they
      are.
    labels: which of the three folders are kept.
    **kwargs: name and description, as tfds takes them.
  """

  def __init__(self, size: int | None = None, labels: tuple[str, ...] = LABELS, **kwargs: Any):
    super().__init__(**kwargs)
    self.size = size
    self.labels = labels


class Busi(tfds.core.GeneratorBasedBuilder):
  """Breast ultrasound: 437 benign, 210 malignant, 133 normal pictures with lesion masks.

  A case's mask is the union of its `_mask`, `_mask_1`, ... files, 0 or 255. The splits are the
  folders, in the order of the numbers in the names. Build it from a folder with
  `python -m mlseg.data.prepare`.

  Reference: Al-Dhabyani et al., Data in Brief 28 (2020) 104863.
  """

  name = "busi"
  VERSION = tfds.core.Version("1.0.0")
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"The folder {FOLDER} with benign, malignant and normal."
  BUILDER_CONFIGS = [  # noqa: RUF012 - tfds declares it so
    BusiConfig(name="original", description="Pictures and masks in their original sizes."),
    BusiConfig(
      name="size128",
      description="Grey pictures of 128×128 (area) and masks (nearest), with a lesion only.",
      size=128,
      labels=("benign", "malignant"),
    ),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    size = self.builder_config.size
    features = {
      # Original pictures are grey or RGB: three channels hold both.
      "image": tfds.features.Image(shape=(size, size, 1 if size else 3), encoding_format="png"),
      "mask": tfds.features.Image(shape=(size, size, 1), encoding_format="png"),
      "label": tfds.features.ClassLabel(names=list(LABELS)),
      "id": tfds.features.Text(),
      "height": np.int32,  # of the original
      "width": np.int32,
    }
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(features),
      homepage="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
      citation=_CITATION,
      license="CC BY 4.0 (article); listed as CC0",
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
    cases = find_cases(pathlib.Path(dl_manager.manual_dir))
    return {label: self._generate_examples(cases, label) for label in self.builder_config.labels}

  def _generate_examples(self, cases: dict[str, Any], label: str) -> Iterator[tuple[int, Any]]:
    size = self.builder_config.size
    for number, (case, (image_path, mask_paths)) in enumerate(cases[label].items()):
      image = read_8_bits(image_path)
      mask = read_mask(mask_paths, image_path)
      height, width = mask.shape
      if size:
        image, mask = resize_image(to_grey(image), size), resize_mask(mask, size)
      else:
        image = to_colour(image)
      yield (
        number,
        {
          "image": encode(image, bool(size)),
          "mask": encode(mask, bool(size)),
          "label": label,
          "id": case,
          "height": height,
          "width": width,
        },
      )


def find_cases(folder: pathlib.Path) -> dict[str, dict[str, tuple[pathlib.Path, list]]]:
  """Returns per label and case the picture and its masks, in the order of their numbers.

  Args:
    folder: `Dataset_BUSI_with_GT`, or the folder that holds it.

  Raises:
    UserError: the folder is missing or is not BUSI; a picture has no mask, or a mask no picture.
  """
  root = folder / FOLDER if (folder / FOLDER).is_dir() else folder
  missing = [label for label in LABELS if not (root / label).is_dir()]
  if missing:
    what = "is not BUSI" if root.is_dir() else "does not exist"
    raise UserError(
      f"data folder {folder} {what}: expected {FOLDER} with the folders {', '.join(LABELS)},"
      f" without {', '.join(missing)}"
    )
  return {label: _cases_of(root / label) for label in LABELS}


def _cases_of(folder: pathlib.Path) -> dict[str, tuple[pathlib.Path, list[pathlib.Path]]]:
  images: dict[str, pathlib.Path] = {}
  masks: dict[str, list[pathlib.Path]] = {}
  for path in sorted(folder.iterdir(), key=natural_key):
    match = NAME.fullmatch(path.name)
    if not match:
      continue  # the download holds no other files, but viewers leave theirs behind
    if match["mask"]:
      masks.setdefault(match["case"], []).append(path)
    else:
      images[match["case"]] = path
  if not images:
    raise UserError(f"data folder {folder} is not BUSI: it has no PNG pictures")
  for case, path in images.items():
    if case not in masks:
      raise UserError(f"{path}: has no mask, expected {case}_mask.png beside it")
  for case, paths in masks.items():
    if case not in images:
      raise UserError(f"{paths[0]}: is a mask without a picture, expected {case}.png beside it")
  return {case: (path, masks[case]) for case, path in images.items()}


def read_mask(paths: list[pathlib.Path], image_path: pathlib.Path) -> np.ndarray:
  """Returns the union of masks [H, W], 0 or 255.

  Raises:
    UserError: a file cannot be read, or has another size than the picture.
  """
  with Image.open(image_path) as picture:
    width, height = picture.size
  union = np.zeros((height, width), bool)
  for path in paths:
    mask = read_8_bits(path)
    if mask.shape[:2] != union.shape:
      size = f"{mask.shape[0]}×{mask.shape[1]}"
      raise UserError(f"{path}: is {size}, but its picture {image_path.name} is {height}×{width}")
    union |= to_grey(mask) > 127
  return union.astype(np.uint8) * 255
