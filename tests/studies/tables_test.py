"""The tables of a study: against scipy and hand-made cases."""

import json

import numpy as np
import pytest
from scipy import stats

from mlseg import files
from mlseg.report import study, tables
from mlseg.studies import tables as study_files
from mlseg.studies.grid import Cell, Grid

AXES = ["split", "method"]
METHODS = ("fixed", "one", "two")


def _scores(num_seeds=3, num_cases=12):
  """Returns rows as `dice_rows`, in which case 1 is a near-duplicate of case 0."""
  rng = np.random.default_rng(0)
  return [
    {"split": split, "seed": seed, "id": f"case {n}", "group": max(n, 1), "leak": 0}
    | {name: rng.uniform(0.2, 0.9) + 0.05 * k for k, name in enumerate(METHODS)}
    for split in ("grouped", "random")
    for seed in range(num_seeds)
    for n in range(num_cases)
  ]


def _units(scores, split, method, unit):
  values = {}
  for row in scores:
    if row["split"] == split:
      values.setdefault(row[unit], []).append(row[method])
  return np.array([np.mean(several) for several in values.values()])


def test_comparisons_are_scipys_tests_over_groups_and_seeds_after_holm():
  scores = _scores()
  rows = study_files.comparison_rows(scores, AXES, "fixed")
  assert [(row["split"], row["method"]) for row in rows] == [
    ("grouped", "one"), ("grouped", "two"), ("random", "one"), ("random", "two"),
  ]  # fmt: skip
  for split in ("grouped", "random"):
    own = [row for row in rows if row["split"] == split]
    for row in own:
      a, b = (_units(scores, split, name, "group") for name in (row["method"], "fixed"))
      assert row["num_groups"] == len(a) == 11
      assert row["difference"] == pytest.approx((a - b).mean())
      assert row["p_cases"] == pytest.approx(stats.wilcoxon(a - b).pvalue)
      low, high = stats.ttest_rel(a, b).confidence_interval()
      assert (row["low"], row["high"]) == pytest.approx((low, high))
      a, b = (_units(scores, split, name, "seed") for name in (row["method"], "fixed"))
      assert row["num_seeds"] == 3
      assert row["p_seeds"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    for name in ("p_cases", "p_seeds"):
      smaller, larger = sorted(row[name] for row in own)
      holm = sorted(row[f"{name}_holm"] for row in own)
      first = min(1, 2 * smaller)
      assert holm == pytest.approx([first, max(first, larger)])


def test_rows_that_were_written_and_read_give_the_same_comparisons(tmp_path):
  (tmp_path / "dice.csv").write_text(files.to_csv(_scores()))
  rows = study_files.comparison_rows(files.read_csv(tmp_path / "dice.csv"), AXES, "fixed")
  direct = study_files.comparison_rows(_scores(), AXES, "fixed")
  for one, other in zip(rows, direct, strict=True):
    assert one["p_cases"] == pytest.approx(other["p_cases"], rel=0.05)
    assert one["difference"] == pytest.approx(other["difference"], abs=1e-5)


def test_a_single_seed_has_no_test_over_seeds_and_no_reference_no_test():
  rows = study_files.comparison_rows(_scores(num_seeds=1), AXES, "fixed")
  assert len(rows) == 4
  assert "p_cases" in rows[0]
  assert "p_seeds" not in rows[0]
  assert study_files.comparison_rows(_scores(), AXES, None) == []
  assert study_files.comparison_rows(_scores(), AXES, "not complete") == []


@pytest.fixture
def folder(tmp_path):
  """A study of two complete cells and one that failed; two seeds, three cases, two classes."""
  methods = {"a": 0.8, "fixed": 0.6}
  for method, dice in methods.items():
    place = tmp_path / method
    place.mkdir()
    lines = ["seed,id,label,class,tp,dice"]
    for seed in (0, 1):
      for case in ("x", "y"):
        lines.append(f"{seed},{case},l,background,1,0.99")
        lines.append(f"{seed},{case},l,lesion,1,{dice + 0.01 * seed + 0.1 * (case == 'y')}")
    (place / "cases.csv").write_text("\n".join(lines) + "\n")
    (place / "data.csv").write_text("id,label,group\nx,l,0\ny,l,1\nz,l,0\n")
    parts = {
      "0": {"train": ["z"], "validation": [], "test": ["x", "y"]},
      "1": {"train": [], "validation": ["z"], "test": ["x", "y"]},
    }
    split = {"seeds": parts, "near_duplicates": [["x", "z", 3]]}
    (place / "split.json").write_text(json.dumps(split))
    names = {"dice", *(name for _, name, *_ in study.PUBLISHED)}
    metrics = {name: {"mean": 0, "std": 0, "per_seed": [dice, dice + 0.1]} for name in names}
    metrics["hausdorff95"] = {"mean": 9, "std": 1, "per_seed": [9.0 - dice, 9.0 + dice]}
    content = {"metrics": metrics, "seeds": [0, 1], "config": {}}
    (place / "results.json").write_text(json.dumps(content))
  cells = tuple(Cell(name, {"method": name}, {}) for name in (*methods, "late"))
  source = {"source": "A paper", "rows": {"a": {"dice": {"mean": 95.2, "std": 1.0}}}}
  study_files.write(
    Grid("tiny", cells, "fixed", source), cells[:2], tmp_path, {"late": "no memory"}
  )
  return tmp_path


def test_rows_have_the_metrics_of_each_seed(folder):
  rows = files.read_csv(folder / "rows.csv")
  assert [(row["method"], row["seed"], row["dice"]) for row in rows] == [
    ("a", "0", "0.8"), ("a", "1", "0.9"), ("fixed", "0", "0.6"), ("fixed", "1", "0.7"),
  ]  # fmt: skip


def test_scores_by_case_say_which_cases_leak(folder):
  rows = files.read_csv(folder / "dice.csv")
  assert [(row["seed"], row["id"], row["group"], row["leak"]) for row in rows] == [
    ("0", "x", "0", "1"), ("0", "y", "1", "0"), ("1", "x", "0", "0"), ("1", "y", "1", "0"),
  ]  # fmt: skip
  assert [row["a"] for row in rows] == ["0.8", "0.9", "0.81", "0.91"]


def test_tables_mark_the_best_and_have_the_papers_number_and_what_failed(folder):
  first, second = study.tables(folder)
  assert first.header[:3] == ("method", "seeds", "Dice")
  assert [row[0].text for row in first.rows] == ["a", "fixed"]
  why = "a: +20.00 [+20.00, +20.00] to fixed"
  assert first.rows[0][2] == tables.TableCell("85.00 ± 7.07", best=True, why=why)
  assert f"Marked: Dice, {why}" in first.note
  assert not first.rows[1][2].best
  column = first.header.index("HD95, pixels")
  assert first.rows[0][column].text == "9.00 ± 1.13"
  assert not first.rows[0][column].best  # the interval contains 0
  assert first.rows[0][-3].text == "+20.00 [+20.00, +20.00]"
  assert [cell.text for cell in first.rows[1][-3:]] == ["", "", ""]
  assert "Failed: late (no memory)." in first.note
  assert second.rows[0][1].text == "85.00 ± 7.07 (95.20)"
  assert "A paper" in second.note
  assert "| a | **85.00 ± 7.07 (95.20)** |" in tables.to_markdown(second)


def test_a_sweep_is_ranked_by_validation_with_the_test_beside_it(folder):
  for method, scores in (("a", (0.5, 0.9, 0.2)), ("fixed", (0.95, 0.1, 0.96))):
    with (folder / method / "metrics.jsonl").open("w") as file:
      for seed in (0, 1):
        for epoch, dice in enumerate(scores, start=1):
          validation = {"dice": dice, "accuracy": 1 - dice}
          record = {"seed": seed, "step": epoch, "epoch": epoch, "losses": {}, "weights": {}}
          file.write(json.dumps(record | {"validation": validation}) + "\n")
  cells = tuple(Cell(n, {"method": n}, {"selection": "dice"}) for n in ("a", "fixed"))
  study_files.write(Grid("tiny", cells, "fixed"), cells, folder, {})
  rows = files.read_csv(folder / "rows.csv")
  assert [(row["validation"], row["kept_epoch"]) for row in rows] == [
    ("0.9", "2"), ("0.9", "2"), ("0.96", "3"), ("0.96", "3"),
  ]  # fmt: skip
  assert [float(row["late_rise"]) for row in rows] == pytest.approx([0, 0, 0.01, 0.01])
  table = study.tables(folder)[0]
  assert table.header[:5] == (
    "method", "seeds", "validation dice", "rise in the last third", "Dice",
  )  # fmt: skip
  # The better one in validation comes first, though it is worse on the test cases.
  assert [[cell.text for cell in row[:5]] for row in table.rows] == [
    ["fixed", "2", "96.00 ± 0.00", "1.00, not converged", "65.00 ± 7.07"],
    ["a", "2", "90.00 ± 0.00", "0.00", "85.00 ± 7.07"],
  ]
  assert "above 0.5 the trainings had not converged" in table.note
  assert "in the order of their validation score" in table.note


@pytest.mark.parametrize(
  ("selection", "kept"), [("dice", (0.9, 1.0)), ("accuracy", (0.8, 2.0)), ("mean", (0.6, 2.0))]
)
def test_the_kept_epoch_is_the_first_best_of_the_selection(tmp_path, selection, kept):
  scores = [(0.9, 0.1), (0.4, 0.8), (0.9, 0.2), (None, None)]
  start = {"seed": 7, "losses": {}, "weights": {}}
  lines = [
    start | {"step": n, "epoch": n, "validation": {"dice": dice, "accuracy": accuracy}}
    for n, (dice, accuracy) in enumerate(scores, start=1)
  ]
  (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
  found = study_files.kept_epochs(tmp_path, selection)
  late = {"dice": 0.0, "accuracy": 0.0, "mean": 0.0}[selection]
  assert found == {7: (pytest.approx(kept[0]), kept[1], pytest.approx(late))}
  assert study_files.kept_epochs(tmp_path / "nowhere", selection) == {}


def test_there_is_no_paper_where_the_study_names_none(folder):
  cells = tuple(Cell(name, {"method": name}, {}) for name in ("a", "fixed"))
  study_files.write(Grid("tiny", cells, "fixed"), cells, folder, {})
  made = study.tables(folder)
  assert len(made) == 2
  assert not [table for table in made if "paper" in table.title + " ".join(table.header)]


def test_one_seed_has_neither_a_deviation_nor_a_mark(folder):
  for name in ("a", "fixed"):
    path = folder / name / "results.json"
    content = json.loads(path.read_text())
    content["seeds"] = [0]
    for metric in content["metrics"].values():
      metric["per_seed"] = metric["per_seed"][:1]
    path.write_text(json.dumps(content))
  cells = tuple(Cell(name, {"method": name}, {}) for name in ("a", "fixed"))
  study_files.write(Grid("tiny", cells, "fixed"), cells, folder, {})
  for table in study.tables(folder):
    text = tables.to_markdown(table) + table.note
    assert "±" not in text
    assert "**" not in text


def test_a_published_table_may_say_its_columns(folder):
  path = folder / "study.json"
  content = json.loads(path.read_text())
  content["published"] |= {
    "rows": {"a": {"distance": {"mean": 7.1}}, "fixed": {"overlap": {"mean": 81.0}}},
    "columns": [["overlap", "dice", "overlap"], ["distance", "hausdorff95", "distance", 1.0, True],
                ["diagnosis", "classification_accuracy", "accuracy"]],
    "note": "Own words.",
  }  # fmt: skip
  path.write_text(json.dumps(content))
  _, table = study.tables(folder)
  assert table.header == ("method", "overlap (paper)", "distance (paper)", "diagnosis (paper)")
  assert [[cell.text for cell in row] for row in table.rows] == [
    ["a", "85.00 ± 7.07", "9.00 ± 1.13 (7.10)", "–"],
    ["fixed", "65.00 ± 7.07 (81.00)", "9.00 ± 0.85", "–"],
  ]
  assert [cell.best for cell in table.rows[0]] == [False, True, False, False]
  assert table.note.startswith("Own words. Mean ± standard deviation over seeds.")
  assert table.note.endswith("In brackets: A paper.")


def _with_diagnoses(folder):
  """Returns the study with a cell that only diagnoses, and diagnoses of the reference."""
  called = {"fixed": "lm", "classifier": "ll"}  # of cases x and y, both of which are 'l'
  (folder / "classifier").mkdir()
  for name in ("data.csv", "split.json"):
    (folder / "classifier" / name).write_text((folder / "a" / name).read_text())
  for method, letters in called.items():
    lines = ["seed,id,label,predicted,probability_l,probability_m"]
    for seed in (0, 1):
      lines += [
        f"{seed},{case},l,{letter},0.5,0.5" for case, letter in zip("xy", letters, strict=True)
      ]
    (folder / method / "diagnoses.csv").write_text("\n".join(lines) + "\n")
    path = folder / method / "results.json"
    content = json.loads((folder / "fixed" / "results.json").read_text())
    metrics = content["metrics"] if path.exists() else {}
    share = letters.count("l") / 2
    metrics["classification_accuracy"] = {"mean": share, "std": 0, "per_seed": [share, share]}
    path.write_text(json.dumps(content | {"metrics": metrics}))
  cells = tuple(Cell(name, {"method": name}, {}) for name in ("a", "fixed", "classifier"))
  study_files.write(Grid("tiny", cells, "fixed"), cells, folder, {})
  return folder


def test_diagnoses_are_scored_by_case_and_compared(folder):
  rows = files.read_csv(_with_diagnoses(folder) / "accuracy.csv")
  assert [(row["seed"], row["id"], row["fixed"], row["classifier"]) for row in rows] == [
    ("0", "x", "1", "1"), ("0", "y", "0", "1"), ("1", "x", "1", "1"), ("1", "y", "0", "1"),
  ]  # fmt: skip
  (test,) = files.read_csv(folder / "accuracy_comparisons.csv")
  assert (test["method"], test["difference"]) == ("classifier", "0.5")
  rows = files.read_csv(folder / "dice.csv")
  assert set(rows[0]) == {"seed", "id", "group", "leak", "a", "fixed"}


def test_each_table_has_the_methods_that_it_is_about(folder):
  made = study.tables(_with_diagnoses(folder))
  assert [table.title.partition(": ")[2] for table in made] == [
    "the foreground", "all classes, pooled", "the diagnosis"
  ]  # fmt: skip
  assert [row[0].text for row in made[0].rows] == ["a", "fixed"]
  last = made[2]
  assert last.header[:3] == ("method", "seeds", "accuracy")
  assert json.loads((folder / "study.json").read_text())["positive"] == "m"
  assert [[cell.text for cell in row[:3]] for row in last.rows] == [
    ["fixed", "2", "50.00 ± 0.00"], ["classifier", "2", "100.00 ± 0.00"],
  ]  # fmt: skip
  assert last.rows[1][3].text.startswith("+50.00")
