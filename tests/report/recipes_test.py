"""Names of runs by what they train, what differs between recipes, and the reference."""

import json

import pytest

from mlseg.errors import UserError
from mlseg.report import recipes, references, write
from mlseg.report.__main__ import main
from mlseg.report.references import Labels
from mlseg.workdir.run_files import read
from tests.report.made_runs import make_run

LOSSES = ["cross_entropy", "soft_iou", "soft_dice"]


def recipe(name, variant="fixed", auxiliary="none", fixed=(1.0, 1.0, 1.0), **more):
  """Returns a recipe as `config.json` has it, of the variant whose weighting was overridden."""
  return {
    "name": "dmf_busi",
    "variant": variant,
    "batch_size": 32,
    "losses": LOSSES,
    "loss_options": {"focal": {"gamma": 2.0}, "tversky": {"alpha": 0.7}},
    "weighting": {
      "name": name,
      "fixed": list(fixed),
      "options": {
        "dynamic_memory_fusion": {"statistic": "mad", "capacity": 150},
        "softadapt": {"beta": 0.1},
      },
    },
    "auxiliary": {"name": auxiliary, "initial": 5.0},
  } | more


def runs_of(folder, configs):
  return [
    read(path, make_run(folder / path, num_lines=2, num_cases=2, size=8, config=config))
    for path, config in configs.items()
  ]


def test_an_uncertainty_run_is_not_called_fixed(tmp_path):
  runs = runs_of(
    tmp_path,
    {
      "dmf_busi-fixed-1": recipe("uncertainty"),
      "dmf_busi-fixed-2": recipe("fixed"),
      "dmf_busi-fixed-3": recipe("fixed", fixed=(5.0, 1.0, 1.0)),
      "dmf_busi-mad-4": recipe("dynamic_memory_fusion", "mad+focal", "focal"),
    },
  )
  assert recipes.names_of(runs) == [
    "uncertainty",
    "equal weights",
    "fixed 5:1:1",
    "dynamic_memory_fusion, mad, auxiliary focal",
  ]


def test_runs_that_train_the_same_are_told_apart(tmp_path):
  configs = {
    "a": recipe("fixed"),
    "b": recipe("fixed", batch_size=8),
    "c": recipe("fixed", batch_size=8),
    "old": {},
  }
  names = recipes.names_of(runs_of(tmp_path, configs), taken={"old"})
  assert names == [
    "equal weights, batch_size=32",
    "equal weights, batch_size=8 (b)",
    "equal weights, batch_size=8 (c)",
    "old (old)",
  ]


def test_only_keys_that_are_used_differ():
  configs = [
    recipe("fixed"),
    recipe("uncertainty", "mad+focal", "focal", fixed=(2.0, 1.0, 1.0)),
    recipe("uncertainty", "mad+tversky", "tversky", fixed=(3.0, 1.0, 1.0)),
  ]
  configs[1]["loss_options"] = {"focal": {"gamma": 3.0}, "tversky": {"alpha": 0.1}}
  configs[2]["weighting"]["options"]["softadapt"]["beta"] = 0.9
  assert recipes.differences(configs) == {
    "weighting.name": ["fixed", "uncertainty", "uncertainty"],
    "auxiliary.name": ["none", "focal", "tversky"],
  }
  configs[2]["auxiliary"]["initial"] = 1.0
  assert recipes.differences(configs)["auxiliary.initial"] == ["–", "5", "1"]


def test_the_table_of_differences_has_the_folders(tmp_path):
  configs = {"a/x": recipe("fixed"), "a/y": recipe("famo"), "a/z": recipe("famo", batch_size=8)}
  runs = runs_of(tmp_path, configs)
  table = recipes.table(runs, {"a/x": "x"})
  assert table.header == ("run", "folder", "batch_size", "weighting.name")
  assert [cell.text for cell in table.rows[0]] == ["a/x", "x", "32", "fixed"]
  one = recipes.table(runs[:2], {})  # as many keys as runs
  assert one.header == ("run", "folder", "weighting.name")
  many = recipes.table(runs_of(tmp_path / "2", {"q": recipe("famo", seed=3, num_epochs=2), **{
    "p": recipe("fixed", seed=4, num_epochs=3)}}), {})  # fmt: skip
  assert many.header == ("key", "q", "p")
  assert [row[0].text for row in many.rows] == ["folder", "weighting.name", "seed", "num_epochs"]


def _choose(folder, wanted=None, labels=None, given=None):
  runs = runs_of(folder / "runs", {"fixed": recipe("uncertainty"), "other": recipe("fixed")})
  names = recipes.names_of(runs)
  runs = [run._replace(name=name) for run, name in zip(runs, names, strict=True)]
  known = {run.name: Labels(run.folder.name) for run in runs} | (labels or {})
  return references.choose(runs, known, wanted, [given or folder / "runs"])


def test_a_name_makes_no_run_the_reference(tmp_path):
  found = _choose(tmp_path)
  assert found.names == ()
  assert "--reference=NAME" in found.why


@pytest.mark.parametrize("wanted", ["equal weights", "other", "label", "FOLDER"])
def test_the_user_chooses_by_name_folder_or_label(tmp_path, wanted):
  labels = {
    "equal weights": Labels("other", "label"), "uncertainty": Labels("fixed", "x", True)
  }  # fmt: skip
  wanted = wanted.replace("FOLDER", str(tmp_path / "runs" / "other"))
  assert _choose(tmp_path, wanted, labels).names == ("equal weights",)


def test_else_it_is_the_studys_or_the_first_folder(tmp_path):
  labels = {"uncertainty": Labels("fixed", "x", True)}
  assert _choose(tmp_path / "a", labels=labels).names == ("uncertainty",)
  folder = tmp_path / "b"
  assert _choose(folder, given=folder / "runs" / "other").names == ("equal weights",)


def test_a_reference_that_is_no_run_is_refused(tmp_path, capsys):
  with pytest.raises(UserError, match="--reference=nobody is no run: choose the name or folder of"):
    _choose(tmp_path, "nobody")
  words = ["report", str(tmp_path / "runs"), f"--out={tmp_path / 'out'}", "--reference=nobody"]
  assert main(words) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert "uncertainty and equal weights" in line
  assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_page_compares_with_the_reference_of_the_study_and_no_other(tmp_path):
  folder = tmp_path / "study"
  for name, dice in (("fixed", 0.5), ("mad", 0.75)):
    make_run(folder / name, num_cases=4, dice=dice)
  make_run(tmp_path / "loose", num_cases=4, config=recipe("famo"))
  cells = [{"name": n, "labels": {"method": n}, "complete": True} for n in ("fixed", "mad")]
  study = {"name": "s", "axes": ["method"], "reference": "mad", "published": None, "cells": cells}
  (folder / "study.json").write_text(json.dumps(study))
  lines = [f"{n},{seed},0.5" for n in ("fixed", "mad") for seed in (0, 1)]
  (folder / "rows.csv").write_text("\n".join(["method,seed,dice", *lines]) + "\n")
  (folder / "comparisons.csv").write_text("method\n")
  index = write.report([folder, tmp_path / "loose"], tmp_path / "out")
  page = index.read_text().replace("<wbr>", "")
  assert "Others are compared with mad: the study names it as its reference." in page
  assert "<caption>Dice against mad</caption>" in page
  assert "Dice against fixed" not in page
  section = page.split('<section id="paired"')[1]
  assert '<th scope="row">famo</th>' in section
