"""PANDA: tiled TIFF of several levels, both schemes of masks, tiles, and what must be refused."""

import re

import numpy as np
import pytest
import tensorflow_datasets as tfds
import tifffile

from mlseg.data import cases, prepare
from mlseg.data.datasets import panda
from mlseg.errors import UserError
from mlseg.io.pictures import slides
from tests.data.layouts import write_table

HEIGHT, WIDTH = 512, 768  # of level 0; levels are 1, 4 and 16 times smaller
OPTIONS = panda.PandaOptions(level=1, tile=48, max_tiles=0, complete=False)
SLIDES = {  # provider, ISUP grade, Gleason score
  "00a0": ("karolinska", 0, "0+0"),
  "00b1": ("radboud", 4, "4+4"),
  "00c2": ("radboud", 0, "negative"),
}


def _write(path, level_0, *, photometric="rgb", compression, subifds=False):
  """Writes a pyramid: levels as pages, as published, or below the first page."""
  path.parent.mkdir(parents=True, exist_ok=True)
  with tifffile.TiffWriter(path) as writer:
    for n, step in enumerate((1, 4, 16)):
      options = {"subifds": 2} if subifds and n == 0 else {}
      if subifds and n:
        options["subfiletype"] = 1
      writer.write(
        np.ascontiguousarray(level_0[::step, ::step]), tile=(32, 64), photometric=photometric,
        compression=compression, metadata=None, **options,
      )  # fmt: skip


def _slide(number):
  """Returns a slide with tissue in its left two thirds, and values of a mask from 0 to 5 there."""
  rng = np.random.default_rng(number)
  coarse = rng.integers(0, 5 + 1, (HEIGHT // 16, WIDTH // 16)).astype(np.uint8)
  values = coarse.repeat(16, 0).repeat(16, 1)
  stained = np.zeros((HEIGHT, WIDTH), bool)
  stained[:, :512] = True
  image = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
  shades = rng.integers(0, 60, (HEIGHT // 16, WIDTH // 16)).repeat(16, 0).repeat(16, 1)
  image[stained] = np.stack([220 - shades, 130 - shades, 190 - shades], -1)[stained]
  return image, values * stained


def _make(root, compressions=("zlib", "lzw"), subifds=False):
  """Writes a small download; returns the slides and the values of their masks."""
  rows, written = [], {}
  for number, (name, (provider, grade, score)) in enumerate(SLIDES.items()):
    image, values = _slide(number)
    if provider == "karolinska":
      values %= 3
    colours = np.stack([values, 0 * values, 0 * values], -1)  # as published: the red channel
    images, masks = (root / folder for folder in panda.FOLDERS)
    _write(images / f"{name}.tiff", image, compression=compressions[0], subifds=subifds)
    _write(masks / f"{name}_mask.tiff", colours, compression=compressions[1], subifds=subifds)
    rows.append([name, provider, grade, score])
    written[name] = image[::4, ::4], values[::4, ::4]
  rows.append(["00d3", "karolinska", 1, "3+3"])  # a slide without a mask
  _write(root / panda.FOLDERS[0] / "00d3.tiff", image, compression="zlib")
  header = ["image_id", "data_provider", "isup_grade", "gleason_score"]
  write_table(root / panda.TABLE, header, rows)
  return written


@pytest.fixture
def folder(tmp_path):
  _make(tmp_path / "download")
  return tmp_path / "download"


def _read(root, **changes):
  return list(panda.open_source(root, OPTIONS._replace(**changes)).read())


@pytest.mark.parametrize("subifds", [False, True])
def test_tiles_are_parts_of_the_level_padded_at_the_edges(tmp_path, subifds):
  written = _make(tmp_path, subifds=subifds)
  tiles = _read(tmp_path)
  # 128×192 in tiles of 48: three rows, and of the columns the first three have tissue.
  own = [tile.id for tile in tiles if tile.patient == "00b1"]
  assert own == [f"00b1_{row}_{column}" for row in range(3) for column in range(3)]
  assert [tile.patient for tile in tiles] == [name for name in SLIDES for _ in range(9)]
  for tile in tiles:
    row, column = map(int, tile.id.split("_")[1:])
    image, values = written[tile.patient]
    image = np.pad(image, ((0, 48), (0, 48), (0, 0)), constant_values=255)
    place = np.s_[48 * row : 48 * row + 48, 48 * column : 48 * column + 48]
    np.testing.assert_array_equal(tile.image, image[place])
    if tile.patient == "00a0":
      np.testing.assert_array_equal(tile.mask, np.pad(values, ((0, 48), (0, 48)))[place])
    assert tile.label == f"ISUP {SLIDES[tile.patient][1]}"


@pytest.mark.parametrize(("scheme", "benign"), [("common", "benign"), ("binary", "background")])
def test_both_schemes_become_the_same_classes(folder, tmp_path, scheme, benign):
  written = _make(tmp_path / "again")
  expected = {  # written out, pixel by pixel
    "karolinska": {0: "background", 1: benign, 2: "cancer"},
    "radboud": {0: "background", 1: benign, 2: benign, 3: "cancer", 4: "cancer", 5: "cancer"},
  }
  seen = {provider: set() for provider in expected}
  for tile in _read(folder, classes=scheme):
    if tile.id.endswith("_0_0"):
      provider, values = SLIDES[tile.patient][0], written[tile.patient][1][:48, :48]
      seen[provider] |= set(np.unique(values).tolist())
      for value in np.unique(values):
        (own,) = np.unique(tile.mask[values == value])
        assert panda.CLASS_NAMES[scheme][own] == expected[provider][value]
  assert seen == {provider: set(values) for provider, values in expected.items()}


def test_cancer_against_the_rest_is_loaded_from_both_providers(folder, tmp_path):
  data = cases.load(
    "panda", root=str(folder), image_size=24, diameter=0, cache=tmp_path / "cache",
    options=OPTIONS._replace(classes="binary"),
  )  # fmt: skip
  assert data.class_names == ("background", "cancer")
  assert len(data.images) == 27  # of the three slides
  for start in (0, 9, 18):  # of each slide
    assert set(np.unique(data.masks[start : start + 9])) == {0, 1}


def test_gleason_patterns_are_those_of_radboud(folder, tmp_path):
  written = _make(tmp_path / "again")
  tiles = _read(folder, provider="radboud", classes="gleason")
  assert {tile.patient for tile in tiles} == {"00b1", "00c2"}
  np.testing.assert_array_equal(tiles[0].mask, written["00b1"][1][:48, :48])


def test_jpeg_slides_are_read(tmp_path):
  written = _make(tmp_path, ("jpeg", "lzw"))
  tile = _read(tmp_path)[0]
  assert np.abs(tile.image.astype(int) - written["00a0"][0][:48, :48]).mean() < 8


def test_a_slide_is_never_read_whole(folder, monkeypatch):
  read, whole = [], tifffile.TiffPage.asarray
  tile_of = slides._read_tile

  def asarray(page, *arguments, **options):
    assert page.imagewidth == WIDTH // 16  # the overview
    return whole(page, *arguments, **options)

  def read_tile(page, index):
    read.append((page.imagewidth, index))
    return tile_of(page, index)

  monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
  monkeypatch.setattr(slides, "_read_tile", read_tile)
  tiles = panda.open_source(folder, OPTIONS._replace(level=0, tile=64, max_tiles=1)).read()
  assert read == []
  next(tiles)
  # A tile of 64 lies in two of the 32×64 of the file, which has 16 × 12; so does that of the mask.
  assert len(read) == 4
  assert {width for width, _ in read} == {WIDTH}


def test_tiles_with_little_tissue_are_dropped_and_only_the_best_kept(folder):
  assert len(_read(folder, max_tiles=2)) == 3 * 2
  # The third column of tiles has tissue in 32 of 48, the third row has 32 of 48 within the slide.
  assert {tile.id[4:] for tile in _read(folder, min_tissue=0.5)} == {
    f"_{row}_{column}" for row in range(3) for column in range(3) if (row, column) != (2, 2)
  }  # fmt: skip
  assert {tile.id[4:] for tile in _read(folder, min_tissue=1.0)} == {
    f"_{row}_{column}" for row in range(2) for column in range(2)
  }  # fmt: skip


def test_the_data_set_in_memory(folder, tmp_path):
  data = cases.load(
    "panda", root=str(folder), image_size=24, diameter=0, options=OPTIONS, cache=tmp_path / "cache"
  )
  assert data.images.shape == (27, 24, 24, 3)
  assert data.label_names == ("ISUP 0", "ISUP 4")
  assert data.labels.tolist() == [0] * 9 + [1] * 9 + [0] * 9
  assert data.patients.tolist() == np.repeat([0, 1, 2], 9).tolist()
  assert data.class_names == ("background", "benign", "cancer")
  assert set(np.unique(data.masks)) == {0, 1, 2}
  assert data.duplicate_bits == -1


def test_the_builder_writes_what_is_loaded(folder, tmp_path, monkeypatch):
  for name, own in panda.Panda.builder_configs.items():
    options = own.options._replace(level=1, tile=48, complete=False)
    monkeypatch.setattr(own, "options", options)
    builder = tfds.builder_from_directory(prepare.prepare("panda", folder, tmp_path / "out", name))
    rows = {row["id"].decode(): row for row in builder.as_data_source(split="train")}
    found = list(panda.open_source(folder, options).read())
    assert len(rows) == len(found) == (16 if name == "gleason" else 24)  # at most 8 a slide
    for one in found:
      np.testing.assert_array_equal(rows[one.id]["image"], one.image)
      np.testing.assert_array_equal(rows[one.id]["mask"][..., 0], one.mask)
      assert panda.LABELS[rows[one.id]["label"]] == one.label
      assert rows[one.id]["patient"].decode() == one.patient


def _rewrite(folder, kind, name, array, **options):
  path = folder / panda.FOLDERS[kind] / f"{name}{('', '_mask')[kind]}.tiff"
  _write(path, array, **{"compression": "zlib", **options})


def _cut(kind):
  def spoil(folder):
    path = folder / panda.FOLDERS[kind] / f"00b1{('', '_mask')[kind]}.tiff"
    with tifffile.TiffFile(path) as file:
      offset = file.pages[1].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = bytes(40)
    path.write_bytes(bytes(content))

  return spoil


def _table(old, new):
  def spoil(folder):
    path = folder / panda.TABLE
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))

  return spoil


def _flat(folder):
  tifffile.imwrite(folder / panda.FOLDERS[0] / "00b1.tiff", np.full((64, 64, 3), 90, np.uint8))


def _stripped(folder):
  path = folder / panda.FOLDERS[0] / "00b1.tiff"
  image = _slide(1)[0]
  with tifffile.TiffWriter(path) as writer:
    for step in (1, 4, 16):
      writer.write(np.ascontiguousarray(image[::step, ::step]), photometric="rgb", metadata=None)


REFUSALS = {
  "no slide": (
    lambda f: (f / panda.FOLDERS[0] / "00b1.tiff").unlink(), r"train_images has no file 00b1\.tiff"
  ),
  "no row": (_table("00b1", "00e1"), r"has no file 00e1\.tiff"),
  "row": (_table("00d3,karolinska,1,3+3", ""), r"00d3\.tiff: has no row in train\.csv"),
  "grade": (_table("radboud,4", "radboud,6"), "00b1 must be of .* not 'radboud' with '6'"),
  "provider": (_table("karolinska,0", "oslo,0"), "00a0 must be of .* not 'oslo' with '0'"),
  "value": (
    lambda f: _rewrite(f, 1, "00a0", np.full((HEIGHT, WIDTH, 3), 4, np.uint8)),
    r"00a0_mask\.tiff: has the value 4, but masks of karolinska have 0 to 2",
  ),
  "size": (
    lambda f: _rewrite(f, 1, "00a0", np.zeros((HEIGHT, 512, 3), np.uint8)),
    r"00a0_mask\.tiff: is 128×128 at level 1, but its slide is 128×192",
  ),
  "levels": (_flat, r"00b1\.tiff: has 1 levels, none of number config\.data\.panda\.level 1"),
  "strips": (_stripped, r"00b1\.tiff: must be a TIFF in tiles"),
  "grey": (
    lambda f: _rewrite(f, 0, "00b1", _slide(1)[1], photometric="minisblack"),
    r"00b1\.tiff: must have three colours of 8 bits, not uint8 of shape \(32, 48\)",
  ),
  "no TIFF": (
    lambda f: (f / panda.FOLDERS[0] / "00b1.tiff").write_text("hello"),
    r"00b1\.tiff: is not a readable TIFF file \(TiffFileError: not a TIFF",
  ),
  "damaged slide": (_cut(0), r"00b1\.tiff: is not a readable TIFF file \("),
  "damaged mask": (_cut(1), r"00b1_mask\.tiff: is not a readable TIFF file \("),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_wrong_is_refused_by_name(folder, name):
  spoil, message = REFUSALS[name]
  spoil(folder)
  with pytest.raises(UserError, match=message) as error:
    _read(folder)
  assert str(error.value).count("\n") == (2 if name == "no row" else 0)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"provider": "oslo"}, "unknown config.data.panda.provider 'oslo': choose from all, karol"),
    ({"classes": "many"}, "unknown config.data.panda.classes 'many': choose from binary, common"),
    ({"classes": "gleason"}, "'gleason' needs config.data.panda.provider 'radboud'"),
    ({"level": -1}, "config.data.panda.level must be at least 0, not -1"),
    ({"level": 3}, "has 3 levels, none of number config.data.panda.level 3"),
    ({"tile": 4}, "config.data.panda.tile must be at least 8, not 4"),
    ({"max_tiles": -1}, "config.data.panda.max_tiles must be at least 0, not -1"),
    ({"min_tissue": 0.0}, "config.data.panda.min_tissue must be more than 0 and at most 1"),
    ({"complete": True}, "PANDA has 5456 karolinska slides, but 2 are here; --config.data.panda"),
  ],
)
def test_wrong_options_are_named(folder, options, message):
  with pytest.raises(UserError, match=re.escape(message)):
    _read(folder, **options)


def test_missing_imagecodecs_is_named(folder, monkeypatch):
  def decode(*_):
    raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

  monkeypatch.setattr(slides, "_read_tile", decode)
  with pytest.raises(UserError, match=r"needs imagecodecs: pip install 'mlseg-jax\[slides\]'"):
    _read(folder)
