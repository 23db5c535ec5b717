"""Volumes that are written come back as they were, where they were."""

import nibabel
import numpy as np
import pytest

from mlseg.io import volumes
from mlseg.io.volumes import Volume, nifti
from tests.io.volumes import made


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_a_volume_comes_back_as_it_was(tmp_path, ending, dtype):
  values = made.values().astype(dtype)
  volume = volumes.read(made.write_nifti(tmp_path / "one.nii", values))
  turned = volume.affine.copy()
  angle = 0.2  # an oblique one, which has no zeros that could hide a wrong axis
  turned[:3] = [
    [1, 0, 0],
    [0, np.cos(angle), -np.sin(angle)],
    [0, np.sin(angle), np.cos(angle)],
  ] @ (turned[:3])
  path = tmp_path / f"two{ending}"
  nifti.write(path, Volume(volume.values, turned))
  again = volumes.read(path)
  assert again.values.dtype == dtype
  np.testing.assert_array_equal(again.values, values)
  np.testing.assert_allclose(again.affine, turned, atol=1e-4)


def test_the_same_volume_gives_the_same_bytes(tmp_path):
  volume = volumes.read(made.write_nifti(tmp_path / "one.nii", made.values()))
  for name in ("a", "b"):
    (tmp_path / name).mkdir()
    nifti.write(tmp_path / name / "same.nii.gz", volume)
  first, second = (tmp_path / name / "same.nii.gz" for name in ("a", "b"))
  assert first.read_bytes() == second.read_bytes()


def test_a_picture_is_a_slice_that_reads_as_it_was_seen(tmp_path):
  values = np.arange(6, dtype=np.float32).reshape(2, 3)
  path = tmp_path / "map.nii.gz"
  path.write_bytes(nifti.to_bytes(nifti.plane(values, (0.5, 0.25))))
  again = volumes.read(path)
  np.testing.assert_array_equal(again.values[0], values)
  assert again.spacing == (1.0, 0.5, 0.25)
  # Columns go to the patient's left and rows to the back, as in an axial slice.
  assert nibabel.aff2axcodes(nibabel.load(path).affine) == ("L", "P", "S")
