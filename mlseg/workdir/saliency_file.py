"""`saliency.npz`: saliency maps of some test cases of the first seed.

The arrays are the fields of `Saliency`, under their names; of `maps` those of each method, under
`map_gradcam` and so on.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from mlseg.files import read_npz, reading, to_npz, write_file
from mlseg.workdir.examples_file import check_images

NAME = "saliency.npz"
_MAP = "map_"  # before the name of a method


class Saliency(NamedTuple):
  """Where the network looks for the diagnosis that it predicts, in some test cases."""

  images: np.ndarray  # [N, H, W, 1 or 3] uint8
  masks: np.ndarray  # [N, H, W] uint8, classes
  ids: np.ndarray  # [N] text
  labels: np.ndarray  # [N] text, true diagnoses
  predicted: np.ndarray  # [N] text
  maps: dict[str, np.ndarray]  # by method [N, H, W] uint8, 255 at the greatest of a case


def write(workdir: pathlib.Path, saliency: Saliency) -> None:
  """Writes the maps into a run's folder."""
  arrays = saliency._asdict()
  arrays |= {f"{_MAP}{name}": values for name, values in arrays.pop("maps").items()}
  write_file(workdir / NAME, to_npz(arrays, compressed=True))


def read(workdir: pathlib.Path) -> Saliency:
  """Returns the maps of a run's folder.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = workdir / NAME
  content = read_npz(path)
  with reading(path):
    maps = {name.removeprefix(_MAP): content[name] for name in content if name.startswith(_MAP)}
    found = Saliency(**{name: content[name] for name in Saliency._fields[:-1]}, maps=maps)
    check_images(found.images)
    count = len(found.ids)
    shape = (count, *found.images.shape[1:3])
    if not len(found.images) == len(found.labels) == len(found.predicted) == count or any(
      array.shape != shape for array in (found.masks, *maps.values())
    ):
      raise ValueError("images, masks, maps, ids, labels and predicted are not of the same cases")
  return found
