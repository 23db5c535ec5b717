"""Every kind of picture file is read as it was written; broken files give one-line messages."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from mlseg.errors import UserError
from mlseg.io.pictures import files as picture_files
from mlseg.io.pictures.picture import to_eight_bits

GREY = np.random.default_rng(0).integers(0, 256, (13, 22), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (13, 22, 3), np.uint8)
DEEP = np.arange(13 * 22, dtype=np.uint16).reshape(13, 22) * 14  # 12 bits: up to 3990


def _scaled(values):
  """Returns least to largest as 0 to 255, in another way than the code."""
  values = values.astype(float)
  return np.interp(values, [values.min(), values.max()], [0, 255]).round().astype(np.uint8)


def _read(tmp_path, name, content, scaling="minmax"):
  path = tmp_path / name
  path.write_bytes(content)
  return picture_files.read(path, scaling)


def _bytes(pixels, kind, mode=None, **options):
  buffer = io.BytesIO()
  picture = Image.fromarray(pixels)
  (picture.convert(mode) if mode else picture).save(buffer, kind, **options)
  return buffer.getvalue()


def _tiff(pixels, **options):
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, pixels, **options)
  return buffer.getvalue()


def _alpha(pixels):
  """Returns RGBA with the transparency of every second column."""
  alpha = np.zeros(pixels.shape[:2], np.uint8)
  alpha[:, ::2] = 255
  return np.dstack([pixels, alpha])


PALETTE = Image.fromarray(COLOUR).quantize(16)
SAME = {
  "grey png": (_bytes(GREY, "PNG"), GREY),
  "coloured png": (_bytes(COLOUR, "PNG"), COLOUR),
  "rgba png": (_bytes(_alpha(COLOUR), "PNG"), COLOUR),
  "bmp": (_bytes(COLOUR, "BMP"), COLOUR),
  "grey bmp": (_bytes(GREY, "BMP"), GREY),
  "1-bit png": (_bytes(GREY > 127, "PNG"), (GREY > 127) * np.uint8(255)),
  "tiff": (_bytes(GREY, "TIFF"), GREY),
  "gif": (_bytes(GREY, "GIF"), np.dstack([GREY] * 3)),
  "webp": (_bytes(COLOUR, "WEBP", lossless=True), COLOUR),
  "pgm": (_bytes(GREY, "PPM"), GREY),
  "jpeg 2000": (_bytes(COLOUR, "JPEG2000", irreversible=False), COLOUR),
  "lzw tiff": (_bytes(COLOUR, "TIFF", compression="tiff_lzw"), COLOUR),
  "big tiff": (_tiff(GREY, bigtiff=True), GREY),
  "min is white": (_tiff(255 - GREY, photometric="miniswhite"), GREY),
  "deep min is white": (_tiff(DEEP.max() - DEEP, photometric="miniswhite"), _scaled(DEEP)),
  "16-bit png": (cv2.imencode(".png", DEEP)[1].tobytes(), _scaled(DEEP)),
  "16-bit tiff": (_tiff(DEEP), _scaled(DEEP)),
  "16-bit lzw tiff": (_bytes(DEEP, "TIFF", compression="tiff_lzw"), _scaled(DEEP)),
  "big endian": (_tiff(DEEP, byteorder=">"), _scaled(DEEP)),
  "signed tiff": (_tiff(DEEP.astype(np.int16) - 1000), _scaled(DEEP)),
  "float tiff": (_tiff(DEEP.astype(np.float32) / 7), _scaled(DEEP)),
  "coloured 16-bit tiff": (
    _tiff(COLOUR.astype(np.uint16) * 256, photometric="rgb"), _scaled(COLOUR)
  ),
  "planar 16-bit tiff": (
    _tiff(np.moveaxis(COLOUR, -1, 0).astype(np.uint16), photometric="rgb", planarconfig="separate"),
    _scaled(COLOUR),
  ),
  "coloured 16-bit png": (
    cv2.imencode(".png", COLOUR[..., ::-1].astype(np.uint16) * 200)[1].tobytes(), _scaled(COLOUR)
  ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_what_was_written_is_read(case, tmp_path):
  content, expected = SAME[case]
  picture = _read(tmp_path, "a.png", content)  # the content says what it is, not the name
  assert picture.pixels.dtype == np.uint8
  np.testing.assert_array_equal(picture.pixels, expected)
  assert (picture.spacing, picture.note) == (None, "")


def test_a_palette_gives_its_colours(tmp_path):
  buffer = io.BytesIO()
  PALETTE.save(buffer, "PNG")
  expected = np.array(PALETTE.getpalette()).reshape(-1, 3)[np.asarray(PALETTE)]
  np.testing.assert_array_equal(_read(tmp_path, "a.png", buffer.getvalue()).pixels, expected)


def test_a_jpeg_is_near_what_was_written(tmp_path):
  smooth = cv2.GaussianBlur(np.kron(GREY, np.ones((8, 8), np.uint8)), (0, 0), 8)
  pixels = _read(tmp_path, "a.jpg", _bytes(smooth, "JPEG", quality=95)).pixels
  assert np.abs(pixels.astype(int) - smooth).max() <= 4
  assert _read(tmp_path, "b.jpg", _bytes(COLOUR, "JPEG")).pixels.shape == COLOUR.shape


def test_the_range_of_the_type_keeps_pictures_comparable(tmp_path):
  pixels = _read(tmp_path, "a.tif", _tiff(DEEP), "range").pixels
  np.testing.assert_array_equal(pixels, np.rint(DEEP / 65535 * 255))
  signed = _read(tmp_path, "b.tif", _tiff(np.array([[-32768, 0, 32767]], np.int16)), "range")
  assert signed.pixels.tolist() == [[0, 128, 255]]


def test_values_that_are_no_numbers_are_dark():
  values = np.array([np.nan, 1.0, 3.0, np.inf, -np.inf])
  assert to_eight_bits(values, "minmax").tolist() == [0, 0, 255, 255, 0]
  assert to_eight_bits(np.full((2, 2), 700, np.uint16), "minmax").tolist() == [[0, 0], [0, 0]]
  assert to_eight_bits(np.full(2, np.nan), "minmax").tolist() == [0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "16-bit TIFF"])
def test_the_noted_orientation_is_applied(kind, orientation, tmp_path):
  grey = _scaled(DEEP)
  exif = Image.Exif()
  exif[0x0112] = orientation
  upright = Image.fromarray(grey)
  upright.getexif()[0x0112] = orientation
  expected = np.asarray(ImageOps.exif_transpose(upright))
  if kind == "16-bit TIFF":
    content = _tiff(DEEP, extratags=[(0x0112, "H", 1, orientation, True)])
  else:
    content = _bytes(grey, kind, exif=exif, **({"quality": 100} if kind == "JPEG" else {}))
  pixels = _read(tmp_path, "a", content).pixels
  assert pixels.shape == expected.shape
  assert np.abs(pixels.astype(int) - expected).max() <= (2 if kind == "JPEG" else 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_of_several_pages_the_first_is_read(dtype, tmp_path):
  pages = np.stack([GREY, 255 - GREY, GREY // 2]).astype(dtype)
  picture = _read(tmp_path, "a.tif", _tiff(pages, photometric="minisblack"))
  assert picture.note == "the first of 3 pages"
  np.testing.assert_array_equal(picture.pixels, GREY if dtype == np.uint8 else _scaled(GREY))


def _damaged():
  png = bytearray(_bytes(GREY, "PNG"))
  png[len(png) // 2] ^= 0xFF
  return bytes(png)


BROKEN = {
  "empty": (b"", "the file is empty"),
  "text": (b"hello, this is no picture at all", "is not a PNG, JPEG, BMP, TIFF, GIF, WebP"),
  "pcx": (_bytes(GREY, "PCX"), "is not a PNG"),
  "damaged png": (_damaged(), "is cut short or damaged"),
  "png without its end": (_bytes(GREY, "PNG")[:-12], "is cut short or damaged"),
  "half a png": (_bytes(GREY, "PNG")[:200], "is cut short or damaged"),
  "half a 16-bit png": (cv2.imencode(".png", DEEP)[1].tobytes()[:120], "is cut short or damaged"),
  "half a jpeg": (_bytes(COLOUR, "JPEG")[:500], "is not a readable picture"),
  "half a bmp": (_bytes(COLOUR, "BMP")[:300], "is not a readable picture"),
  "half a tiff": (_bytes(GREY, "TIFF")[:200], "is not a readable picture"),
  "half a 16-bit tiff": (_tiff(DEEP)[:400], "is not a readable picture"),
  "a signature": (b"\x89PNG\r\n\x1a\n", "is cut short or damaged"),
  "a signature of tiff": (b"II*\0" + bytes(8), "is not a readable picture"),
  "volume": (_tiff(np.zeros((16, 16, 16), np.uint16), volumetric=True, tile=(16, 16, 16)), "axes"),
}


@pytest.mark.filterwarnings("ignore")  # as the command does; no warning is what fails here
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_gives_a_message_of_one_line(case, tmp_path, capfd):
  content, expected = BROKEN[case]
  with pytest.raises(UserError) as info:
    _read(tmp_path, "a.png", content)
  text = str(info.value)
  assert text.startswith(f"{tmp_path / 'a.png'}: ")
  assert expected in text
  assert "\n" not in text
  assert "BytesIO" not in text
  assert capfd.readouterr() == ("", "")


def test_a_file_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr("mlseg.io.pictures.picture.MAX_PIXELS", 100)
  with pytest.raises(UserError, match="more than the 100 that are read"):
    _read(tmp_path, "a.tif", _tiff(DEEP))


def test_pictures_are_found_by_name_or_content(tmp_path):
  for name in ("a.png", "b/c.JPG", "b/d/IM0001", ".hidden.png", ".git/x.png", "out/masks/a.png"):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(_bytes(GREY, "PNG"))
  (tmp_path / "notes.txt").write_text("none")
  (tmp_path / "b" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
  (tmp_path / "broken.dcm").write_text("")
  (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
  found, num_others = picture_files.find(tmp_path, tmp_path / "out")
  names = [path.relative_to(tmp_path).as_posix() for path in found]
  assert names == ["a.png", "b/c.JPG", "b/d/IM0001", "broken.dcm", "gone.png"]
  assert num_others == 2
  assert picture_files.find(tmp_path / "notes.txt", tmp_path / "out") == (
    [tmp_path / "notes.txt"],
    0,
  )
  with pytest.raises(UserError, match=r"gone\.png: cannot be read \(No such file"):
    picture_files.read(tmp_path / "gone.png", "minmax")
  with pytest.raises(UserError, match=r"b: is not a file"):
    picture_files.read(tmp_path / "b", "minmax")
