"""Cohorts: volumes of patients as tall pictures, from NIfTI and DICOM, and what is refused."""

import numpy as np
import pytest

from mlseg.data import cases, padding
from mlseg.data.datasets import cohort
from mlseg.errors import UserError
from mlseg.io.volumes import Volume
from tests.io.volumes import made

OPTIONS = cohort.CohortOptions(
  spacing=(0.0, 0.0, 0.0), margin=100.0, slices=4, window=(-1000.0, 1000.0)
)


def _volume(values, spacing=(5.0, 1.0, 1.0)):
  return Volume(np.asarray(values), np.diag([*spacing, 1.0]))


def _lesion(shape, *boxes):
  lesion = np.zeros(shape, bool)
  for box in boxes:
    lesion[tuple(slice(low, high) for low, high in box)] = True
  return lesion


def test_the_slices_of_a_lesion_lie_one_below_the_other_around_its_middle():
  values = np.arange(3 * 9 * 11).reshape(3, 9, 11).astype(np.int16)
  lesion = _lesion(values.shape, ((0, 1), (2, 5), (4, 7)), ((2, 3), (3, 4), (5, 6)))
  options = OPTIONS._replace(window=(0.0, 255.0), slices=3)
  picture, mask = cohort.tall(_volume(values), _volume(lesion), options, 4)
  assert picture.shape == mask.shape == (12, 4)
  # Rows 2 to 4 and columns 4 to 6: parts of four begin half a pixel before their middle.
  expected = np.maximum(np.clip(values[[0, 2], 1:5, 3:7], 0, 255), cohort.AIR)
  np.testing.assert_array_equal(picture[:8].reshape(2, 4, 4), expected)
  np.testing.assert_array_equal(mask[:8].reshape(2, 4, 4), lesion[[0, 2], 1:5, 3:7])
  assert not picture[8:].any()
  assert (mask[8:] == padding.IGNORED).all()


def test_of_many_slices_some_are_taken_evenly():
  values = np.broadcast_to(np.arange(0, 200, 10).reshape(20, 1, 1), (20, 5, 5))
  lesion = _lesion(values.shape, ((3, 16), (2, 3), (2, 3)))
  options = OPTIONS._replace(window=(0.0, 255.0))
  picture, _ = cohort.tall(_volume(values), _volume(lesion), options, 3)
  assert picture.reshape(4, 3, 3)[:, 1, 1].tolist() == [30, 70, 110, 150]  # slices 3, 7, 11, 15


def test_beyond_the_volume_and_the_margin_there_is_air():
  values = np.full((1, 6, 6), 500, np.int16)
  lesion = _lesion(values.shape, ((0, 1), (0, 2), (3, 5)))
  picture, mask = cohort.tall(
    _volume(values), _volume(lesion), OPTIONS._replace(margin=1.0, slices=1), 8
  )
  inside = np.zeros((8, 8), bool)
  # The lesion's middle is that of the picture: rows 3 and 4, columns 3 and 4. Above it the volume
  # ends; on the other sides there is one more millimetre.
  inside[3:6, 2:6] = True
  np.testing.assert_array_equal(picture > cohort.AIR, inside)
  assert picture.min() == cohort.AIR
  np.testing.assert_array_equal(np.argwhere(mask == 1), [[3, 3], [3, 4], [4, 3], [4, 4]])


def test_a_lesion_keeps_its_size_in_millimetres():
  fine = _lesion((4, 40, 40), ((0, 4), (10, 30), (16, 24)))
  image = _volume(np.zeros(fine.shape, np.int16), (2.5, 0.5, 0.5))
  options = OPTIONS._replace(spacing=(5.0, 1.0, 2.0))
  _, mask = cohort.tall(image, image._replace(values=fine), options, 32)
  seen = mask.reshape(4, 32, 32)
  there = (seen != padding.IGNORED).any((1, 2))
  assert there.tolist() == [True, True, False, False]  # 10 mm
  assert (seen[0] == 1).sum() == (20 * 0.5) * (8 * 0.5 / 2)


def _write(folder, *, series=False, empty=False):
  """Writes a cohort of two patients, one of them of few slices, as NIfTI or as DICOM."""
  rows = ["patient,image,mask,label,age"]
  for place, (name, label) in enumerate((("A", "yes"), ("B", "no"))):
    array = made.values((6, 24, 20), seed=place)
    lesion = _lesion(array.shape, ((1, 5 - 2 * place), (6, 15), (4, 12)))
    lesion &= not (empty and name == "B")
    paths = f"{name}{'' if series else '.nii.gz'}", f"{name}_mask{'' if series else '.nii.gz'}"
    for path, one in zip(paths, (array, lesion.astype(np.int16)), strict=True):
      write = made.write_series if series else made.write_nifti
      write(folder / path, one)
    rows.append(f"{name},{paths[0]},{paths[1]},{label},{'' if place else 70}")
  (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
  return folder


def _load(folder, options, cache, **kwargs):
  keys = {"image_size": 16, "diameter": 0} | kwargs
  return cases.load("cohort", root=str(folder), options=options, cache=cache, **keys)


def test_nifti_and_dicom_give_the_same_cohort_which_is_cached(tmp_path):
  options = OPTIONS._replace(spacing=(2.5, 1.0, 1.0))
  (tmp_path / "n").mkdir()
  (tmp_path / "d").mkdir()
  one = _load(_write(tmp_path / "n"), options, tmp_path / "cache")
  other = _load(_write(tmp_path / "d", series=True), options, tmp_path / "cache")
  for name in ("images", "masks", "labels", "covariates"):
    np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
  assert one.images.shape == (2, 4 * 16, 16, 1)
  assert one.label_names == ("no", "yes")
  assert one.labels.tolist() == [1, 0]
  assert one.covariate_names == ("age",)
  np.testing.assert_array_equal(one.covariates, [[70], [np.nan]])
  assert one.patients.tolist() == [0, 1]
  assert (one.masks[1].reshape(4, 256) == padding.IGNORED).all(1).tolist() == [0, 0, 1, 1]
  before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
  assert len(before) == 2
  again = _load(tmp_path / "n", options, tmp_path / "cache")
  assert again.fingerprint == one.fingerprint
  assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}


def test_the_positive_label_is_the_last(tmp_path):
  found = _load(_write(tmp_path), OPTIONS._replace(positive="no"), tmp_path / "cache")
  assert found.label_names == ("yes", "no")
  assert found.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"spacing": (1.0, 1.0)}, "cohort.spacing must be 3 numbers"),
    ({"spacing": (1.0, 1.0, -1.0)}, "cohort.spacing must not be negative"),
    ({"window": (40.0, 40.0)}, "cohort.window must go from a lower to a higher value"),
    ({"margin": -1.0}, "cohort.margin must not be negative"),
    ({"slices": 0}, "cohort.slices must be at least 1"),
    ({"positive": "maybe"}, r"a label of the manifest \(no, yes\), not 'maybe'"),
    ({"manifest": "other.csv"}, r"other\.csv: cannot be read"),
    ({"spacing": (90.0, 90.0, 90.0), "margin": 0.0}, None),
  ],
)
def test_wrong_options_are_named(tmp_path, changes, message):
  options = OPTIONS._replace(**changes)
  if message is None:  # coarse, but one voxel is left of every lesion
    assert _load(_write(tmp_path), options, tmp_path / "cache").masks.any()
    return
  with pytest.raises(UserError, match=message):
    _load(_write(tmp_path), options, tmp_path / "cache")


def test_what_is_wrong_with_a_patient_names_patient_and_file(tmp_path):
  (tmp_path / "cohort").mkdir()
  folder = _write(tmp_path / "cohort", empty=True)
  with pytest.raises(UserError, match=r"^patient B: .*B_mask\.nii\.gz: has an empty mask"):
    _load(folder, OPTIONS, tmp_path / "cache")
  made.write_nifti(folder / "B_mask.nii.gz", np.ones((6, 24, 21), np.int16))
  with pytest.raises(UserError, match=r"^patient B: .*B_mask\.nii\.gz: does not lie on the grid"):
    _load(folder, OPTIONS, tmp_path / "cache")
  made.write_nifti(folder / "B_mask.nii.gz", np.ones((6, 24, 20), np.int16))
  (folder / "A.nii.gz").write_bytes(b"nothing")
  with pytest.raises(UserError, match=r"^patient A: .*A\.nii\.gz: cannot be read as NIfTI"):
    _load(folder, OPTIONS, tmp_path / "cache")
  assert not (tmp_path / "cache").exists()


def test_filters_and_patches_are_refused(tmp_path):
  folder = _write(tmp_path)
  with pytest.raises(UserError, match="diameter must be 0 for volumes"):
    _load(folder, OPTIONS, tmp_path / "cache", diameter=5)
  with pytest.raises(UserError, match="patch_size must be 0"):
    _load(folder, OPTIONS, tmp_path / "cache", image_size=0)
