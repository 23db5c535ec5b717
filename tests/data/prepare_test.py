"""The prepare command on folders that hold nothing of a data set."""

import tempfile

import pytest

from mlseg.data import prepare


@pytest.mark.parametrize("has_other_files", [False, True])
@pytest.mark.parametrize("dataset", sorted(prepare.BUILDERS))
def test_a_folder_without_the_data_gets_one_line(
  tmp_path, capsys, monkeypatch, dataset, has_other_files
):
  (tmp_path / "temporary").mkdir()
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
  root = tmp_path / "root"
  root.mkdir()
  if has_other_files:
    (root / "notes.txt").write_text("nothing of it")
  arguments = [f"--dataset={dataset}", f"--root={root}", f"--out={tmp_path / 'out'}"]
  assert prepare.main(["prepare", *arguments]) == 2
  said = capsys.readouterr()
  assert said.out == ""
  assert said.err.startswith(f"mlseg.data.prepare: data folder {root} is ")
  assert said.err.count("\n") == 1
  assert not list(tmp_path.glob("out/*"))
  assert not list((tmp_path / "temporary").iterdir())


def test_a_disk_that_is_full_gets_one_line(tmp_path, capsys, monkeypatch):
  from tests.data.datasets.busi_test import _make

  root = _make(tmp_path / "originals")

  def refuse(*_):
    raise OSError(28, "No space left on device", "out/x")

  monkeypatch.setattr(prepare, "_make_reproducible", refuse)
  assert prepare.main(["prepare", f"--root={root}", f"--out={tmp_path / 'out'}"]) == 2
  assert capsys.readouterr().err == (
    "mlseg.data.prepare: cannot prepare busi (out/x: No space left on device)\n"
  )
  assert not list((tmp_path / "out").iterdir())
