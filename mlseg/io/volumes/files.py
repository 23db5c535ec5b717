"""Reading volumes: NIfTI files, and folders with a series of DICOM slices."""

import pathlib

from mlseg.errors import UserError, one_line, printable
from mlseg.io.volumes import dicom_series, nifti
from mlseg.io.volumes.volume import Volume


def read(path: pathlib.Path, channel: int | None = None) -> Volume:
  """Returns the volume of a NIfTI file (.nii, .nii.gz), or of the DICOM series in a folder.

  Values are rescaled as the file asks, such as to the Hounsfield units of a CT. Whole numbers are
  returned as integers.

  Args:
    path: the file or folder.
    channel: of a NIfTI file with a fourth axis, the index along it; None: there must be none.

  Raises:
    UserError: the file does not exist, is of another kind, or does not hold a valid volume.
  """
  try:
    if path.is_dir():
      return dicom_series.read(path)
    if not path.exists():
      raise UserError("does not exist")
    if not path.name.lower().endswith((".nii", ".nii.gz")):
      raise UserError("is neither NIfTI (.nii, .nii.gz) nor a folder of DICOM slices")
    if not path.is_file():
      raise UserError("is not a file")  # reading a pipe would wait for its other end
    return nifti.read(path, channel)
  except ImportError as error:
    raise UserError(f"{path}: needs {error.name}: pip install 'mlseg-jax[ct]'") from None
  except UserError as error:
    raise UserError(f"{printable(str(path))}: {error}") from None
  except OSError as error:
    raise UserError(f"{printable(str(path))}: cannot be read ({error.strerror})") from error
  except Exception as error:  # a header with malformed numbers can raise any class
    name = printable(str(path))
    raise UserError(f"{name}: is not a valid volume ({one_line(error)})") from error
