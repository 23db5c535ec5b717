"""Small CT volumes to plant lesions in, and what is measured of a lesion."""

import numpy as np

from mlseg.data.planted_lesion import Background
from mlseg.io.volumes import Volume
from tests.io.volumes import made

SPACING = (4.0, 1.0, 0.9)
SHAPE = (12, 48, 80)  # 44 × 47 × 71 mm, of which 56 are taken along the columns


def lung_and_chest(seed=0, shape=SHAPE):
  """Returns noise [Z, Y, X] around −850 HU on the right, around 30 HU on the left."""
  rng = np.random.default_rng(seed)
  values = rng.normal(0, 15, shape) + np.where(np.arange(shape[2]) < shape[2] // 2, -850, 30)
  return np.rint(values).astype(np.int16)


def write_background(folder, name="one_image.nii.gz", values=None, spacing=SPACING):
  folder.mkdir(exist_ok=True)
  values = lung_and_chest() if values is None else values
  return made.write_nifti(folder / name, values, made.nifti_affine(spacing=spacing))


def background(values=None, tumour=None, tilt=0.0, spacing=SPACING):
  """Returns one; `tilt`: mm that rows move to the front from slice to slice."""
  values = lung_and_chest() if values is None else values
  affine = np.eye(4)
  affine[:3, :3] = [[0, 0, -spacing[2]], [tilt, -spacing[1], 0], [spacing[0], 0, 0]]
  affine[:3, 3] = (30, 20, -100)
  none = np.zeros(values.shape, bool)
  return Background("made", Volume(values, affine), none if tumour is None else tumour)


def texture(planted):
  """Returns the values of the lesion."""
  return planted.image.values[planted.mask.values > 0]
