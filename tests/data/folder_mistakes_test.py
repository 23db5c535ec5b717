"""Every mistake in a folder of pictures and masks gives a message of one line that names it."""

import numpy as np
import pytest

from mlseg.errors import UserError
from tests.data.layouts import load, picture, plain, save, write_table

# Each spoils the default layout, and returns the message and the options that were given.


def _nothing_matches(root):
  message = r"no file matches config\.data\.folder\.images 'pics/\{name\}\.png'; it has images/1"
  return message, {"images": "pics/{name}.png"}


def _no_masks_match(root):
  return r"no file matches config\.data\.folder\.masks 'm/", {"masks": "m/{name}.png"}


def _no_mask(root):
  (root / "masks/2.png").unlink()
  return r"images/2\.png: has no mask, expected masks/2\.png in ", {}


def _no_picture(root):
  (root / "images/2.png").unlink()
  return r"masks/2\.png: is a mask without a picture, for 2", {}


def _other_size(root):
  save(root / "masks/2.png", np.zeros((40, 47)))
  return r"masks/2\.png: is 40×47, but its picture 2\.png is 40×48", {}


def _unreadable(root):
  (root / "images/2.png").write_text("hello")
  return r"images/2\.png: is not a PNG, JPEG, ", {}


def _empty(root):
  (root / "images/2.png").write_bytes(b"")
  return r"images/2\.png: the file is empty", {}


def _no_class(root):
  _, mask = picture(np.random.default_rng(1))
  save(root / "masks/1.png", 7 * mask)
  return (
    r"masks/1\.png: has the value 7, which is of no class \(skin 0, mole 255, hair 9\): add them"
    r" to config\.data\.folder\.classes, or take the nearest class with config\.data\.folder\."
  ), {"classes": (("skin", 0), ("mole", 255), ("hair", 9))}


def _several_values(root):
  save(root / "masks/2.png", np.arange(40 * 48).reshape(40, 48) // 300)
  return r"masks/2\.png: has 7 values \(0, 1, 2, 3, 4, 5, \.\.\.\); a mask of one lesion", {}


def _different_values(root):
  _, mask = picture(np.random.default_rng(1))
  save(root / "masks/3.png", 2 * mask)
  return (
    r"masks have different values of the lesion: 255 in 1, 2 in 3; a data set of one lesion",
    {},
  )


def _colour_without_class(root):
  save(root / "masks/2.png", np.full((40, 48, 3), (0, 0, 255)))
  return r"masks/2\.png: has the value #0000ff, which is of no class \(bg #000000, fg #ffffff\)", {
    "classes": (("bg", "#000000"), ("fg", "#ffffff"))
  }  # fmt: skip


def _coloured_mask(root):
  save(root / "masks/2.png", np.full((40, 48, 3), (0, 0, 255)))
  return r"masks/2\.png: is in colour, but config\.data\.folder\.classes has grey values", {
    "classes": (("skin", 0), ("mole", 255), ("hair", 9))
  }  # fmt: skip


def _no_table(root):
  return r"table .*nowhere\.csv: cannot be read", {"table": "nowhere.csv", "id_column": "ID"}


def _table(root, header=("ID", "Pathology"), ids=(1, 2, 3, 4), label="benign"):
  write_table(root / "t.csv", header, [[n, label] for n in ids], separator=";")
  return {"table": "t.csv", "id_column": "ID", "label_column": "Pathology"}


def _no_column(root):
  return r"t\.csv: has no column 'Pathology', only ID, Type", _table(root, ("ID", "Type"))


def _no_id_column(root):
  return r"id_column must name a column", _table(root) | {"id_column": ""}


def _no_row(root):
  return r"t\.csv: has no row with the id '3' of .*3\.png", _table(root, ids=(1, 2, 4))


def _row_without_picture(root):
  return r"t\.csv: no picture has the id '5' of a row", _table(root, ids=(1, 2, 3, 4, 5))


def _id_twice(root):
  return r"t\.csv: row 6 has the id '1' a second time", _table(root, ids=(1, 2, 3, 4, 1))


def _empty_value(root):
  options = _table(root)
  write_table(
    root / "t.csv", ("ID", "Pathology"), [[n, "N/A" if n == 1 else "x"] for n in range(1, 5)]
  )
  message = r"t\.csv: row 2 has no value in column 'Pathology' \('N/A' stands for a missing one\)"
  return message, options


def _labels_alike(root):
  options = _table(root)
  write_table(root / "t.csv", ("ID", "Pathology"), [[n, "xX"[n % 2]] for n in range(1, 5)])
  return r"the labels 'X' and 'x' look like one; write them alike", options


def _quotation_mark(root):
  options = _table(root)
  (root / "t.csv").write_text('ID,Pathology\n1,"x\n2,x\n')
  return r"t\.csv: is damaged after line 3: a quotation mark is not closed", options


def _no_rows(root):
  (root / "t.csv").write_text("ID,Pathology\n")
  return r"t\.csv: has no rows", {"table": "t.csv", "id_column": "ID"}


def _same_name_in_table(root):
  options = _table(root)
  for folder in ("images", "masks"):
    (root / folder / "4.png").rename(root / folder / " 1.png")
  return r"(?s)2 faults .*has the same name in the table as .*no picture has the id '4'", options


def _wrong_table_id(root):
  return r"table_id must have the field \{name\} and no other", _table(root) | {
    "table_id": "{name}{label}"
  }  # fmt: skip


def _not_text(root):
  (root / "t.csv").write_bytes(b"ID,Caf\xe9\n1,2\n")
  return r"t\.csv: is not text in UTF-8", {"table": "t.csv", "id_column": "ID"}


def _empty_table(root):
  (root / "t.csv").write_text("")
  return r"t\.csv: has no column 'ID', only none", {"table": "t.csv", "id_column": "ID"}


def _unknown_field(root):
  return r"unknown field \{nmae\}, choose from \{name\}", {"images": "images/{nmae}.png"}


def _no_name(root):
  return r"folder\.images 'images/\*\.png' must have the field \{name\}", {"images": "images/*.png"}


def _class_of_pictures(root):
  return r"\{class\} is for config\.data\.folder\.masks", {"images": "{class}/{name}.png"}


def _no_pairs(root):
  return r"classes must be pairs of a name and a value, .* not \(0, 255\)", {"classes": (0, 255)}


def _brace(root):
  return r"'\{' must be part of a field", {"images": "images/{name}{.png"}


def _outside(root):
  return r"must be a path below the data folder", {"masks": "../masks/{name}.png"}


def _field_of_masks(root):
  return r"masks .* has the field \{patient\}, which config\.data\.folder\.images", {
    "masks": "{patient}/{name}.png"
  }  # fmt: skip


def _shared_mask(root):
  save(root / "more/1.png", np.zeros((40, 48)))
  return r"more/1\.png: has the same name as .*images/1\.png", {
    "images": "{label}/{name}.png", "masks": "masks/{name}.png"
  }  # fmt: skip


def _same_pattern(root):
  return r"images and config\.data\.folder\.masks must differ, not 'images/\{name\}\.png'", {
    "masks": "images/{name}.png"
  }  # fmt: skip


def _channels(root):
  return r"channels must be 1 or 3, not 2", {"channels": 2}


def _tolerance(root):
  return r"tolerance must be in \[0, 255\], not 300", {"tolerance": 300}


def _one_class(root):
  return r"classes must be pairs", {"classes": (("background", 0),)}


def _class_twice(root):
  return r"names of their own", {"classes": (("a", 0), ("a", 1))}


def _wrong_value(root):
  return r"a value must be 0 to 255 or '#rrggbb', not 'red'", {"classes": (("a", 0), ("b", "red"))}


def _mixed_values(root):
  return r"values must be all grey or all colours", {"classes": (("a", 0), ("b", "#ff0000"))}


MISTAKES = [
  _nothing_matches, _no_masks_match, _no_mask, _no_picture, _other_size, _unreadable, _empty,
  _no_class, _several_values, _different_values, _colour_without_class, _coloured_mask, _no_table,
  _no_column, _no_id_column, _no_row,
  _row_without_picture, _id_twice, _empty_value, _labels_alike, _quotation_mark, _no_rows,
  _same_name_in_table, _wrong_table_id, _not_text, _empty_table,
  _unknown_field, _no_name, _class_of_pictures, _no_pairs,
  _brace, _outside, _field_of_masks, _shared_mask, _same_pattern,
  _channels, _tolerance, _one_class, _class_twice, _wrong_value, _mixed_values,
]  # fmt: skip


@pytest.mark.parametrize("spoil", MISTAKES, ids=lambda f: f.__name__.strip("_"))
def test_a_mistake_gives_a_message_of_one_line(tmp_path, spoil):
  root = plain(tmp_path / "data")
  message, changes = spoil(root)
  with pytest.raises(UserError, match=message) as caught:
    load(root, **changes)
  assert "\n" not in str(caught.value) or "2 faults" in message
  assert not (tmp_path / "cache").exists()
