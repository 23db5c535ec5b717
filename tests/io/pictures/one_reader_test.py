"""What the one reader of pictures changes or ignores is right, or refused, or said."""

import contextlib
import io

import cv2
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

from mlseg.errors import UserError
from mlseg.io.pictures import files, picture
from mlseg.io.pictures.dicom import WINDOW_IGNORED
from tests.io.pictures.dicom_test import VALUES, make_dataset

GREY = np.random.default_rng(0).integers(0, 256, (13, 22), np.uint8)
MASK = np.zeros((13, 22), bool)
MASK[3:8, 4:9] = True


def _saved(tmp_path, content, name="a.png"):
  path = tmp_path / name
  path.write_bytes(content)
  return path


def _bytes(image, kind="PNG", **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def _tiff(values, **options):
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, values, **options)
  return buffer.getvalue()


def _dicom(dataset):
  buffer = io.BytesIO()
  pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
  return buffer.getvalue()


def test_turned_masks_turn_as_their_pictures_do(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 6
  path = _saved(tmp_path, _bytes(Image.fromarray(MASK * np.uint8(255)), exif=exif))
  read, mask = files.read(path), files.read_mask(path)
  np.testing.assert_array_equal(read.pixels, np.rot90(MASK, -1) * np.uint8(255))
  np.testing.assert_array_equal(mask.values, read.pixels)
  assert read.changes == mask.changes == (picture.TURNED,)


def test_an_orientation_that_is_none_is_passed_over(tmp_path):
  exif = Image.Exif()
  exif[0x0112] = 77
  path = _saved(tmp_path, _bytes(Image.fromarray(GREY), exif=exif))
  assert files.read(path).changes == ()


def test_colours_of_16_bits_are_scaled_and_not_cut(tmp_path):
  deep = np.stack([VALUES, VALUES[::-1], VALUES // 2], -1)
  for name, content in (
    ("a.png", cv2.imencode(".png", deep[..., ::-1])[1].tobytes()),
    ("a.tif", _tiff(deep, photometric="rgb")),
  ):
    found = files.read(_saved(tmp_path, content, name))
    np.testing.assert_array_equal(found.pixels, np.rint(deep / deep.max() * 255))
    assert found.changes == (picture.SCALED,)


@pytest.mark.parametrize("bits", [8, 16])
def test_transparency_is_said(tmp_path, bits):
  alpha = np.where(MASK, 255, 0)
  values = np.dstack([GREY, GREY, GREY, alpha]).astype(np.uint8 if bits == 8 else np.uint16)
  values = values if bits == 8 else values * 257
  content = cv2.imencode(".png", values)[1].tobytes()
  assert picture.TRANSPARENT in files.read(_saved(tmp_path, content)).changes
  values[..., 3] = values[..., 3].max()
  content = cv2.imencode(".png", values)[1].tobytes()
  assert picture.TRANSPARENT not in files.read(_saved(tmp_path, content)).changes


def test_colours_of_print_are_converted_and_it_is_said(tmp_path):
  content = _bytes(Image.fromarray(np.dstack([GREY] * 3)).convert("CMYK"), "TIFF")
  assert files.read(_saved(tmp_path, content, "a.tif")).changes == (picture.CONVERTED,)


def test_a_mask_that_is_only_transparency_is_refused(tmp_path):
  values = np.zeros((13, 22, 4), np.uint8)
  values[..., 3] = MASK * 255
  with pytest.raises(UserError, match=r"a\.png: is a mask whose shape is in its transparency"):
    files.read_mask(_saved(tmp_path, _bytes(Image.fromarray(values))))


def test_masks_are_read_as_they_are_stored(tmp_path):
  palette = Image.fromarray(MASK.astype(np.uint8), "P")
  palette.putpalette([0, 0, 0, 128, 0, 0])
  found = files.read_mask(_saved(tmp_path, _bytes(palette)))
  np.testing.assert_array_equal(found.indices, MASK)
  np.testing.assert_array_equal(found.values[MASK], [[128, 0, 0]] * MASK.sum())
  deep = files.read_mask(_saved(tmp_path, _tiff(MASK * np.uint16(700)), "a.tif"))
  np.testing.assert_array_equal(deep.values, MASK * 700)
  dataset = make_dataset(MASK.astype(np.uint8), 8, WindowCenter=9, WindowWidth=3)
  np.testing.assert_array_equal(files.read_mask(_saved(tmp_path, _dicom(dataset))).values, MASK)


def test_masks_where_0_is_white_are_inverted_and_it_is_said(tmp_path):
  found = files.read_mask(_saved(tmp_path, _tiff(MASK), "a.tif"))  # tifffile writes it so
  assert found.changes == (picture.WHITE_IS_ZERO,)
  np.testing.assert_array_equal(found.values, 255 * ~MASK)


def test_a_mask_of_several_pages_is_refused_and_of_a_picture_the_first_is_said(tmp_path):
  path = _saved(tmp_path, _tiff(np.stack([GREY, GREY]), photometric="minisblack"), "a.tif")
  assert files.read(path).note == "the first of 2 pages"
  with pytest.raises(UserError, match=r"a\.tif: is a mask with more than one picture"):
    files.read_mask(path)


def test_a_picture_without_finite_values_is_refused_and_some_are_said(tmp_path):
  values = np.full((4, 5), np.nan, np.float32)
  with pytest.raises(UserError, match=r"a\.tif: has no finite value"):
    files.read(_saved(tmp_path, _tiff(values), "a.tif"))
  values[0, 0], values[1, 1] = 1, 3
  found = files.read(_saved(tmp_path, _tiff(values), "a.tif"))
  assert picture.NOT_FINITE in found.changes
  assert found.pixels.max() == found.pixels[1, 1] == 255


def _bare(dataset):
  """Returns a DICOM file without the 128 bytes, 'DICM' and the elements about the file."""
  bare = pydicom.Dataset()
  bare.update({element.tag: element for element in dataset})
  buffer = io.BytesIO()
  pydicom.dcmwrite(buffer, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
  return buffer.getvalue()


@pytest.mark.parametrize("name", ["a.dcm", "IM0001"])
def test_dicom_without_a_preamble_is_read(tmp_path, name):
  dataset = make_dataset(VALUES, WindowCenter=1000, WindowWidth=801, Modality="DX")
  whole = files.read(_saved(tmp_path, _dicom(dataset), "whole"))
  bare = files.read(_saved(tmp_path, _bare(dataset), name))
  np.testing.assert_array_equal(bare.pixels, whole.pixels)
  found, others = files.find(tmp_path, tmp_path / "out")
  assert (len(found), others) == (2, 0)


@pytest.mark.parametrize("tags", [{}, {"WindowCenter": 1000, "WindowWidth": 801}])
@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_pixels_outside_of_the_picture_are_black_and_do_not_count(tmp_path, tags, interpretation):
  tags = tags | {"PhotometricInterpretation": interpretation}
  values = VALUES.astype(np.int16)
  values[:, :2] = values[:, 2:3]  # so that the limits are those of the others
  plain = files.read(_saved(tmp_path, _dicom(make_dataset(values, 16, **tags)))).pixels
  values[:, :2] = -2000
  padded = make_dataset(values, 16, PixelPaddingValue=-2000, **tags)
  found = files.read(_saved(tmp_path, _dicom(padded))).pixels
  np.testing.assert_array_equal(found[:, 2:], plain[:, 2:])
  assert not found[:, :2].any()


@pytest.mark.parametrize(
  "tags",
  [
    {"WindowCenter": 1500, "WindowWidth": 0},
    {"WindowCenter": 0.5, "WindowWidth": 0.9},
  ],
)
def test_a_window_that_cannot_be_used_is_ignored_and_said(tmp_path, tags):
  plain = files.read(_saved(tmp_path, _dicom(make_dataset(VALUES))))
  found = files.read(_saved(tmp_path, _dicom(make_dataset(VALUES, **tags))))
  np.testing.assert_array_equal(found.pixels, plain.pixels)
  assert found.changes == (WINDOW_IGNORED,)


@pytest.mark.parametrize("spacing", [[0.25], [0.25, 0.25, 1], [0.25, 0]])
def test_a_spacing_that_is_not_two_numbers_is_not_known(tmp_path, spacing):
  found = files.read(_saved(tmp_path, _dicom(make_dataset(VALUES, PixelSpacing=spacing))))
  assert found.spacing is None


def test_a_slope_that_is_not_finite_is_refused(tmp_path):
  content = _dicom(make_dataset(VALUES, RescaleSlope="1234", RescaleIntercept=0))
  with pytest.raises(UserError, match="RescaleSlope must be a finite number"):
    files.read(_saved(tmp_path, content.replace(b"1234", b"nan ")))


def test_names_with_control_characters_are_shown_without_them(tmp_path):
  path = _saved(tmp_path, b"", "a\x1b[31m\n.png")
  with pytest.raises(UserError) as caught:
    files.read(path)
  assert str(caught.value) == f"{tmp_path}/a?[31m .png: the file is empty"


def test_large_pictures_are_decoded_one_at_a_time():
  budget = files._Budget(100)
  with budget.taken(60), budget.taken(40):
    assert budget._free == 0
  with budget.taken(10**9):
    assert budget._free == 0
  assert budget._free == 100


def test_a_picture_that_unfolds_to_too_much_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr("mlseg.files.budget.UNFOLDED_BYTES", 500)
  with pytest.raises(UserError, match=r"a\.png: unfolds to 858 bytes, more than the 500"):
    files.read(_saved(tmp_path, _bytes(Image.fromarray(np.dstack([GREY] * 3)))))
  files.read(_saved(tmp_path, _bytes(Image.fromarray(GREY))))


def test_libraries_log_nothing_about_a_damaged_file(tmp_path, caplog):
  content = _tiff(GREY, software="x" * 30)
  for at in range(8, 180, 7):
    spoiled = bytearray(content)
    spoiled[at : at + 2] = b"\xf0\x7f"
    with contextlib.suppress(UserError):
      files.read(_saved(tmp_path, bytes(spoiled), "a.tif"))
  assert caplog.records == []
