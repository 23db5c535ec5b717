"""Picture files of every kind come back right or are refused by name."""

import numpy as np
import pytest
from PIL import Image

from mlseg.errors import UserError
from mlseg.io.pictures import files

GREY = np.arange(180, dtype=np.uint8).reshape(12, 15)


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_a_picture_is_refused_at_any_cut_and_any_damaged_byte(tmp_path, mode):
  path = tmp_path / "picture.png"
  rng = np.random.default_rng(0)
  Image.fromarray(rng.integers(0, 256, (12, 15)).astype(np.uint8)).convert(mode).save(path)
  whole = path.read_bytes()
  files.read(path)
  cuts = [whole[:length] for length in range(len(whole))]
  flips = [whole[:i] + bytes([whole[i] ^ 16]) + whole[i + 1 :] for i in range(len(whole))]
  for spoiled in cuts + flips:
    path.write_bytes(spoiled)
    for read in (files.read, files.read_mask):
      with pytest.raises(UserError, match=r"picture\.png"):
        read(path)


@pytest.mark.parametrize("suffix", ["bmp", "tif", "png"])
def test_lossless_pictures_come_back_as_they_are(tmp_path, suffix):
  colour = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], -1)
  for array in (GREY, colour):
    Image.fromarray(array).save(tmp_path / f"x.{suffix}")
    path = tmp_path / f"x.{suffix}"
    np.testing.assert_array_equal(files.read(path).pixels, array)
    np.testing.assert_array_equal(files.read_mask(path).values, array)


def test_a_cut_jpeg_is_refused(tmp_path):
  path = tmp_path / "x.jpg"
  Image.fromarray(GREY).save(path)
  path.write_bytes(path.read_bytes()[:-40])
  with pytest.raises(UserError, match=r"x\.jpg: is not a readable picture"):
    files.read(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
  with pytest.raises(UserError, match=r"x\.png: cannot be read \(No such file"):
    files.read(tmp_path / "x.png")
