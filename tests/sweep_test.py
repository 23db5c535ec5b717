"""A grid from the command line: its points, its parts, its table, and wrong use."""

import json
import re

import pytest

from mlseg import sweep
from mlseg.errors import UserError
from tests.end_to_end.command import ROOT, SMOKE

pytestmark = pytest.mark.usefixtures("no_figures")

DMF = f"--config={ROOT / 'configs' / 'dmf_busi.py'}"


def _parse(*flags):
  return sweep.parse(["mlseg.sweep", *flags])


def test_all_variants_are_the_rows_of_the_papers_table():
  whole, options = _parse(DMF, "--variants=all", "--config.num_seeds=10")
  assert len(whole.cells) == 13
  assert whole.cells[0].name == "variance+tversky"
  assert whole.cells[-1].name == "fixed"
  assert {cell.recipe["num_seeds"] for cell in whole.cells} == {10}
  assert options.workdir == _parse(DMF, "--variants=all", "--config.num_seeds=10")[1].workdir
  assert options.workdir != _parse(DMF, "--variants=all", "--config.num_seeds=9")[1].workdir


def test_a_grid_is_every_combination_of_variants_and_values():
  whole, _ = _parse(
    DMF,
    "--variants=fixed,mad+none",
    "--grid=optimizer.learning_rate=1e-3,1e-4",
    "--grid=weighting.fixed=(1.0,2.0,1.0),(1.0,1.0,1.0)",
  )
  points = whole.cells
  assert len(points) == 8
  assert points[0].name == "fixed__learning_rate=1e-3__fixed=(1.0__2.0__1.0)"
  assert points[1].recipe["weighting"]["fixed"] == (1.0, 1.0, 1.0)
  assert points[2].recipe["optimizer"]["learning_rate"] == 1e-4
  assert points[4].recipe["variant"] == "mad+none"


def test_the_reference_of_a_grid_is_the_users_choice():
  flags = (DMF, "--variants=fixed,mad+none", "--config.num_seeds=2")
  whole, options = _parse(*flags, "--reference=mad+none")
  assert whole.reference == "mad+none"
  without, same = _parse(*flags)
  assert without.reference is None
  assert options.workdir == same.workdir  # another reference needs no other training


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    ([], "--study or --config is missing"),
    ([DMF, "--variants=mad+dice"], "unknown variant 'mad+dice'"),
    ([SMOKE, "--variants=all"], "has no VARIANTS"),
    ([DMF, "--grid=optimizer.learning_rate"], "--grid must be KEY=VALUE,VALUE"),
    ([DMF, "--grid=optimizer.learning_rat=1,2"], "learning_rate"),
    ([DMF, "--grid=num_epochs=1,1"], "twice"),
    ([DMF, "--task=2", "--num_tasks=2"], "--task must be from 0 to 1"),
    ([DMF, "--num_tasks=0"], "--num_tasks must be at least 1"),
    ([DMF, "--together=-1"], "--together must not be negative"),
    ([DMF, "--reference=best"], "unknown --reference 'best': choose from"),
    ([DMF, "--wordir=x"], "wordir"),
    ([DMF, "fixed"], "unexpected argument 'fixed'"),
  ],
)
def test_wrong_use_is_one_line(flags, said, capsys):
  with pytest.raises(UserError, match=re.escape(said)):
    _parse(*flags)
  assert sweep.run(["mlseg.sweep", *flags]) == 2
  assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_tasks_train_the_grid_in_parts_and_the_table_has_what_is_there(tmp_path, capsys):
  command = [
    "mlseg.sweep",
    SMOKE,
    "--grid=weighting.name=fixed,dynamic_memory_fusion",
    "--grid=auxiliary.initial=5.0,1.0",
    "--config.num_epochs=1",
    "--config.data.image_size=16",
    "--config.metrics.surface=False",
    "--config.seeds.strategy=map",
    f"--workdir={tmp_path}",
  ]
  assert sweep.run([*command, "--task=0", "--num_tasks=2"]) == 0
  assert "Not complete: variance+class_balanced_dice__name=fixed__initial=1.0" in (
    capsys.readouterr().out.replace("\n", " ")
  )
  assert sweep.run([*command, "--task=1", "--num_tasks=2"]) == 0
  capsys.readouterr()
  assert sweep.run([*command, "--table"]) == 0
  output = capsys.readouterr().out
  assert "Not complete" not in output
  assert "compiled" not in output
  rows = [line for line in (tmp_path / "table.md").read_text().splitlines() if "| 1 |" in line]
  assert len(rows) == 4
  validated = [float(row.split("|")[3]) for row in rows]
  assert validated == sorted(validated, reverse=True)
  for row in rows:
    label, seeds, validation, dice = [cell.strip() for cell in row.split("|")][1:5]
    name = label.replace(",", "__")
    results = json.loads((tmp_path / name / "results.json").read_text())
    logged = (json.loads(x) for x in (tmp_path / name / "metrics.jsonl").read_text().splitlines())
    (kept,) = [record["validation"]["dice"] for record in logged if "validation" in record]
    assert validation == f"{100 * kept:.2f}"
    assert seeds == "1"
    assert dice == f"{100 * results['metrics']['dice']['mean']:.2f}"
  # What is complete is not trained again, also as a run of its own.
  assert sweep.run(command) == 0
  assert "compiled" not in capsys.readouterr().out
