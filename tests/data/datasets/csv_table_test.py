"""CSV tables of data sets; `folder_mistakes_test` has the messages about wrong tables."""

from mlseg.data.datasets import csv_table


def test_the_table_may_have_a_mark_before_it_and_other_separators(tmp_path):
  for separator in (",", ";", "\t"):
    text = separator.join(["ID", "x y", "P"]) + "\n" + separator.join(["a", '"1\n2"', " b "]) + "\n"
    (tmp_path / "t.csv").write_text(text, encoding="utf-8-sig")
    assert csv_table.read(tmp_path / "t.csv", "ID", ["P"]) == {"a": {"ID": "a", "P": "b"}}
