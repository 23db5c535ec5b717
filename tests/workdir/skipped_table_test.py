"""What was left out of a data set comes back as it was written."""

import pytest

from mlseg.errors import UserError
from mlseg.workdir import skipped_table

ROWS = [("a, b.png", 'is "damaged"'), ("größe", "is empty")]


def test_it_comes_back(tmp_path):
  skipped_table.write(tmp_path, ROWS)
  assert skipped_table.read(tmp_path) == ROWS


def test_nothing_left_out_is_no_file(tmp_path):
  skipped_table.write(tmp_path, [])
  assert not list(tmp_path.iterdir())
  assert skipped_table.read(tmp_path) == []


def test_a_damaged_one_is_named(tmp_path):
  (tmp_path / skipped_table.NAME).write_text("file\na\n")
  with pytest.raises(UserError, match=r"skipped\.csv is damaged: .* no column 'reason'"):
    skipped_table.read(tmp_path)
