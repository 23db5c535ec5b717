"""Grids from flags and from a study's file: their cells, names, and wrong use."""

import json
import re

import pytest
from ml_collections import ConfigDict

from mlseg.errors import UserError
from mlseg.studies import grid
from tests.end_to_end.command import ROOT

STUDIES = sorted((ROOT / "configs" / "studies").glob("*.py"))
BUSI = str(ROOT / "configs" / "studies" / "dmf_busi.py")
SMOKE = str(ROOT / "configs" / "smoke.py")


def _config(cell):
  return ConfigDict(cell.recipe)


def _study(tmp_path, **entries):
  """Writes a study that differs from a sound one in some entries; None leaves one out."""
  study = {"name": "tiny", "config": SMOKE, "axes": {"num_epochs": (1, 2)}} | entries
  path = tmp_path / "tiny.py"
  content = {name: value for name, value in study.items() if value is not None}
  path.write_text(f"def get_study():\n  return {content!r}\n")
  return str(path)


def test_a_study_is_every_combination_of_its_axes(tmp_path):
  axes = {
    "split": {"grouped": {"data.split": "grouped"}, "naive": {"data.split": "random"}},
    "optimizer.learning_rate": (1e-3, 1e-4),
    "method": {
      "equal, all": {"weighting.name": "fixed"},
      "one": {"losses": ("soft_dice",), "weighting.fixed": (1.0,), "weighting.name": "fixed"},
    },
  }
  path = _study(tmp_path, axes=axes, seeds=4, settings={"batch_size": 16}, reference="one")
  whole = grid.of_study(path, ["--config.batch_size=8"])
  assert len(whole.cells) == 8
  first, last = whole.cells[0], whole.cells[-1]
  assert first.name == "grouped/0.001/equal___all"
  assert first.labels == {
    "split": "grouped", "optimizer.learning_rate": "0.001", "method": "equal, all"
  }  # fmt: skip
  assert (_config(last).data.split, _config(last).optimizer.learning_rate) == ("random", 1e-4)
  assert _config(last).losses == ("soft_dice",)
  assert _config(last).weighting.fixed == (1.0,)
  assert {_config(cell).num_seeds for cell in whole.cells} == {4}
  assert {_config(cell).batch_size for cell in whole.cells} == {8}  # the command line wins
  assert whole.reference == "one"


def test_an_override_is_of_the_cells_that_have_its_key(tmp_path):
  path = str(ROOT / "configs" / "studies" / "multitask_busi.py")
  given = ["--config.model.decoder_filters=(8,8,8,8,8)", "--noconfig.metrics.surface"]
  cells = grid.of_study(path, [*given, "--config.num_epochs=3"]).cells
  with_decoder = [cell for cell in cells if "decoder_filters" in _config(cell).model]
  assert {_config(cell).model.decoder_filters for cell in with_decoder} == {(8,) * 5}
  without = {c.labels["method"] for c in cells if c not in with_decoder}
  assert without == {"Mask R-CNN", "attention U-Net"}
  assert {(_config(c).num_epochs, _config(c).metrics.surface) for c in cells} == {(3, False)}
  with pytest.raises(UserError, match="decoder_filter"):
    grid.of_study(path, ["--config.model.decoder_filter=(8,8,8,8,8)"])


def test_a_study_may_leave_cells_out(tmp_path):
  whole = grid.of_study(_study(tmp_path, cells=("2",)), [])
  assert [cell.name for cell in whole.cells] == ["2"]


def test_the_study_of_the_paper_has_its_rows_with_its_numbers():
  whole = grid.of_study(BUSI, [])
  papers = json.loads((ROOT / "configs" / "studies" / "dmf_published.json").read_text())["tables"]
  assert whole.published["rows"] == papers["busi"]
  assert len(papers["busi"]) == 13
  assert whole.published["rows"]["variance+class_balanced_dice"]["dice"]["mean"] == 95.22
  for split in ("grouped", "random"):
    labels = {c.labels["method"] for c in whole.cells if _config(c).data.split == split}
    assert labels >= papers["busi"].keys()
  for cell in whole.cells:
    if cell.labels["method"] in papers["busi"]:
      assert _config(cell).variant == cell.labels["method"]
    demo = "no gradient" in cell.labels["method"]
    assert demo == ("hard_dice" in _config(cell).losses)
    assert _config(cell).num_seeds == 10


@pytest.mark.shared
def test_the_published_numbers_are_those_of_the_paper(shared):
  paper = json.loads((shared / "papers" / "dmf_tables.json").read_text())["tables"]
  ours = json.loads((ROOT / "configs" / "studies" / "dmf_published.json").read_text())["tables"]
  assert ours.keys() == paper.keys()
  for name, rows in paper.items():
    assert len(ours[name]) == len(rows)
    for row in rows:
      kind = (row.pop("weighting"), row.pop("auxiliary") or "none")
      assert ours[name]["fixed" if kind[0] == "fixed" else "+".join(kind)] == row


@pytest.mark.shared
def test_the_glands_study_has_the_papers_rows_and_numbers(shared):
  paper = json.loads((shared / "papers" / "uncertainty_table.json").read_text())["rows"]
  whole = grid.of_study(str(ROOT / "configs" / "studies" / "glands.py"), ["--config.data.root=x"])
  configs = {cell.labels["method"]: _config(cell) for cell in whole.cells}
  assert len(whole.published["rows"]) == len(paper) == 11
  losses = {"classification_cross_entropy": "c", "binary_cross_entropy": "s"}
  for (label, ours), theirs in zip(whole.published["rows"].items(), paper, strict=True):
    config = configs[label]
    letters = [losses.get(name, name[0]) for name in config.losses]
    assert letters == theirs["losses"]
    if theirs["weights"] == "uncertainty":
      assert config.weighting.name == "uncertainty"
    else:
      assert config.weighting.name == "fixed"
      assert list(config.weighting.fixed) == [weight for weight in theirs["weights"] if weight]
    for _, _, key, factor, _ in whole.published["columns"]:
      value = ours.get(key, {}).get("mean")
      assert value == (None if theirs[key] is None else pytest.approx(factor * theirs[key]))


@pytest.mark.slow
@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_every_study_parses_and_says_its_command(path):
  whole = grid.of_study(str(path), ["--config.data.root=somewhere"])
  assert whole.reference in {list(cell.labels.values())[-1] for cell in whole.cells}
  assert f"--study=configs/studies/{path.name}" in path.read_text()


@pytest.mark.parametrize(
  ("entries", "said"),
  [
    ({"config": None}, "the study needs config"),
    ({"name": None, "axes": {}}, "the study needs name, axes"),
    ({"axis": {}}, "unknown entry of the study"),
    ({"axes": ["num_epochs"]}, "axes must be a dict, not list"),
    ({"axes": {"num_epochs": 3}}, "axis 'num_epochs' must be a dict or a sequence of values"),
    ({"axes": {"name": "smoke"}}, "axis 'name' must be a dict or a sequence of values"),
    ({"axes": {"m": {"a": 3}}}, "label 'a' of axis 'm' must have a dict of settings, not 3"),
    ({"axes": {"num_epoch": (1, 2)}}, "num_epoch"),
    ({"axes": {"num_epochs": (1, 1.5)}}, "num_epochs"),
    ({"axes": {"m": {"a b": {}, "a_b": {}}}}, "the grid has 'a_b' twice"),
    ({"reference": "3"}, "choose from 1, 2"),
    ({"cells": "1"}, "cells must be a sequence of patterns of names, not '1'"),
    ({"cells": ("1", "3*")}, "cells: '3*' is none of 1, 2"),
    ({"config": "none.py"}, "none.py"),
    ({"published": ("none.json", "busi")}, "published table 'busi'"),
  ],
)
def test_a_wrong_study_is_one_line_that_names_it(tmp_path, entries, said):
  with pytest.raises(UserError, match=re.escape(said)) as caught:
    grid.of_study(_study(tmp_path, **entries), [])
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  ("text", "said"),
  [
    ("get_study = 3\n", "has no function get_study"),
    ("def get_study():\n  return []\n", "get_study must return a dict, not list"),
    ("import nothing_of_this_name\n", "ModuleNotFoundError"),
    ("def get_study(:\n", "SyntaxError"),
  ],
)
def test_a_file_that_is_no_study_is_one_line(tmp_path, text, said):
  (tmp_path / "study.py").write_text(text)
  with pytest.raises(UserError, match=said) as caught:
    grid.of_study(str(tmp_path / "study.py"), [])
  assert "\n" not in str(caught.value)


def test_an_axis_given_twice_is_refused():
  axes = ["optimizer.learning_rate=1e-3", "num_epochs=1,2", "optimizer.learning_rate=1e-4"]
  with pytest.raises(UserError, match=r"--grid has the key optimizer\.learning_rate twice"):
    grid.of_flags(SMOKE, None, axes, [])


def test_two_axes_that_set_one_key_are_refused(tmp_path):
  axes = {"num_epochs": (1, 2), "long": {"yes": {"num_epochs": 9}, "no": {}}}
  with pytest.raises(UserError, match="the axes 'num_epochs' and 'long' both set 'num_epochs'"):
    grid.of_study(_study(tmp_path, axes=axes), [])


@pytest.mark.parametrize(
  ("entries", "message"),
  [
    ({"name": 5}, "name must be a name of letters, digits"),
    ({"name": ".."}, "name must be a name of letters, digits"),
    ({"cells": 5}, "cells must be a sequence of patterns of names, not 5"),
    ({"cells": (5,)}, "cells must be a sequence of patterns of names"),
    ({"seeds": "3"}, "seeds must be a number of seeds of at least 1, not '3'"),
    ({"settings": 5}, "settings must be a dict of keys and values, not 5"),
    ({"config": 5}, "config must be the path of a recipe, not 5"),
    ({"reference": 5}, "reference must be a label of the last axis, not 5"),
    ({"published": "x"}, "published must be a pair"),
    ({"axes": {5: (1,)}}, "axes must be a dict of axes"),
    ({"axes": {"num_epochs": ()}}, "axis 'num_epochs' must have values"),
    ({"axes": {"num_epochs": (1, 1)}}, "axis 'num_epochs' has the value 1 twice"),
    ({"axes": {"a": {"..": {}}}}, "cell '..', whose label cannot name a folder"),
    ({"axes": {"a": {"": {}}}}, "cell '', whose label cannot name a folder"),
    ({"axes": {"a": {"checkpoints": {}}}}, "cell 'checkpoints', whose label cannot name"),
  ],
)
def test_an_entry_of_another_form_is_named_at_once(tmp_path, entries, message):
  with pytest.raises(UserError, match=re.escape(message)):
    grid.of_study(_study(tmp_path, **entries), [])


def test_a_study_that_fails_is_one_line(tmp_path):
  path = tmp_path / "bad.py"
  path.write_text("def get_study():\n  raise ValueError('two\\nlines')\n")
  with pytest.raises(UserError, match=r"bad\.py: get_study: ValueError: two lines"):
    grid.of_study(str(path), [])
