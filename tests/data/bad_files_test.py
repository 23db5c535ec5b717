"""One bad file among many: all are checked, all are listed, and they can be left out."""

import numpy as np
import pytest
from PIL import Image

from mlseg.console import Reporter
from mlseg.data import cases, findings
from mlseg.data.findings import Fault, Findings
from mlseg.errors import UserError
from mlseg.workdir import skipped_table
from tests.data.layouts import load, picture, plain, save


def _spoiled(root, count=6):
  """Writes a folder with five faults of different kinds, and returns their files."""
  plain(root, count=count + 5)
  cut = root / "images/2.png"
  cut.write_bytes(cut.read_bytes()[:-30])
  (root / "masks/4.png").write_text("no picture")
  save(root / "masks/5.png", np.zeros((10, 12)))
  (root / "images/7.png").unlink()
  (root / "masks/8.png").unlink()
  return ["images/2.png", "masks/4.png", "masks/5.png", "masks/7.png", "images/8.png"]


def test_all_bad_files_are_listed_before_anything_else(tmp_path):
  bad = _spoiled(tmp_path / "data")
  with pytest.raises(UserError) as caught:
    load(tmp_path / "data")
  first, *lines = str(caught.value).splitlines()
  assert first == "5 faults in the data (config.data.skip_bad=True leaves them out):"
  assert len(lines) == 5
  for name in bad:
    assert sum(f"{tmp_path}/data/{name}: " in line for line in lines) == 1
  assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_processes_find_the_same_cases_and_the_same_faults(tmp_path):
  _spoiled(tmp_path / "data")
  here, there = (
    load(tmp_path / "data", skip_bad=True, num_processes=number, cache=tmp_path / str(number))
    for number in (1, 2)
  )
  assert there.fingerprint == here.fingerprint
  assert there.skipped == here.skipped
  assert len(here.skipped) == 5
  np.testing.assert_array_equal(there.images, here.images)


def test_a_single_fault_is_one_line(tmp_path):
  root = plain(tmp_path / "data")
  (root / "images/2.png").write_bytes(b"")
  with pytest.raises(UserError) as caught:
    load(root)
  assert str(caught.value) == (
    f"{root}/images/2.png: the file is empty (config.data.skip_bad=True leaves it out)"
  )


def test_of_many_faults_twenty_are_listed():
  faults = [Fault(f"{n}.png", "is damaged") for n in range(33)]
  with pytest.raises(UserError) as caught:
    findings.refuse(faults)
  lines = str(caught.value).splitlines()
  assert lines[0] == "33 faults in the data:"
  assert lines[1:2] + lines[20:] == ["  0.png: is damaged", "  19.png: is damaged", "  and 13 more"]
  findings.refuse([])


def test_bad_files_are_left_out_where_it_is_asked_for(tmp_path):
  root = tmp_path / "data"
  bad = _spoiled(root)
  sound = load(plain(tmp_path / "sound", count=11))
  data = load(root, skip_bad=True)
  assert data.ids == ("1", "3", "6", "9", "10", "11")
  chosen = [sound.ids.index(name) for name in data.ids]
  np.testing.assert_array_equal(data.images, sound.images[chosen])
  np.testing.assert_array_equal(data.masks, sound.masks[chosen])
  assert sorted(fault.file for fault in data.skipped) == sorted(f"{root}/{name}" for name in bad)
  again = load(root, skip_bad=True)  # from the cache
  assert (again.skipped, again.fingerprint) == (data.skipped, data.fingerprint)
  skipped_table.write(tmp_path, data.skipped)
  assert skipped_table.read(tmp_path) == [tuple(fault) for fault in data.skipped]
  (line,) = cases.notes(data)
  assert line.startswith("left out, as config.data.skip_bad says: 5, such as ")


def test_without_bad_files_nothing_is_written(tmp_path):
  data = load(plain(tmp_path / "data"), skip_bad=True)
  assert data.skipped == ()
  skipped_table.write(tmp_path, data.skipped)
  assert not (tmp_path / skipped_table.NAME).exists()
  assert skipped_table.read(tmp_path) == []


def test_only_bad_files_are_an_error_in_any_case(tmp_path):
  root = plain(tmp_path / "data", count=2)
  for n in (1, 2):
    (root / f"images/{n}.png").write_bytes(b"")
  with pytest.raises(UserError, match=r"all 2 cases of the data folder are bad, such as .*1\.png"):
    load(root, skip_bad=True)


def test_the_progress_is_shown(tmp_path, capsys):
  plain(tmp_path / "data", count=260)
  load(tmp_path / "data", reporter=Reporter())
  assert "reading: 250 of 260" in capsys.readouterr().out


def test_the_order_does_not_depend_on_which_file_is_read_first(tmp_path):
  image, mask = picture(np.random.default_rng(0), (700, 700))
  root = plain(tmp_path / "data", count=9)
  save(root / "images/1.png", image)  # takes longer than the others
  save(root / "masks/1.png", 255 * mask)
  assert load(root).ids == tuple(map(str, range(1, 10)))


def test_files_that_match_nothing_are_counted_and_named(tmp_path):
  root = plain(tmp_path / "data")
  save(root / "pictures/9.png", np.zeros((4, 4)))
  (root / "notes.txt").write_text("")
  for name in (".DS_Store", "._1.png", "Thumbs.db"):
    (root / name).write_text("")
  (note,) = load(root).notes
  assert note == "2 files match no pattern of config.data.folder: notes.txt, pictures/9.png"
  found = Findings()
  assert found.notes() == ()
  for n in range(9):
    found.pass_over(f"{n}.png")
  assert found.notes() == (
    "9 files match no name of the data set: 0.png, 1.png, 2.png, 3.png, 4.png, ...",
  )


def test_masks_that_are_all_empty_are_refused(tmp_path):
  root = plain(tmp_path / "data", value=0)
  with pytest.raises(UserError, match="no mask of the data set has a pixel of lesion"):
    load(root)


def test_lesions_that_vanish_are_said_and_refused_where_all_do(tmp_path):
  root = plain(tmp_path / "data")
  dot = np.zeros((40, 48))
  dot[0, 0] = 255
  save(root / "masks/1.png", dot)
  (note,) = load(root, image_size=8).notes
  assert note == (
    "warning: in 1 of 4 cases nothing of the mask is left at config.data.image_size (1)"
  )
  for n in range(1, 5):
    save(root / f"masks/{n}.png", dot)
  with pytest.raises(UserError, match=r"at config\.data\.image_size no mask has a pixel"):
    load(root, image_size=8)


def test_masks_that_are_nearly_all_lesion_are_said(tmp_path):
  root = plain(tmp_path / "data")
  for path in (root / "masks").iterdir():
    Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
  (note,) = load(root).notes
  assert note.startswith("warning: masks are nearly all lesion (median ")


def test_blank_pictures_are_said(tmp_path):
  root = plain(tmp_path / "data")
  save(root / "images/2.png", np.full((40, 48), 9))
  assert load(root).notes == ("warning: 1 of 4 pictures are blank, all pixels the same (2)",)


def test_what_the_reader_changes_is_said_with_a_case(tmp_path):
  root = plain(tmp_path / "data")
  exif = Image.Exif()
  exif[0x0112] = 3
  with Image.open(root / "images/3.png") as image:
    image.load()
  image.save(root / "images/3.png", exif=exif)
  assert load(root).notes == ("1 of 4 cases: turned upright as their EXIF orientation asks (3)",)


def test_masks_of_another_size_are_resized_where_it_is_asked_for(tmp_path):
  root = plain(tmp_path / "data")
  expected = load(root)
  for path in (root / "masks").iterdir():
    with Image.open(path) as mask:
      mask.load()
    mask.resize((96, 80), Image.Resampling.NEAREST).save(path)
  with pytest.raises(UserError, match=r"^4 faults in the data"):
    load(root)
  for how in ("nearest", "area"):
    np.testing.assert_array_equal(load(root, mask_resize=how).masks, expected.masks)
