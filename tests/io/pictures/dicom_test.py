"""DICOM files that pydicom writes are shown as the standard asks."""

import io

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, SecondaryCaptureImageStorage

from mlseg.errors import UserError
from mlseg.io.pictures import files as picture_files

VALUES = np.arange(13 * 22, dtype=np.uint16).reshape(13, 22) * 14  # 12 bits: up to 3990


def make_dataset(values, bits=12, **tags):
  dataset = Dataset()
  dataset.file_meta = FileMetaDataset()
  dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
  dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
  dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
  dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
  dataset.Rows, dataset.Columns = values.shape[:2]
  dataset.SamplesPerPixel = 3 if values.ndim == 3 else 1
  dataset.PhotometricInterpretation = "RGB" if values.ndim == 3 else "MONOCHROME2"
  if values.ndim == 3:
    dataset.PlanarConfiguration = 0
  dataset.BitsAllocated = 8 * values.dtype.itemsize
  dataset.BitsStored, dataset.HighBit = bits, bits - 1
  dataset.PixelRepresentation = int(values.dtype.kind == "i")
  dataset.PixelData = values.tobytes()
  for name, value in tags.items():
    setattr(dataset, name, value)
  return dataset


def _read(tmp_path, dataset, scaling="minmax"):
  buffer = io.BytesIO()
  pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
  path = tmp_path / "IM0001"
  path.write_bytes(buffer.getvalue())
  return picture_files.read(path, scaling)


def _shown(values, low, high):
  return np.interp(values.astype(float), [low, high], [0, 255]).round().astype(int)


def test_eight_bits_stay(tmp_path):
  grey = (VALUES % 251).astype(np.uint8)
  colour = np.stack([grey, 255 - grey, grey // 2], -1)
  np.testing.assert_array_equal(_read(tmp_path, make_dataset(grey, 8)).pixels, grey)
  np.testing.assert_array_equal(_read(tmp_path, make_dataset(colour, 8)).pixels, colour)


def test_one_bit_is_black_and_white(tmp_path):
  bits = (VALUES % 3 == 0)[:, :16].astype(np.uint8)
  packed = np.packbits(bits, bitorder="little").tobytes()
  dataset = make_dataset(bits, 1, BitsAllocated=1, PixelData=packed)
  np.testing.assert_array_equal(_read(tmp_path, dataset).pixels, 255 * bits)


def test_values_of_32_bits(tmp_path):
  pixels = _read(tmp_path, make_dataset(VALUES.astype(np.uint32) * 10**6, 32)).pixels
  np.testing.assert_array_equal(pixels, _shown(VALUES, 0, 3990))


def test_without_a_window_the_scaling_decides(tmp_path):
  pixels = _read(tmp_path, make_dataset(VALUES)).pixels
  np.testing.assert_array_equal(pixels, _shown(VALUES, 0, 3990))
  pixels = _read(tmp_path, make_dataset(VALUES), "range").pixels
  np.testing.assert_array_equal(pixels, _shown(VALUES, 0, 4095))


def test_a_rescaled_window_as_in_computed_tomography(tmp_path):
  dataset = make_dataset(
    VALUES, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=[40, 500], WindowWidth=[400, 9]
  )
  # PS3.3 C.11.2.1.2.1: from centre - 0.5 - (width - 1) / 2, over width - 1
  expected = _shown(VALUES.astype(int) - 1024, 39.5 - 199.5, 39.5 + 199.5)
  np.testing.assert_array_equal(_read(tmp_path, dataset).pixels, expected)


def test_signed_values_without_a_window(tmp_path):
  signed = VALUES.astype(np.int16) - 2000
  pixels = _read(tmp_path, make_dataset(signed), "range").pixels
  np.testing.assert_array_equal(pixels, _shown(signed, -2048, 2047))


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1000, "WindowWidth": 801}])
def test_low_values_are_bright_in_monochrome1(window, tmp_path):
  straight = _read(tmp_path, make_dataset(VALUES, **window)).pixels
  tags = window | {"PhotometricInterpretation": "MONOCHROME1"}
  np.testing.assert_array_equal(
    _read(tmp_path, make_dataset(VALUES, **tags)).pixels, 255 - straight
  )


def test_a_compression_that_needs_no_other_package(tmp_path):
  dataset = make_dataset(VALUES)
  dataset.compress(RLELossless)
  pixels = _read(tmp_path, dataset).pixels
  np.testing.assert_array_equal(pixels, _shown(VALUES, 0, 3990))


def test_the_spacing_of_the_patient_and_of_an_ultrasound_region(tmp_path):
  assert _read(tmp_path, make_dataset(VALUES)).spacing is None
  assert _read(tmp_path, make_dataset(VALUES, PixelSpacing=[0.5, 0.25])).spacing == (0.5, 0.25)
  assert _read(tmp_path, make_dataset(VALUES, ImagerPixelSpacing=[0.5, 0.25])).spacing is None
  region = Dataset()
  region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
  region.PhysicalDeltaX, region.PhysicalDeltaY = 0.01, 0.02
  one = make_dataset(VALUES, SequenceOfUltrasoundRegions=[region])
  assert _read(tmp_path, one).spacing == pytest.approx((0.2, 0.1))
  two = make_dataset(VALUES, SequenceOfUltrasoundRegions=[region, region])
  assert _read(tmp_path, two).spacing is None


def test_of_several_frames_the_first(tmp_path):
  frames = np.stack([VALUES, VALUES[::-1]])
  dataset = make_dataset(VALUES, NumberOfFrames=2, PixelData=frames.tobytes())
  picture = _read(tmp_path, dataset)
  assert picture.note == "the first of 2 frames"
  np.testing.assert_array_equal(picture.pixels, _shown(VALUES, 0, 3990))


def test_a_deflated_file_is_read_unless_it_unfolds_to_too_much(tmp_path, monkeypatch):
  dataset = make_dataset(VALUES)
  dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
  dataset.ImageComments = "x" * 10_000
  np.testing.assert_array_equal(_read(tmp_path, dataset).pixels, _shown(VALUES, 0, 3990))
  monkeypatch.setattr("mlseg.files.budget.UNFOLDED_BYTES", 9_000)
  with pytest.raises(UserError, match=r"IM0001: unfolds to \d+ bytes, more than the 9000"):
    picture_files.read(tmp_path / "IM0001")


@pytest.mark.filterwarnings("ignore")  # as the command does; no warning is what fails here
def test_a_broken_file_gives_a_message_of_one_line(tmp_path):
  buffer = io.BytesIO()
  pydicom.dcmwrite(buffer, make_dataset(VALUES), enforce_file_format=True)
  whole = buffer.getvalue()
  other = make_dataset(VALUES)
  other.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.80"  # JPEG-LS
  other.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xf7" + bytes(60)])
  other["PixelData"].is_undefined_length = True
  buffer = io.BytesIO()
  pydicom.dcmwrite(buffer, other, enforce_file_format=True)
  report = make_dataset(VALUES)
  del report.PixelData
  text = io.BytesIO()
  pydicom.dcmwrite(text, report, enforce_file_format=True)
  for content, expected in (
    (whole[:-100], ""),
    (whole[:200], ""),
    (b"no DICOM at all", ""),
    (buffer.getvalue(), "JPEG-LS"),
    (text.getvalue(), "is DICOM without a picture"),
  ):
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    with pytest.raises(UserError) as info:
      picture_files.read(path, "minmax")
    assert str(info.value).startswith(f"{path}: ")
    assert expected in str(info.value)
    assert "\n" not in str(info.value)


def test_without_pydicom_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
  dataset = make_dataset(VALUES)
  _read(tmp_path, dataset)
  monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
  with pytest.raises(UserError, match=r"pip install 'mlseg-jax\[dicom\]'"):
    picture_files.read(tmp_path / "IM0001", "minmax")
