"""Files are written as a whole, read with one kind of error, and computed arrays are cached."""

import json
import os
import pathlib
import stat

import numpy as np
import pytest

from mlseg import files
from mlseg.errors import UserError


def test_a_file_that_fails_to_write_leaves_the_old_one(tmp_path, monkeypatch):
  path = tmp_path / "f"
  files.write_file(path, "old")

  def no_space(_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", no_space)
  with pytest.raises(OSError, match="space") as caught:
    files.write_file(path, "new")
  assert caught.value.filename == str(path)
  assert [p.name for p in tmp_path.iterdir()] == ["f"]
  assert path.read_text() == "old"


def test_what_is_written_piece_by_piece_is_whole_or_not_there(tmp_path):
  def stop_half_way():
    with files.replacing(tmp_path / "f") as file:
      file.write(b"half")
      raise KeyError

  with pytest.raises(KeyError):
    stop_half_way()
  assert not list(tmp_path.iterdir())
  with files.replacing(tmp_path / "f") as file:
    file.write(b"whole")
    assert not (tmp_path / "f").exists()
  assert (tmp_path / "f").read_bytes() == b"whole"


def test_names_of_files_that_are_no_text_are_written_as_they_are(tmp_path):
  name = os.fsdecode(b"scan \xff.png")
  files.write_file(tmp_path / "t.csv", files.to_csv([{"file": name}]))
  assert (tmp_path / "t.csv").read_bytes() == b"file\nscan \xff.png\n"


def test_json_is_strict():
  values = {"a": [float("nan"), float("inf"), 1.5], 2: (1, "x")}
  assert json.loads(files.to_json(values)) == {"a": [None, None, 1.5], "2": [1, "x"]}


def test_a_table_comes_back_as_text(tmp_path):
  rows = [{"id": 'a, "b"', "dice": 1 / 3, "n": 1}, {"id": "c\r\nd", "dice": float("nan")}]
  files.write_file(tmp_path / "t.csv", files.to_csv(rows))
  assert files.read_header(tmp_path / "t.csv") == ["id", "dice", "n"]
  assert files.read_csv(tmp_path / "t.csv", columns=("id", "n")) == [
    {"id": 'a, "b"', "dice": "0.333333", "n": "1"}, {"id": "c\r\nd", "dice": "nan", "n": ""},
  ]  # fmt: skip


def test_a_table_of_given_columns_refuses_others():
  assert files.to_csv([{"b": 1}], columns=("a", "b")) == "a,b\n,1\n"
  with pytest.raises(ValueError, match="not in fieldnames"):
    files.to_csv([{"c": 1}], columns=("a", "b"))


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (b"", "it has no column 'id'"),
    (b"name\na\n", "it has no column 'id'"),
    (b"id,name\na\n", "row 1 has not as many cells as the header"),
    (b"id\na\nb,c\n", "row 2 has not as many cells as the header"),
    (b'id\n"a"b\n', "expected after"),
    (b"id\n\xff\n", "codec can't decode"),
  ],
)
def test_a_damaged_table_is_named(tmp_path, content, message):
  (tmp_path / "t.csv").write_bytes(content)
  with pytest.raises(UserError, match=rf"t\.csv is damaged: \w+: .*{message}"):
    files.read_csv(tmp_path / "t.csv", columns=("id",))


def test_missing_files_are_named(tmp_path):
  for read in (files.read_csv, files.read_header, files.read_json, files.read_npz):
    with pytest.raises(UserError, match=r"none cannot be read \(No such file"):
      read(tmp_path / "none")


def test_pickled_objects_are_neither_written_nor_read(tmp_path):
  evil = np.array([{"a": 1}], dtype=object)
  with pytest.raises(ValueError, match="allow_pickle"):
    files.to_npz({"a": evil})
  np.savez(tmp_path / "a.npz", a=evil)
  with pytest.raises(UserError, match=r"a\.npz is damaged"):
    files.read_npz(tmp_path / "a.npz")


def test_an_archive_that_unfolds_to_too_much_is_refused(tmp_path, monkeypatch):
  path = tmp_path / "a.npz"
  np.savez_compressed(path, a=np.zeros(50_000), b=np.zeros(50_000))
  assert path.stat().st_size < 10_000
  assert files.read_npz(path)["b"].shape == (50_000,)
  monkeypatch.setattr(files.budget, "UNFOLDED_BYTES", 700_000)
  with pytest.raises(UserError, match=r"a\.npz: unfolds to 800256 bytes, more than the 700000"):
    files.read_npz(path)
  np.savez(path, a=np.zeros(100_000))  # as large itself
  assert files.read_npz(path)["a"].shape == (100_000,)


def test_arrays_are_made_once_and_again_when_damaged(tmp_path):
  made = []

  def make():
    made.append(1)
    return {"x": np.arange(3)}

  path = tmp_path / "below" / "a.npz"
  for content, count in ((None, 1), (None, 1), (b"", 2), (b"PK", 3)):
    if content is not None:
      path.write_bytes(content)
    np.testing.assert_array_equal(files.cached_arrays(path, make)["x"], [0, 1, 2])
    assert len(made) == count


def test_a_cache_that_cannot_be_written_is_a_warning(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.warns(UserWarning, match="cannot be written"):
    files.cached_arrays(tmp_path / "file" / "a.npz", lambda: {"x": np.arange(3)})


def test_a_changed_file_has_another_state(tmp_path):
  path = tmp_path / "a"
  path.write_text("1")
  before = files.file_states([path], tmp_path)
  assert before[0][:2] == ("a", 1)
  path.write_text("22")
  assert files.file_states([path], tmp_path) != before
  with pytest.raises(UserError, match="none: cannot be read"):
    files.file_states([tmp_path / "none"])


def test_cells_that_a_spreadsheet_would_run_are_text_there_and_come_back(tmp_path):
  names = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "'=1", "''@a"]
  plain = ["-1", "+2.5", "-1e-05", "-inf", "nan", "'quoted'", "a=b", ""]
  rows = [{"=id": name, "n": -0.5} for name in names + plain]
  files.write_file(tmp_path / "t.csv", files.to_csv(rows))
  header, *lines = (tmp_path / "t.csv").read_text().splitlines()
  assert header == "'=id,n"
  for line in lines[: len(names)]:
    assert line.startswith(("'", "\"'"))
  for line, name in zip(lines[len(names) :], plain, strict=True):
    assert line == f"{name},-0.5"
  assert files.read_csv(tmp_path / "t.csv", ["=id"]) == [{**row, "n": "-0.5"} for row in rows]
  assert files.read_header(tmp_path / "t.csv") == ["=id", "n"]


def test_a_name_of_255_bytes_can_be_written(tmp_path):
  path = tmp_path / ("ä" * 125 + ".csv")
  files.write_file(path, "x")
  assert path.read_text() == "x"
  assert len(list(tmp_path.iterdir())) == 1


def test_temporary_files_do_not_follow_links(tmp_path, monkeypatch):
  monkeypatch.setattr(files.whole.secrets, "token_hex", lambda n: "0" * 2 * n)
  victim = tmp_path / "victim"
  victim.write_text("precious")
  files.temporary_beside(tmp_path / "f").symlink_to(victim)
  with pytest.raises(FileExistsError):
    files.write_file(tmp_path / "f", "evil")
  assert victim.read_text() == "precious"


def test_temporary_files_of_killed_processes_are_removed(tmp_path):
  temporary = files.temporary_beside(tmp_path / "f")
  temporary.write_text("half")
  kept = [tmp_path / name for name in ("f", ".hidden", ".f.123", "1-00000000.mlseg-tmp")]
  for path in kept:
    path.write_text("x")
  files.remove_temporaries(tmp_path)
  assert temporary.exists()  # another process may write it
  files.remove_temporaries(tmp_path, older_than=0)
  assert sorted(tmp_path.iterdir()) == sorted(kept)
  files.remove_temporaries(tmp_path / "nowhere")


def test_the_cache_forgets_old_temporary_files(tmp_path):
  temporary = files.temporary_beside(tmp_path / "a.npz")
  temporary.write_text("half")
  os.utime(temporary, (0, 0))
  files.cached_arrays(tmp_path / "a.npz", lambda: {"x": np.arange(3)})
  assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_a_full_cache_keeps_nothing_half_written(tmp_path, monkeypatch):
  def no_space(_):
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(os, "fsync", no_space)
  with pytest.warns(UserWarning, match="cannot be written: No space left on device"):
    files.cached_arrays(tmp_path / "a.npz", lambda: {"x": np.arange(3)})
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("read", [files.read_csv, files.read_header, files.read_json,
                                  files.read_npz])  # fmt: skip
def test_a_pipe_or_a_device_is_refused_at_once(tmp_path, read):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "zero").symlink_to("/dev/zero")
  (tmp_path / "folder").mkdir()
  for name in ("pipe", "zero", "folder"):
    with pytest.raises(UserError, match=rf"{name} cannot be read \((is no regular|Is a dir)"):
      read(tmp_path / name)
  assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_variable_means_the_default_cache(monkeypatch, value):
  monkeypatch.setenv("HOME", "/home/somebody")
  if value is None:
    monkeypatch.delenv("MLSEG_CACHE")
  else:
    monkeypatch.setenv("MLSEG_CACHE", value)
  assert files.cache_folder() == pathlib.Path("/home/somebody/.cache/mlseg")
