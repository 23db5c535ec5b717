"""CSV tables of data sets; `folder_mistakes_test` has the messages about wrong tables."""

import pytest

from mlseg.data.datasets import csv_table
from mlseg.errors import UserError


def test_the_table_may_have_a_mark_before_it_and_other_separators(tmp_path):
  for separator in (",", ";", "\t"):
    text = separator.join(["ID", "x y", "P"]) + "\n" + separator.join(["a", '"1\n2"', " b "]) + "\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8-sig")
    assert csv_table.read(tmp_path / "t.csv", "ID", ["P"]) == {"a": {"ID": "a", "P": "b"}}


@pytest.mark.parametrize(
  "text", ["", " ", "NA", "N/A", "n/a", "NaN", "None", "null", "#N/A", "<NA>"]
)
def test_one_rule_says_what_is_missing(text):
  assert csv_table.cell(text) == ""


@pytest.mark.parametrize(("first", "second"), [("1", "1.0"), ("Yes", "yes"), ("a  b", "a b")])
def test_labels_that_look_like_one_are_refused(first, second):
  csv_table.check_labels(["1", "2", "yes", "no"], "t")
  with pytest.raises(UserError, match=f"the labels '{first}' and '{second}' look like one"):
    csv_table.check_labels([first, "x", second], "t")


@pytest.mark.parametrize(
  "text",
  [
    "sep=;\nid;dx\na;x\n",
    "id,dx\na,x\n,\n\n",
    "id,dx\r\na,x\r\n",
    "id,dx\ra,x\r",
    "\ufeffid,dx\na , x \n",
  ],
)
def test_tables_of_other_programs_are_read(tmp_path, text):
  (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
  assert csv_table.read(tmp_path / "t.csv", "id", ["dx"]) == {"a": {"id": "a", "dx": "x"}}


def test_a_quotation_mark_that_is_never_closed_is_named(tmp_path):
  rows = "".join(f"q{n},x\n" for n in range(40000))
  (tmp_path / "t.csv").write_text(f'id,dx\na,"x\n{rows}')
  with pytest.raises(
    UserError, match=r"t\.csv: is damaged after line \d+: a quotation mark is not"
  ):
    csv_table.read(tmp_path / "t.csv", "id", ["dx"])
