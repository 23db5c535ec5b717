"""Tables of the documents that are collected from a study's folders, one after the other."""

import importlib
import json
import pathlib

import pytest

from mlseg import files

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
SETTING = {"classes": 2, "versions": {"mlseg": "1.0"}}


@pytest.fixture
def parts(monkeypatch):
  """Returns the module, for studies whose cells have all the setting `SETTING`."""
  monkeypatch.syspath_prepend(str(DOCS))
  module = importlib.import_module("parts")
  monkeypatch.setattr(module.pages, "setting", lambda study, keys: dict(SETTING))
  return module


def _study(folder, cells, ids=("a", "b")):
  """Writes a study of the methods x, y and z, of which `cells` gives the complete ones' scores."""
  folder.mkdir()
  record = [{"labels": {"method": label}, "complete": label in cells} for label in "xyz"]
  text = json.dumps({"axes": ["method"], "cells": record})
  (folder / "study.json").write_text(text)
  rows = [{"method": label, "dice": score} for label, score in cells.items()]
  (folder / "rows.csv").write_text(files.to_csv(rows))
  scores = [{"seed": 0, "id": i, "group": i, "leak": "", **cells} for i in ids]
  (folder / "dice.csv").write_text(files.to_csv(scores))
  return folder


def _collect(parts, study, to, add):
  collection = parts.Collection(study, to, ["classes"], add)
  collection.copy_rows("rows.csv")
  collection.copy_scores("dice.csv")
  collection.save()
  return collection


def test_cells_of_a_second_folder_join_the_earlier_in_the_order_of_the_study(parts, tmp_path):
  to = tmp_path / "docs"
  _collect(parts, _study(tmp_path / "first", {"x": "1", "z": "3"}), to, add=False)
  second = _study(tmp_path / "second", {"y": "2", "z": "4"})
  assert _collect(parts, second, to, add=True).kept == {"x"}
  rows = [(row["method"], row["dice"]) for row in files.read_csv(to / "rows.csv")]
  assert rows == [("x", "1"), ("y", "2"), ("z", "4")]
  scores = files.read_csv(to / "dice.csv")
  assert [list(row)[-3:] for row in scores] == [["x", "y", "z"]] * 2
  assert [(row["id"], row["x"], row["y"], row["z"]) for row in scores] == [
    ("a", "1", "2", "4"),
    ("b", "1", "2", "4"),
  ]
  cells = json.loads((to / "study.json").read_text())["cells"]
  assert [cell["complete"] for cell in cells] == [True] * 3


def test_without_add_the_earlier_cells_are_replaced(parts, tmp_path):
  to = tmp_path / "docs"
  _collect(parts, _study(tmp_path / "first", {"x": "1"}), to, add=False)
  _collect(parts, _study(tmp_path / "second", {"y": "2"}), to, add=False)
  assert [row["method"] for row in files.read_csv(to / "rows.csv")] == ["y"]


def test_a_cell_that_failed_earlier_keeps_its_reason(parts, tmp_path):
  to = tmp_path / "docs"
  first = _study(tmp_path / "first", {"x": "1"})
  record = json.loads((first / "study.json").read_text())
  record["cells"][1]["failed"] = "diverged"
  (first / "study.json").write_text(json.dumps(record))
  _collect(parts, first, to, add=False)
  _collect(parts, _study(tmp_path / "second", {"z": "3"}), to, add=True)
  cells = json.loads((to / "study.json").read_text())["cells"]
  assert [cell.get("failed") for cell in cells] == [None, "diverged", None]


def test_cells_on_other_test_images_or_of_another_setting_are_refused(parts, tmp_path, monkeypatch):
  to = tmp_path / "docs"
  _collect(parts, _study(tmp_path / "first", {"x": "1"}), to, add=False)
  other = _study(tmp_path / "other", {"y": "2"}, ids=("a", "c"))
  before = {path.name: path.read_text() for path in to.iterdir()}
  with pytest.raises(SystemExit, match="test images are not those of"):
    _collect(parts, other, to, add=True)
  assert {path.name: path.read_text() for path in to.iterdir()} == before
  changed = {**SETTING, "classes": 3}
  monkeypatch.setattr(parts.pages, "setting", lambda study, keys: changed)
  second = _study(tmp_path / "second", {"y": "2"})
  with pytest.raises(SystemExit, match="classes was 2, and is 3 in the new cells"):
    _collect(parts, second, to, add=True)
