"""Writes volumes as NIfTI."""

import pathlib

from mlseg.volumes.volume import Volume


def write(path: pathlib.Path, volume: Volume) -> None:
  """Writes a volume to a file (.nii, .nii.gz), from which `volumes.read` returns it as it was.

  The same volume gives the same bytes.

  Args:
    path: of the file.
    volume: values of a type that NIfTI has: uint8, int16, float32.
  """
  import nibabel

  # The file's axes are columns, rows and slices, so that a slice lies in one piece.
  image = nibabel.Nifti1Image(volume.values.transpose(), volume.affine[:, [2, 1, 0, 3]])
  image.header.set_xyzt_units("mm")
  nibabel.save(image, path)
