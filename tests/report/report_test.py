"""python -m mlseg.report: what it writes, refuses and replaces."""

import html.parser
import itertools
import json
import re
import shutil

import numpy as np
import pytest

from mlseg.report import study
from mlseg.report.__main__ import main
from mlseg.report.tables import Table, TableCell
from mlseg.workdir import skipped_table
from tests.report.made_runs import make_run

NASTY = "<script>alert(1)</script> & $x^ \"q'"


class _Outline(html.parser.HTMLParser):
  """The elements of a page: tags in their order with their attributes, and what stands in them."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.text = [], ""
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))

  def handle_data(self, data):
    self.text += data

  def all(self, name):
    return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  """Two runs of one split, one of another, and one of three classes in colour."""
  folder = tmp_path_factory.mktemp("runs")
  make_run(folder / "sweep" / "fixed", dice=0.5)
  make_run(folder / "sweep" / "mad", dice=0.625)
  make_run(folder / "naive", dice=0.75, split="random")
  make_run(folder / "colour", dice=0.25, num_classes=3, channels=3)
  return folder


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
  out = tmp_path_factory.mktemp("out") / "report"
  assert main(["report", str(runs), f"--out={out}", "--reference=sweep/fixed"]) == 0
  return out


@pytest.fixture
def run(tmp_path):
  return make_run(tmp_path / "run", num_seeds=1, num_lines=2, num_cases=2, size=8)


def _page(out):
  return (out / "index.html").read_text()


def _rows(out):
  """Returns the rows of all tables: their heading, and the HTML of their cells."""
  page = _page(out).replace("<wbr>", "")
  return re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", page)


def test_the_page_has_what_was_asked_for(made):
  page = _Outline(_page(made))
  headings = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
  assert headings.count(1) == 1
  assert headings[0] == 1
  assert all(b <= a + 1 for a, b in itertools.pairwise(headings))
  assert page.all("html")[0]["lang"] == "en"
  assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
  assert all(image["alt"] and image["src"].startswith("data:") for image in page.all("img"))
  assert len(page.all("caption")) == len(page.all("table")) > 3
  assert {cell["scope"] for cell in page.all("th")} == {"col", "row"}
  assert not page.all("script")
  assert not page.all("link")
  for text in ("made, 16×16, grouped split", "jax 1.2.3", "2 cpu", "09 September 2001"):
    assert text in page.text


def test_scores_are_marked_among_runs_of_the_same_test_cases(made):
  section = _page(made).split('<section id="scores"')[1].split("</section>")[0]
  found = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", section.replace("<wbr>", ""))
  cells = dict(found)
  assert set(cells) == {"colour", "naive", "sweep/fixed", "sweep/mad"}
  # The seeds of these runs do not differ, so that every interval is a point.
  assert "<strong>62.50 ± 1.00" in cells["sweep/mad"]
  assert "<strong>0.25" in cells["colour"]  # of distances the least
  assert "<strong>" not in cells["naive"]  # the only one of its cases
  assert "<strong>" not in cells["sweep/fixed"]
  assert 'title="sweep/mad: +12.50 [+12.50, +12.50] to sweep/fixed"' in cells["sweep/mad"]
  assert "Marked: Dice, sweep/mad: +12.50 [+12.50, +12.50] to sweep/fixed" in _page(made)


@pytest.mark.slow
def test_no_star_stands_without_an_interval(tmp_path):
  for name, values in (("a", [0.9, 0.3, 0.6]), ("b", [0.5, 0.6, 0.5])):
    make_run(tmp_path / "runs" / name, num_seeds=3, num_cases=2, size=8, per_seed=values)
  for name, dice in (("c", 0.9), ("d", 0.1)):
    make_run(tmp_path / "single" / name, num_seeds=1, num_cases=2, size=8, dice=dice)
  for folder in ("runs", "single"):
    assert main(["report", str(tmp_path / folder), f"--out={tmp_path / 'report'}"]) == 0
    scores = _page(tmp_path / "report").split('<section id="weights"')[0]
    assert "<strong>" not in scores
    assert "No best is marked." in scores
    assert ("±" in scores) == (folder == "runs")  # no deviation of one seed


def test_figures_lie_beside_the_page(made):
  names = {path.stem for path in (made / "figures").iterdir()}
  for path in (made / "figures").iterdir():
    assert path.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml"), path
  assert {"weights-04-sweep-mad", "losses-01-colour", "learning-1", "paired"} <= names
  # Three groups of test cases, each with best, median and worst; two foreground classes in one.
  assert {f"case-{n}-{r}" for n in (1, 2, 3) for r in ("best", "median", "worst")} <= names
  assert len([name for name in names if name.startswith("sizes-")]) == 3


def test_the_audit_counts_cases_pixels_and_pairs_across_parts(made):
  data = _page(made).split('<section id="data"')[1].replace("<wbr>", "")
  found = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", data)
  numbers = {}
  for name, text in found:
    numbers.setdefault(name, re.findall(r"<td>(.*?)</td>", text))
  assert numbers["benign"] == ["16", "50.0 %"]
  assert numbers["class 1"] == ["32", "0.4 %", "0"]
  assert numbers["colour, sweep/fixed and sweep/mad"] == ["2", "16", "8", "8", "2", "1"]


@pytest.mark.slow
def test_patients_and_diagnoses_are_counted_in_the_audit(tmp_path):
  run = make_run(tmp_path / "run", num_cases=4)  # 16 cases, of which every other is benign
  lines = (run / "data.csv").read_text().splitlines()
  patients = ["patient", *(str(n // 2) for n in range(16))]
  (run / "data.csv").write_text(
    "".join(f"{line},{patient}\n" for line, patient in zip(lines, patients, strict=True))
  )
  assert main(["report", str(run), f"--out={tmp_path / 'report'}"]) == 0
  data = _page(tmp_path / "report").split('<section id="data"')[1]
  found = re.findall(r"<tr><th scope=\"row\">(.*?)</th>(.*?)</tr>", data)
  numbers = [(name, re.findall(r"<td>(.*?)</td>", text)) for name, text in found]
  assert ("benign", ["8", "8", "50.0 %"]) in numbers
  assert "16 cases in all, of 8 patients." in data
  # 8 cases for training and 4 each for validation and test; two cases of each patient.
  assert ("benign", ["4", "2", "2"]) in numbers
  assert ("patients", ["4", "2", "2"]) in numbers


def test_files_that_a_run_left_out_are_listed(tmp_path):
  run = make_run(tmp_path / "run", num_cases=4)
  skipped_table.write(run, [(f"images/{n}.png", "is cut short") for n in range(23)])
  assert main(["report", str(run), f"--out={tmp_path / 'report'}"]) == 0
  page = _page(tmp_path / "report")
  assert page.count("is cut short") == 20
  assert "23 in all, left out by config.data.skip_bad; the other 3 are in skipped.csv." in page
  assert "images/19.png" in page
  assert "images/20.png" not in page


def test_the_comparison_is_against_the_chosen_reference(made):
  text = _Outline(_page(made)).text
  # Every case differs by 0.125, so the interval is a point.
  words = "Dice of sweep/mad, of all compared runs the best in validation, against sweep/fixed"
  assert words in text
  rows = [name for name, cells in _rows(made) if "+0.1250 [+0.1250, +0.1250]" in cells]
  assert rows == ["sweep/mad"]
  assert "Others are compared with sweep/fixed: --reference chose it." in text


def test_runs_of_several_classes_have_a_table_of_them(made):
  page = _page(made)
  assert page.count(">images, predicted<") == 1  # of the run of three classes alone
  found = [(name, re.findall(r"<td.*?>(.*?)</td>", cells)) for name, cells in _rows(made)]
  rows = {name: cells for name, cells in found if name.startswith("class") and len(cells) == 7}
  assert rows["class 1"] == ["8", "7.5", *["25.00 ± 1.00"] * 3, "–", "–"]
  assert rows["class 2"] == ["0", "0", *["–"] * 5]  # it is in no image


def test_classes_have_names_and_a_legend_of_colours(made):
  page = _page(made)
  legends = page.split('<ul class="legend"')[1:]
  assert len(legends) == 3  # one for each group of test cases
  texts = [_Outline(f"<ul{legend.split('</ul>')[0]}").text.split() for legend in legends]
  words = [" ".join(text) for text in texts]
  assert "class 1 class 2 solid: truth dashed: prediction" in words[0]
  assert words[1].endswith("truth prediction")


def test_wide_tables_have_a_cue_on_phones(made):
  page = _page(made)
  assert page.count('<p class="cue">') >= 2
  assert "it scrolls sideways" in page
  assert ".cue { display: none;" in page
  assert "@media (max-width: 40rem) {\n  .cue { display: block; }" in page


@pytest.mark.slow
def test_the_same_files_give_the_same_report(runs, made, tmp_path):
  assert main(["report", str(runs), f"--out={tmp_path / 'again'}", "--reference=sweep/fixed"]) == 0
  first = {p.relative_to(made): p.read_bytes() for p in made.rglob("*.*")}
  second = {p.relative_to(tmp_path / "again"): p.read_bytes() for p in tmp_path.rglob("*.*")}
  assert first == second


@pytest.mark.slow
def test_names_from_files_are_text(tmp_path):
  nasty = NASTY.replace("/", "∕")  # a folder's name may not hold a slash
  for name in (nasty, f"{nasty} 日本"):
    folder = make_run(tmp_path / "runs" / name, num_lines=2, num_cases=2, size=8, num_seeds=1)
    cases = (folder / "cases.csv").read_text().replace("benign", "<i>$x^")
    (folder / "cases.csv").write_text(cases)
    (folder / "config.json").write_text(
      (folder / "config.json").read_text().replace("1.2.3", "<b>1")
    )
  assert main(["report", str(tmp_path / "runs"), f"--out={tmp_path / 'report'}"]) == 0
  page = _Outline(_page(tmp_path / "report"))
  assert not page.all("script")
  assert not page.all("b")
  assert not page.all("i")
  assert nasty in page.text
  assert "<b>1" in page.text
  assert any(nasty in image["alt"] for image in page.all("img"))


def test_a_run_without_some_file_loses_only_that(run, tmp_path, capsys):
  for name in ("config.json", "metrics.jsonl", "cases.csv", "data.csv", "split.json"):
    (run / name).unlink()
  (run / "examples.npz").unlink()
  assert main(["report", str(run), f"--out={tmp_path / 'report'}"]) == 0
  text = _Outline(_page(tmp_path / "report")).text
  for name in ("metrics.jsonl", "cases.csv", "data.csv", "split.json", "examples.npz"):
    assert f"since there is no {name}: run." in text
  assert "50.00" in text
  assert list((tmp_path / "report" / "figures").iterdir()) == []


DAMAGE = {
  "results.json": ["", "{", "[]", '{"metrics": {"dice": 3}, "seeds": []}', '{"metrics": {}}'],
  "config.json": ["nothing", "[1]"],
  "metrics.jsonl": [
    '{"seed": 0',
    '{"seed": 0, "epoch": 1}\n',
    '{"seed": 0, "epoch": "x"}\n',
    '{"seed": 0, "epoch": 1, "losses": {}, "weights": {}, "cosines": {"a": 1}}\n',
  ],
  "cases.csv": ["", "id,class\n1,2\n", "seed,id,class,dice\n0,a,b,word\n"],
  "data.csv": ["", "id,label,pixels_a\nx,y,many\n", "id,label,pixels_a\nx\n"],
  "split.json": ["{}", '{"seeds": 3}', '{"seeds": {"0": []}}'],
  "examples.npz": ["", "PK\x03\x04", "text"],
}


@pytest.mark.parametrize(
  ("name", "content"), [(name, text) for name, texts in DAMAGE.items() for text in texts]
)
def test_a_damaged_file_is_named(run, tmp_path, capsys, name, content):
  (run / name).write_text(content)
  assert main(["report", str(run), f"--out={tmp_path / 'report'}"]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert f"{run / name} is damaged" in line
  assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_damaged_arrays_are_named(run, tmp_path, capsys):
  with np.load(run / "examples.npz") as file:
    good = dict(file)
  evil = np.array([{"a": 1}], dtype=object)
  for change in ({"masks": good["masks"][:1]}, {"images": good["images"][..., 0]}, {"ids": evil}):
    np.savez(run / "examples.npz", **(good | change))
    assert main(["report", str(run), f"--out={tmp_path / 'report'}"]) == 2
    assert "examples.npz is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ([], "no folder of runs"),
    (["RUN"], "--out is missing"),
    (["RUN", "--out=OUT", "--what=1"], "what"),
    (["nowhere", "--out=OUT"], "no such folder"),
    (["EMPTY", "--out=OUT"], "no run found"),
    (["RUN", "--out=RUN"], "older report"),
    (["RUN", "--out=RUN/data.csv"], "must be a folder"),
    (["RUN", "--out=RUN/data.csv/report"], "cannot be written"),
  ],
)
def test_wrong_use_is_one_line_and_code_2(run, tmp_path, capsys, arguments, message):
  (tmp_path / "empty").mkdir()
  places = {"RUN": str(run), "EMPTY": str(tmp_path / "empty"), "OUT": str(tmp_path / "report")}
  for word, place in places.items():
    arguments = [argument.replace(word, place) for argument in arguments]
  before = sorted(tmp_path.rglob("*"))
  assert main(["report", *arguments]) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith("mlseg.report: ")
  assert message in line
  assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
def test_an_older_report_is_replaced_unless_it_holds_more(run, tmp_path, capsys):
  out = tmp_path / "report"
  assert main(["report", str(run), f"--out={out}"]) == 0
  (out / "figures" / "old.png").write_text("")
  assert main(["report", str(run), f"--out={out}"]) == 0
  assert not (out / "figures" / "old.png").exists()
  (out / "notes.txt").write_text("mine")
  assert main(["report", str(run), f"--out={out}"]) == 2
  assert "notes.txt" in capsys.readouterr().err
  assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "run"]


def test_help_is_help(capsys):
  assert main(["report", "--help"]) == 0
  assert "WORKDIR... --out" in capsys.readouterr().out


@pytest.mark.slow
def test_runs_are_told_apart_by_the_folders_they_were_given_in(run, tmp_path):
  shutil.copytree(run, tmp_path / "a" / "same")
  shutil.copytree(run, tmp_path / "b" / "same")
  words = [str(tmp_path / "a"), str(tmp_path / "b"), str(tmp_path / "a" / "same")]
  assert main(["report", *words, f"--out={tmp_path / 'report'}"]) == 0
  text = _Outline(_page(tmp_path / "report")).text
  assert "Report of 2 runs" in text
  assert f"{tmp_path / 'a'}: same" in text
  assert f"{tmp_path / 'b'}: same" in text


@pytest.mark.slow
def test_a_study_brings_tables_of_its_own(run, tmp_path, monkeypatch):
  table = Table(
    "The study", ("a", "b"), ((TableCell("x"), TableCell("1", True)),), "How to read it."
  )
  monkeypatch.setattr(study, "tables", lambda folder: [table._replace(note=str(folder))])
  content = {"cells": [], "axes": ["a"], "reference": None}
  (tmp_path / "study.json").write_text(json.dumps(content))
  loose = make_run(tmp_path.with_name(f"{tmp_path.name}-loose"), num_lines=2, num_cases=2)
  for words, tables in (([tmp_path], 1), ([tmp_path, loose], 2)):
    out = tmp_path / "report"
    assert main(["report", *map(str, words), f"--out={out}"]) == 0
    scores = _page(out).split('<section id="weights"')[0]
    assert "<caption>The study</caption>" in scores
    assert f'<p class="note">{tmp_path}</p>' in scores
    assert scores.count("<table>") == 1 + tables  # the first is about the recipes
    assert scores.count("50.00 ± 1.00") == 3 * (tables - 1)  # only of the run beside the study


def test_a_damaged_study_is_named(run, tmp_path, capsys):
  (tmp_path / "study.json").write_text("{}")
  assert main(["report", str(tmp_path), f"--out={tmp_path / 'report'}"]) == 2
  assert f"{tmp_path / 'rows.csv'} cannot be read" in capsys.readouterr().err
  for name in ("rows.csv", "comparisons.csv"):
    (tmp_path / name).write_text("name\n")
  assert main(["report", str(tmp_path), f"--out={tmp_path / 'report'}"]) == 2
  assert f"the study in {tmp_path} is damaged" in capsys.readouterr().err


@pytest.mark.slow
def test_losses_that_were_not_finite_leave_a_gap(run, tmp_path):
  lines = (run / "metrics.jsonl").read_text().splitlines()
  first = json.loads(lines[0])
  first["losses"] = dict.fromkeys(first["losses"])
  (run / "metrics.jsonl").write_text("\n".join([json.dumps(first), *lines[1:]]) + "\n")
  assert main(["report", str(run), f"--out={tmp_path / 'report'}"]) == 0
