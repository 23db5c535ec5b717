"""Training and prediction see the same picture, whatever kind of file it is."""

import io

import cv2
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image

from mlseg.io.pictures import files
from mlseg.prediction import inference
from tests.data.layouts import load, picture, save
from tests.io.pictures.dicom_test import make_dataset

GREY, MASK = picture(np.random.default_rng(0), (40, 40))
DEEP = GREY.astype(np.uint16) * 16
COLOUR = np.stack([DEEP, DEEP // 2, DEEP[::-1]], -1)


def _pillow(pixels, kind, orientation=1, **options):
  exif, buffer = Image.Exif(), io.BytesIO()
  exif[0x0112] = orientation
  Image.fromarray(pixels).save(buffer, kind, exif=exif, **options)
  return buffer.getvalue()


def _tiff(pixels, **options):
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, pixels, **options)
  return buffer.getvalue()


def _dicom(bare=False, **tags):
  dataset, buffer = make_dataset(DEEP, **tags), io.BytesIO()
  if bare:
    whole, dataset = dataset, pydicom.Dataset()
    dataset.update({element.tag: element for element in whole})
  how = {"implicit_vr": True, "little_endian": True} if bare else {}
  pydicom.dcmwrite(buffer, dataset, enforce_file_format=not bare, **how)
  return buffer.getvalue()


RGBA = np.dstack([GREY, GREY, GREY, np.where(MASK, 255, 0)]).astype(np.uint8)
KINDS = {
  "turned jpeg": ("jpg", _pillow(GREY, "JPEG", 6)),
  "mirrored png": ("png", _pillow(GREY, "PNG", 2)),
  "turned tiff": ("tif", _pillow(GREY, "TIFF", 8)),
  "coloured png of 16 bits": ("png", cv2.imencode(".png", COLOUR[..., ::-1])[1].tobytes()),
  "coloured tiff of 16 bits": ("tif", _tiff(COLOUR, photometric="rgb")),
  "grey png of 16 bits": ("png", cv2.imencode(".png", DEEP)[1].tobytes()),
  "floats": ("tif", _tiff(DEEP / np.float32(7))),
  "stack": ("tif", _tiff(np.stack([GREY, GREY[::-1]]), photometric="minisblack")),
  "transparent": ("png", _pillow(RGBA, "PNG")),
  "palette": ("png", _pillow(np.asarray(Image.fromarray(GREY).quantize(16)), "PNG")),
  "white is 0": ("tif", _tiff(255 - GREY, photometric="miniswhite")),
  "dicom": ("dcm", _dicom(WindowCenter=1000, WindowWidth=1801)),
  "dicom without preamble": ("dcm", _dicom(bare=True)),
  "dicom with padding": ("dcm", _dicom(PixelPaddingValue=int(DEEP[0, 0]))),
}


@pytest.mark.parametrize("scaling", ["minmax", "range"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_training_and_prediction_see_the_same(tmp_path, kind, channels, scaling):
  suffix, content = KINDS[kind]
  path = tmp_path / f"data/images/a.{suffix}"
  path.parent.mkdir(parents=True)
  path.write_bytes(content)
  save(tmp_path / "data/masks/a.png", 255 * MASK)
  trained = load(
    tmp_path / "data", images=f"images/{{name}}.{suffix}", channels=channels, sixteen_bit=scaling
  )
  filtering = {"diameter": 0, "sigma_space": 2.0, "sigma_intensity": 25.0}
  predicted = inference.prepare(files.read(path, scaling).pixels, 32, channels, filtering)
  np.testing.assert_array_equal(trained.images[0], predicted)
  assert predicted.max() > predicted.min()
