"""Volumes: the same from NIfTI and DICOM, in place however they are stored; resampled, cropped."""

import itertools

import nibabel
import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.io import volumes
from mlseg.io.volumes import Volume
from tests.io.volumes import made


def test_nifti_and_dicom_give_the_same_volume(tmp_path):
  array = made.values()
  one = volumes.read(made.write_nifti(tmp_path / "v.nii.gz", array))
  other = volumes.read(made.write_series(tmp_path / "series", array))
  for volume in (one, other):
    np.testing.assert_array_equal(volume.values, array)
    assert volume.values.dtype == np.int16
    np.testing.assert_allclose(volume.spacing, made.SPACING, rtol=1e-6)
  np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)
  np.testing.assert_allclose(
    other.world(np.array([1, 0, 0])), [30, 20, 100 + made.SPACING[0]], atol=1e-9
  )
  volumes.check_same_grid(one, other, ("one", "other"))


def test_slopes_that_are_no_integers_are_kept(tmp_path):
  array = made.values() // 2 * 2
  found = volumes.read(made.write_series(tmp_path / "s", array / 4, slope=0.5, intercept=0))
  np.testing.assert_allclose(found.values, array / 4)
  assert found.values.dtype == np.float32


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("flips", [*itertools.product((False, True), repeat=3)])
def test_copies_that_are_stored_otherwise_are_the_same(tmp_path, order, flips):
  array, affine = made.values(), made.nifti_affine()
  whole = made.write_nifti(tmp_path / "v.nii", array)
  image = nibabel.load(whole)
  change = np.stack([order, np.where(flips, -1, 1)], axis=1)
  image.as_reoriented(change).to_filename(tmp_path / "other.nii")
  expected, found = volumes.read(whole), volumes.read(tmp_path / "other.nii")
  np.testing.assert_array_equal(found.values, expected.values)
  np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)
  # The same voxel of the file lies at the same place, by its own matrix.
  index = np.array([4, 7, 3])  # slice, row, column
  stored = nibabel.affines.apply_affine(affine, index[::-1])
  np.testing.assert_allclose(found.world(index), stored, atol=1e-4)


def test_an_anisotropic_copy_has_the_same_coordinates():
  shape, spacing = (9, 14, 15), np.array([2.0, 1.0, 0.5])
  affine = np.diag([*spacing, 1.0])[[2, 1, 0, 3]] * np.array([[-1], [-1], [1], [1]])
  affine[:3, 3] = (10, -20, 30)
  volume = Volume(np.zeros(shape, np.float32), affine)
  places = volume.world(np.stack(np.indices(shape), -1))
  linear = np.array([0.3, -0.7, 1.1])
  volume = volume._replace(values=(places @ linear).astype(np.float32))  # linear in the coordinates
  for wanted in ((1.0, 1.0, 1.0), (4.0, 0.9, 1.3), (0, 0, 2.0)):
    found = volumes.resample(volume, wanted)
    expected = np.where(np.array(wanted) > 0, wanted, spacing)
    np.testing.assert_allclose(found.spacing, expected, rtol=1e-12)
    sizes = np.array(shape) * spacing / expected
    np.testing.assert_allclose(found.values.shape, np.rint(sizes))
    index = np.stack(np.indices(found.values.shape), -1)
    own = (found.world(index) - volume.affine[:3, 3]) @ np.linalg.inv(volume.affine[:3, :3]).T
    within = ((own >= 0) & (own <= np.array(shape) - 1)).all(-1)
    assert within.mean() > 0.4
    expected = found.world(index) @ linear
    np.testing.assert_allclose(found.values[within], expected[within], atol=1e-3)


def test_masks_keep_their_numbers_when_resampled():
  mask = Volume(made.values((5, 6, 7)) % 3, np.diag([3.0, 1.0, 1.0, 1.0]))
  finer = volumes.resample(mask, (1.0, 1.0, 1.0), nearest=True)
  assert finer.values.dtype == np.int16
  np.testing.assert_array_equal(finer.values, np.repeat(mask.values, 3, axis=0))


def test_a_crop_lies_where_it_was(tmp_path):
  mask = np.zeros((6, 10, 12), np.uint8)
  mask[2:4, 3:5, 6:10] = 1
  volume = volumes.read(made.write_nifti(tmp_path / "m.nii", mask))
  box = volumes.lesion_box(volume, 1.0)  # mm: 1 slice of 2.5, 2 rows of 0.8, 2 columns of 0.7
  assert box == ((1, 1, 4), (5, 7, 12))
  cropped = volumes.crop_to(volume, box)
  np.testing.assert_array_equal(cropped.values, mask[1:5, 1:7, 4:12])
  np.testing.assert_allclose(
    cropped.world(np.array([1, 2, 2])), volume.world(np.array([2, 3, 6])), atol=1e-9
  )
  with pytest.raises(UserError, match="empty mask"):
    volumes.lesion_box(volume._replace(values=0 * mask), 1.0)


def test_other_grids_are_refused(tmp_path):
  array = made.values()
  volume = volumes.read(made.write_nifti(tmp_path / "a.nii", array))
  shifted = volume._replace(affine=volume.affine.copy())
  volumes.check_same_grid(volume, shifted, ("a", "b"))
  shifted.affine[0, 3] += 0.5
  for other, message in (
    (
      Volume(array[1:], volume.affine),
      "b: does not lie on the grid of a: 5×10×12 voxels, not 6×10",
    ),
    (shifted, "b: does not lie on the grid of a: corners are up to 0.5 mm apart"),
    (Volume(array, volume.affine * np.array([2, 1, 1, 1])), "slices 5 and 2.5 mm"),
  ):
    with pytest.raises(UserError, match=message):
      volumes.check_same_grid(volume, other, ("a", "b"))


def _duplicate(folder):
  made.write_slice(folder / "more.dcm", made.values()[0], 2, series=_series(folder))


def _mixed(folder):
  made.write_slice(folder / "more.dcm", made.values()[0], 9, series="1.2.3.4")


def _other_size(folder):
  made.write_slice(folder / "more.dcm", made.values()[0, 1:], 6, series=_series(folder))


def _tilted(folder):
  for path in folder.glob("*.dcm"):
    dataset = made.pydicom.dcmread(path)
    dataset.ImagePositionPatient[1] += dataset.ImagePositionPatient[2] / 5
    made.pydicom.dcmwrite(path, dataset)


def _series(folder):
  return made.pydicom.dcmread(folder / "000.dcm").SeriesInstanceUID


def _middle(folder):
  return next(
    path
    for path in folder.iterdir()
    if made.pydicom.dcmread(path).ImagePositionPatient[2] == 100 + 2 * made.SPACING[0]
  )


def _without_position(folder):
  dataset = made.pydicom.dcmread(folder / "000.dcm")
  del dataset.ImagePositionPatient
  made.pydicom.dcmwrite(folder / "000.dcm", dataset)


def _cut(folder):
  dataset = made.pydicom.dcmread(folder / "000.dcm")
  dataset.PixelData = dataset.PixelData[:20]
  made.pydicom.dcmwrite(folder / "000.dcm", dataset)


def _in_headers(old, new):
  """Returns a function that changes the bytes of one slice."""

  def damage(folder):
    path = folder / "000.dcm"
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new))

  return damage


def _changed(**tags):
  """Returns a function that writes one slice anew with other elements."""

  def damage(folder):
    dataset = made.pydicom.dcmread(folder / "000.dcm")
    for name, value in tags.items():
      setattr(dataset, name, value)
    made.pydicom.dcmwrite(folder / "000.dcm", dataset)

  return damage


@pytest.mark.filterwarnings("ignore")  # pydicom warns of what it reads
@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (_in_headers(b"0.8\\0.7", b"0,8\\0,7"), r"PixelSpacing must be 2 finite numbers, not \['0,8'"),
    (_in_headers(b"0.8\\0.7", b"0.8,0.7"), "PixelSpacing must be 2 finite numbers, not '0.8,0.7'"),
    (_changed(PixelSpacing=[0.8]), "PixelSpacing must be 2 finite numbers, not '0.8'"),
    (_changed(ImageOrientationPatient=[1, 0, 0, 0, 1]), "ImageOrientationPatient must be 6 finite"),
    (_changed(ImagePositionPatient=[-30, -20]), "ImagePositionPatient must be 3 finite numbers"),
    (
      _in_headers(b"-30.0\\-20.0", b"nan  \\-20.0"),
      "ImagePositionPatient must be 3 finite numbers",
    ),
    (_changed(RescaleSlope=[1, 2]), "RescaleSlope must be a finite number"),
  ],
)
def test_a_malformed_header_is_named_in_one_line(tmp_path, damage, message):
  folder = made.write_series(tmp_path / "s", made.values())
  damage(folder)
  with pytest.raises(UserError, match=rf"s: 000\.dcm: {message}") as caught:
    volumes.read(folder)
  assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_numbers_of_another_type_are_read(tmp_path):
  folder = made.write_series(tmp_path / "s", made.values())
  for path in folder.iterdir():
    dataset = made.pydicom.dcmread(path)
    dataset[0x00280030] = made.pydicom.DataElement(0x00280030, "UT", "0.8\\0.7")
    made.pydicom.dcmwrite(path, dataset)
  assert volumes.read(folder).spacing == pytest.approx(made.SPACING)


@pytest.mark.parametrize("count", [1, 6])
def test_slices_without_a_preamble_are_read(tmp_path, count):
  folder = made.write_series(tmp_path / "s", made.values())
  expected = volumes.read(folder)
  for path in sorted(folder.iterdir())[:count]:
    bare = made.pydicom.Dataset()
    bare.update({element.tag: element for element in made.pydicom.dcmread(path)})
    made.pydicom.dcmwrite(
      path, bare, implicit_vr=True, little_endian=True, enforce_file_format=False
    )
  found = volumes.read(folder)
  np.testing.assert_array_equal(found.values, expected.values)
  np.testing.assert_allclose(found.affine, expected.affine)


def test_voxels_outside_of_the_circle_get_the_least_value(tmp_path):
  array = made.values()
  padded = array.copy()
  padded[:, 0] = 3000
  folder = tmp_path / "s"
  folder.mkdir()
  for number, one in enumerate(padded):
    made.write_slice(folder / f"{number}.dcm", one, number, PixelPaddingValue=3000 + 1024)
  found = volumes.read(folder).values
  np.testing.assert_array_equal(found[:, 1:], array[:, 1:])
  assert (found[:, 0] == array[:, 1:].min()).all()


def test_messages_have_one_line_and_no_control_characters(tmp_path):
  path = tmp_path / "a\x1b\n.nii.gz"
  path.write_bytes(made.write_nifti(tmp_path / "v.nii.gz", made.values()).read_bytes()[:300])
  with pytest.raises(UserError, match="cannot be read as NIfTI") as caught:
    volumes.read(path)
  assert "\n" not in str(caught.value)
  assert "\x1b" not in str(caught.value)


def test_a_volume_that_unfolds_to_too_much_is_refused(tmp_path, monkeypatch):
  path = made.write_nifti(tmp_path / "v.nii.gz", np.zeros((60, 60, 60), np.int16))
  monkeypatch.setattr("mlseg.files.budget.UNFOLDED_BYTES", 400_000)
  with pytest.raises(UserError, match="unfolds to 432000 bytes, more than the 400000"):
    volumes.read(path)


@pytest.mark.parametrize(
  ("damage", "message"),
  [
    (lambda f: _middle(f).unlink(), r"s: has missing slices: .*\.dcm are 5 mm apart, others 2\.5"),
    (_duplicate, "has two slices at one position: .*more.dcm"),
    (_mixed, r"has mixed series: .* \(6 slices\), 1\.2\.3\.4 \(1 slices\)"),
    (_other_size, "has slices of different Rows: 10 in 000.dcm, 9 in more.dcm"),
    (_tilted, r"stacked at 11\.3° to their normal"),
    (_without_position, "000.dcm has no ImagePositionPatient"),
    (_cut, "000.dcm has no pixels"),
    (lambda f: [path.unlink() for path in f.iterdir()], "s: has no DICOM slices"),
  ],
)
def test_unsound_series_are_named(tmp_path, damage, message):
  folder = made.write_series(tmp_path / "s", made.values())
  (folder / "notes.txt").write_text("not DICOM")
  volumes.read(folder)
  damage(folder)
  with pytest.raises(UserError, match=message):
    volumes.read(folder)


def test_unsound_files_are_named(tmp_path):
  path = made.write_nifti(tmp_path / "v.nii.gz", made.values())
  (tmp_path / "cut.nii.gz").write_bytes(path.read_bytes()[:200])
  made.write_nifti(tmp_path / "nan.nii", np.full((3, 4, 5), np.nan, np.float32))
  nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5, 2)), np.eye(4)), tmp_path / "four.nii")
  nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 5)), None), tmp_path / "nowhere.nii")
  (tmp_path / "v.png").write_bytes(b"")
  for name, message in (
    ("cut.nii.gz", "cut.nii.gz: cannot be read as NIfTI"),
    ("nan.nii", "nan.nii: has values that are not finite"),
    ("four.nii", r"four.nii: must have three axes, not the shape \(3, 4, 5, 2\)"),
    ("nowhere.nii", "nowhere.nii: does not say where it lies"),
    ("v.png", "v.png: is neither NIfTI"),
    ("none.nii", "none.nii: does not exist"),
  ):
    with pytest.raises(UserError, match=message):
      volumes.read(tmp_path / name)


@pytest.mark.shared
def test_real_files_are_read(shared):
  folder = shared / "data" / "ct"
  liver = volumes.read(folder / "dicom_liver_3slices")
  assert liver.values.shape == (3, 512, 512)
  np.testing.assert_allclose(liver.spacing, (1.0, 0.810547, 0.810547), rtol=1e-5)
  np.testing.assert_allclose(liver.world(np.zeros(3)), (235.2, 226.8, -128.69), atol=1e-3)
  assert liver.values.min() == -1024  # air, also beyond the scanner's circle, where it is -3024
  assert 0 < np.median(liver.values[liver.values > -300]) < 150  # soft tissue
  for number in (1, 2):
    image, mask = (
      volumes.read(folder / f"lung{number}_{kind}.nii.gz") for kind in ("image", "mask")
    )
    volumes.check_same_grid(image, mask, ("image", "mask"))
    assert image.spacing[0] == pytest.approx(5)
    box = volumes.lesion_box(mask, 10)
    finer = volumes.resample(volumes.crop_to(image, box), (1, 1, 1))
    lesion = volumes.resample(volumes.crop_to(mask, box), (1, 1, 1), nearest=True)
    assert finer.values.shape == lesion.values.shape
    inside = finer.values[lesion.values > 0]
    assert -200 < np.median(inside) < 150  # soft tissue
    assert lesion.values.sum() == pytest.approx(mask.values.sum() * np.prod(mask.spacing), rel=0.02)


def test_windows_round_to_bytes():
  values = np.linspace(-1000, 1000, 4001)
  found = volumes.window(values, -160.0, 240.0)
  expected = np.rint((np.clip(values, -160, 240) + 160) / 400 * 255)
  assert found.dtype == np.uint8
  assert np.abs(found - expected).max() <= 1
  with pytest.raises(UserError, match="window must go from a lower to a higher value"):
    volumes.window(values, 3.0, 3.0)
