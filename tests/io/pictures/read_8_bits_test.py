"""Picture files of every kind come back right or are refused by name."""

import numpy as np
import pytest
from PIL import Image

from mlseg.errors import UserError
from mlseg.io.pictures.files import read_8_bits

GREY = np.arange(180, dtype=np.uint8).reshape(12, 15)


@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_a_picture_is_refused_at_any_cut_and_any_damaged_byte(tmp_path, mode):
  path = tmp_path / "picture.png"
  rng = np.random.default_rng(0)
  Image.fromarray(rng.integers(0, 256, (12, 15)).astype(np.uint8)).convert(mode).save(path)
  whole = path.read_bytes()
  read_8_bits(path)
  cuts = [whole[:length] for length in range(len(whole))]
  flips = [whole[:i] + bytes([whole[i] ^ 16]) + whole[i + 1 :] for i in range(len(whole))]
  for spoiled in cuts + flips:
    path.write_bytes(spoiled)
    with pytest.raises(UserError, match=r"picture\.png"):
      read_8_bits(path)


@pytest.mark.parametrize("suffix", ["bmp", "tif", "png"])
def test_lossless_pictures_come_back_as_they_are(tmp_path, suffix):
  colour = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], -1)
  for array in (GREY, colour):
    Image.fromarray(array).save(tmp_path / f"x.{suffix}")
    np.testing.assert_array_equal(read_8_bits(tmp_path / f"x.{suffix}"), array)


def test_a_cut_jpeg_is_refused(tmp_path):
  path = tmp_path / "x.jpg"
  Image.fromarray(GREY).save(path)
  path.write_bytes(path.read_bytes()[:-40])
  with pytest.raises(UserError, match=r"x\.jpg: is not a readable picture"):
    read_8_bits(path)


def test_a_palette_gives_colours_or_indices(tmp_path):
  picture = Image.fromarray((GREY % 3).astype(np.uint8), "L").convert("P")
  picture.putdata((GREY % 3).ravel().tolist())
  picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
  picture.save(tmp_path / "x.png")
  indices = read_8_bits(tmp_path / "x.png", palette_index=True)
  np.testing.assert_array_equal(indices, GREY % 3)
  colours = read_8_bits(tmp_path / "x.png")
  assert colours[0, :3].tolist() == [[0, 0, 0], [255, 0, 0], [0, 255, 0]]


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_more_than_8_bits_are_refused(tmp_path, dtype):
  Image.fromarray(GREY.astype(dtype)).save(tmp_path / "x.tif")
  with pytest.raises(UserError, match=r"x\.tif: has more than 8 bits"):
    read_8_bits(tmp_path / "x.tif")


def test_a_file_that_is_not_there_is_named(tmp_path):
  with pytest.raises(UserError, match=r"x\.png: cannot be read \(No such file"):
    read_8_bits(tmp_path / "x.png")
