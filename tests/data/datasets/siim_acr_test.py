"""SIIM-ACR: run lengths against a pixel-by-pixel decoder, DICOM files, tables, refusals."""

import io
import re
import sys

import numpy as np
import pydicom
import pytest
import tensorflow_datasets as tfds
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pydicom import encaps, uid

from mlseg.data import cases, prepare
from mlseg.data.datasets import siim_acr
from mlseg.errors import UserError
from mlseg.io.pictures import files
from mlseg.io.pictures.picture import Picture
from tests.data.layouts import picture

PARTIAL = siim_acr.SiimAcrOptions(complete=False)
SHAPE = (48, 40)


def _encode(mask):
  """Returns the run lengths of a mask as Kaggle's sample code for submissions makes them."""
  runs, gap, length = [], 0, 0
  for column in range(mask.shape[1]):
    for row in range(mask.shape[0]):
      if mask[row, column]:
        length += 1
        continue
      if length:
        runs += [gap, length]
        gap = length = 0
      gap += 1
  return " ".join(map(str, runs + [gap, length] * bool(length)))


def _decode_slowly(text, height, width):
  """Returns the mask of relative run lengths, pixel by pixel."""
  mask, place = np.zeros((height, width), bool), 0
  numbers = [int(number) for number in text.split()]
  while numbers:
    place += numbers.pop(0)
    for _ in range(numbers.pop(0)):
      mask[place % height, place // height] = True
      place += 1
  return mask


masks = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=12)).filter(np.any)


@given(masks)
def test_run_lengths_come_back_as_the_mask(mask):
  text = _encode(mask)
  np.testing.assert_array_equal(siim_acr.decode(text, *mask.shape, "row"), mask)
  np.testing.assert_array_equal(_decode_slowly(text, *mask.shape), mask)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), min_size=1, max_size=8))
def test_any_pairs_decode_as_pixel_by_pixel(pairs):  # gaps of 0 too, which no encoder makes
  text = "  ".join(f"{gap} {length}" for gap, length in pairs)
  np.testing.assert_array_equal(siim_acr.decode(text, 13, 12, "row"), _decode_slowly(text, 13, 12))


@pytest.mark.parametrize(
  ("text", "message"),
  [
    ("1 2 3", "row 7: run lengths must be pairs, not 3 numbers"),
    ("1 x", "row 7: run lengths must be whole numbers, not '1 x'"),
    ("", "row 7: run lengths must be pairs, not 0 numbers"),
    ("-1 2", "row 7: a run needs a gap of 0 or more"),
    ("1 0", "row 7: a run needs .* length of 1 or more"),
    ("10 3", "row 7: a run ends at pixel 13, outside of 3×4"),
  ],
)
def test_wrong_run_lengths_are_refused(text, message):
  with pytest.raises(UserError, match=message):
    siim_acr.decode(text, 3, 4, "row 7")
  assert siim_acr.decode("10 2", 3, 4, "row 7")[1:, 3].all()


def _dicom(path, pixels, patient, *, jpeg=False, interpretation="MONOCHROME2"):
  """Writes a radiograph as the download has them, JPEG in DICOM, or uncompressed."""
  dataset = pydicom.Dataset()
  dataset.file_meta = pydicom.dataset.FileMetaDataset()
  syntax = uid.JPEGBaseline8Bit if jpeg else uid.ExplicitVRLittleEndian
  dataset.file_meta.TransferSyntaxUID = syntax
  dataset.file_meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
  dataset.file_meta.MediaStorageSOPInstanceUID = path.stem
  dataset.SOPClassUID = uid.SecondaryCaptureImageStorage
  dataset.SOPInstanceUID = path.stem
  dataset.PatientID = patient
  dataset.Rows, dataset.Columns = pixels.shape
  dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
  dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
  dataset.HighBit = dataset.BitsStored - 1
  dataset.PhotometricInterpretation = interpretation
  content = pixels.tobytes()
  if jpeg:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95)
    content = encaps.encapsulate([buffer.getvalue()])
  dataset.PixelData = content
  dataset["PixelData"].VR = "OB" if jpeg else "OW"
  path.parent.mkdir(parents=True, exist_ok=True)
  dataset.save_as(path, enforce_file_format=True)


def _name(n):
  return f"1.2.276.0.7230010.3.1.4.8323329.{n}.1517875162.301989"


def _make(root, count=6):
  """Writes a small download: every third picture healthy, every second with two masks."""
  rng = np.random.default_rng(0)
  lines, images, unions = ["ImageId, EncodedPixels"], {}, {}
  for n in range(count):
    image, mask = picture(rng, SHAPE)
    other = np.roll(mask, 7, 1)
    path = root / siim_acr.FOLDER / f"2.1.{n}" / f"3.1.{n}" / f"{_name(n)}.dcm"
    _dicom(path, image, f"patient{n // 2}", jpeg=n == 1)
    own = [] if n % 3 == 0 else [mask, other][: 1 + n % 2]
    lines += [f"{_name(n)}, {_encode(one)}" for one in own] or [f"{_name(n)}, -1"]
    images[_name(n)], unions[_name(n)] = image, sum(own, np.zeros(SHAPE)) > 0
  (root / siim_acr.TABLE).write_text("\n".join(lines) + "\n")
  _dicom(root / siim_acr.FOLDER / "2.1.99" / "3.1.99" / "1.2.3.dcm", image, "not annotated")
  return images, unions


@pytest.fixture
def folder(tmp_path):
  _make(tmp_path / "download")
  return tmp_path / "download"


def _load(folder, size=48):
  cache = folder.parent / "cache"
  return cases.load(
    "siim_acr", root=str(folder), image_size=size, diameter=0, options=PARTIAL, cache=cache
  )


def test_pictures_masks_classes_and_patients(tmp_path):
  images, unions = _make(tmp_path / "siim")  # and from the folder above it
  source = siim_acr.open_source(tmp_path, PARTIAL)
  found = list(source.read())
  assert [one.id for one in found] == list(map(_name, range(6)))
  for one in found:
    np.testing.assert_array_equal(one.mask, unions[one.id])
    largest = np.abs(one.image.astype(int) - images[one.id]).max()
    assert largest == 0 if one.id != _name(1) else 0 < largest < 40
  data = _load(tmp_path / "siim")
  assert data.labels.tolist() == [0, 1, 1, 0, 1, 1]
  assert data.label_names == ("no pneumothorax", "pneumothorax")
  assert data.class_names == ("background", "pneumothorax")
  assert data.patients.tolist() == [0, 0, 1, 1, 2, 2]
  assert data.images.shape == (6, 48, 48, 1)
  assert data.masks.any((1, 2)).tolist() == [False, True, True, False, True, True]


def test_pictures_are_read_one_by_one(folder, monkeypatch):
  alive = []

  def read(path, scaling):
    alive.append(path)
    return Picture(np.zeros((2048, 2048), np.uint8), patient="x")

  monkeypatch.setattr(siim_acr.files, "read", read)
  pictures = siim_acr.open_source(folder, PARTIAL).read()
  assert alive == []
  next(pictures)
  assert len(alive) == 1


def test_inverted_radiographs_come_the_right_way_up(tmp_path):
  image, _ = picture(np.random.default_rng(0), SHAPE)
  _dicom(tmp_path / "1.2.dcm", image, "", interpretation="MONOCHROME1")
  found = files.read(tmp_path / "1.2.dcm")
  np.testing.assert_array_equal(found.pixels, 255 - image)
  assert found.patient == ""


def test_the_flat_layout_of_stage_2_is_read(folder):
  expected = _load(folder)
  inner = folder / siim_acr.FOLDER
  for path in list(inner.rglob("*.dcm")):
    path.rename(inner / path.name)
  assert _load(folder).fingerprint == expected.fingerprint


def test_more_than_8_bits_are_scaled_as_in_prediction(folder):
  path = _dicom_path(folder, 2)
  deep = (np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) * 30).astype(np.uint16)
  _dicom(path, deep, "")
  found = next(one for one in siim_acr.open_source(folder, PARTIAL).read() if one.id == _name(2))
  np.testing.assert_array_equal(found.image, files.read(path).pixels)


def test_the_builder_writes_what_is_loaded(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(siim_acr.SiimAcr.builder_configs["original"], "options", PARTIAL)
  builder = tfds.builder_from_directory(prepare.prepare("siim_acr", folder, tmp_path / "out"))
  rows = sorted(builder.as_data_source(split="train"), key=lambda row: row["id"])
  found = list(siim_acr.open_source(folder, PARTIAL).read())
  for row, one in zip(rows, found, strict=True):
    np.testing.assert_array_equal(row["image"][..., 0], one.image)
    np.testing.assert_array_equal(row["mask"][..., 0], one.mask)
    assert (row["id"].decode(), row["patient"].decode()) == (one.id, one.patient)
  assert "siim2019" in builder.info.citation


def _dicom_path(folder, n):
  return next((folder / siim_acr.FOLDER).rglob(f"{_name(n)}.dcm"))


def _replace(old, new):
  def spoil(folder):
    path = folder / siim_acr.TABLE
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))

  return spoil


def _again(folder):
  path = _dicom_path(folder, 1)
  (path.parent.parent / "again").mkdir()
  (path.parent.parent / "again" / path.name).write_bytes(path.read_bytes())


REFUSALS = {
  "header": (_replace("ImageId", "id"), r"must have the columns ImageId, EncodedPixels, not \["),
  "no value": (_replace(", -1", ","), r"row 2 must have two values"),
  "both": (
    _replace("\n", f"\n{_name(1)}, -1\n"),
    rf"row 4: {_name(1)} has both run lengths and -1",
  ),
  "runs": (_replace(f"{_name(1)}, ", f"{_name(1)}, 5 "), "row 3: run lengths must be pairs"),
  "outside": (_replace(f"{_name(1)}, ", f"{_name(1)}, 9999 1 "), "row 3: a run ends at pixel"),
  "no file": (lambda f: _dicom_path(f, 2).unlink(), rf"has no file {_name(2)}\.dcm"),
  "twice": (_again, r"\.dcm: is there a second time, as"),
  "damaged": (
    lambda f: _dicom_path(f, 2).write_bytes(_dicom_path(f, 2).read_bytes()[:-900]),
    r"\.dcm: is not a readable picture \(",
  ),
  "no DICOM": (lambda f: _dicom_path(f, 2).write_text("hello"), r"\.dcm: is not a DICOM file"),
  "no table": (lambda f: (f / siim_acr.TABLE).unlink(), "is not SIIM-ACR: it has no train-rle"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_wrong_is_refused_by_name(folder, name):
  spoil, message = REFUSALS[name]
  spoil(folder)
  with pytest.raises(UserError, match=message) as error:
    _load(folder)
  assert "\n" not in str(error.value)
  assert not list((folder.parent / "cache").glob("*"))


def test_a_part_is_refused_unless_it_is_asked_for(folder):
  message = "SIIM-ACR has 12047 pictures, but 6 are here; --config.data.siim_acr.complete=False"
  with pytest.raises(UserError, match=re.escape(message)):
    cases.load("siim_acr", root=str(folder), cache=folder.parent / "cache")


def test_a_missing_pydicom_is_named(folder, monkeypatch):
  monkeypatch.setitem(sys.modules, "pydicom", None)
  with pytest.raises(UserError, match=r"needs pydicom: pip install 'mlseg-jax\[dicom\]'"):
    _load(folder)
