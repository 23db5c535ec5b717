"""Cases with several findings: their columns in a folder's table, and the strata of a split."""

import re

import numpy as np
import pytest

from mlseg.data import multilabel
from mlseg.data.splits import grouped
from mlseg.errors import UserError
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import split as recipe_split
from tests.data import layouts
from tests.data.layouts import load, options_of, write_table

CONFIG = layouts.CONFIG.with_name("findings.py")


def test_a_case_has_the_findings_of_its_row_and_their_combination_as_label(tmp_path):
  data = load(layouts.with_findings(tmp_path), **layouts.FINDINGS)
  assert data.finding_names == data.diagnosis_names == ("effusion", "edema")
  assert data.findings.dtype == np.int32
  assert data.findings[:4].tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
  assert data.diagnoses is data.findings
  assert data.label_names == ("edema", "effusion", "effusion+edema", "none")
  assert [data.label_names[n] for n in data.labels[:4]] == [
    "none", "effusion", "edema", "effusion+edema"
  ]  # fmt: skip
  again = load(tmp_path, **layouts.FINDINGS)
  assert again.fingerprint == data.fingerprint
  other = load(tmp_path, **layouts.FINDINGS | {"label_columns": ("edema",)})
  assert other.fingerprint != data.fingerprint
  assert other.findings[:4].tolist() == [[0], [0], [1], [1]]


def test_numbers_may_be_written_in_any_form(tmp_path):
  layouts.with_findings(tmp_path, count=4)
  rows = [["0000", "1.0", "0"], ["0001", "0.0", " 1 "], ["0002", "0", "0"], ["0003", "1", "1"]]
  write_table(tmp_path / "findings.csv", ["name", "effusion", "edema"], rows, separator=";")
  data = load(tmp_path, **layouts.FINDINGS)
  assert data.findings.tolist() == [[1, 0], [0, 1], [0, 0], [1, 1]]


@pytest.mark.parametrize(
  ("value", "said"),
  [
    ("2", "findings.csv: row 3 column 'edema' must be 0 or 1, not '2'"),
    ("-1", "findings.csv: row 3 column 'edema' must be 0 or 1, not '-1'"),
    ("yes", "findings.csv: row 3 column 'edema' must be 0 or 1, not 'yes'"),
    ("", "findings.csv: row 3 has no value in column 'edema'"),
    ("NA", "findings.csv: row 3 has no value in column 'edema' ('NA' stands for a missing one)"),
  ],
)
def test_a_value_that_is_neither_0_nor_1_is_named(tmp_path, value, said):
  layouts.with_findings(tmp_path, count=3)
  rows = [["0000", 0, 1], ["0001", 1, value], ["0002", 0, 0]]
  write_table(tmp_path / "findings.csv", ["name", "effusion", "edema"], rows)
  with pytest.raises(UserError, match=re.escape(said)):
    load(tmp_path, **layouts.FINDINGS)
  data = load(tmp_path, skip_bad=True, **layouts.FINDINGS)
  assert data.ids == ("0000", "0002")


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"table": ""}, "label_columns needs config.data.folder.table"),
    ({"label_column": "case"}, "label_column must be '' with label_columns: a case has one diag"),
    ({"images": "{label}/{name}.png"}, "images must not have the field {label} with label_columns"),
    ({"label_columns": ("edema", "edema")}, "label_columns must be different columns"),
    ({"label_columns": ("name",)}, "label_columns must be different columns, without names"),
    ({"label_columns": ("mass",)}, "findings.csv: has no column 'mass', only name, effusion"),
  ],
)
def test_columns_that_do_not_go_with_other_options_are_refused(tmp_path, changes, said):
  layouts.with_findings(tmp_path, count=3)
  with pytest.raises(UserError, match=re.escape(said)):
    load(tmp_path, **layouts.FINDINGS | changes)


def test_the_options_are_checked_without_the_data(tmp_path):
  flags = [f"--config={CONFIG}", f"--config.data.root={tmp_path}/nowhere"]
  content = parse.content(["", *flags, "--config.data.folder.label_column=case"])
  with pytest.raises(UserError, match="label_column must be '' with label_columns"):
    experiment.read(content)


def test_combinations_that_are_rare_share_a_stratum():
  rng = np.random.default_rng(0)
  for seed in range(20):
    findings = (rng.random((100, 4)) < rng.random(4) / 2).astype(int)
    least = int(rng.integers(1, 40))
    strata = multilabel.strata(findings, least)
    sizes = np.bincount(strata)
    assert len(sizes) == 1 or sizes.min() >= least, seed
    combinations, counts = np.unique(findings, axis=0, return_counts=True)
    for combination, count in zip(combinations, counts, strict=True):
      own = set(strata[(findings == combination).all(1)])
      assert len(own) == 1  # a combination is never torn apart
      if count >= least and sizes.min() >= least and len(sizes) == len(counts):
        assert sizes[own.pop()] == count
  assert multilabel.strata(np.zeros((3, 2), int), 50).tolist() == [0, 0, 0]


@pytest.mark.parametrize("folds", [0, 3])
def test_a_split_of_patients_shares_out_the_findings_even_where_a_combination_is_unique(
  tmp_path, folds
):
  layouts.with_findings(tmp_path, count=48)
  rows = [[f"{n:04d}", n % 2, n // 2 % 2, int(n == 7), n // 2] for n in range(48)]
  header = ["name", "effusion", "edema", "mass", "case"]
  write_table(tmp_path / "findings.csv", header, rows)
  columns = "('effusion', 'edema', 'mass')"
  content = parse.content([
    "", f"--config={CONFIG}", f"--config.data.root={tmp_path}", "--config.data.image_size=32",
    f"--config.data.folder.label_columns={columns}", "--config.data.folder.patient_column=case",
    "--config.data.folder.duplicate_bits=-1", f"--config.data.num_folds={folds}",
    "--config.data.fractions=(0.5, 0.25, 0.25)",
  ])  # fmt: skip
  recipe = experiment.read(content).data
  data = recipe_data.load_cases(recipe)
  assert "effusion+edema+mass" in data.label_names
  groups = grouped.groups(len(data.ids), [], data.patients)
  split = recipe_split.make_split(recipe, 8, data, groups, 0)
  assert sorted(np.concatenate(split).tolist()) == list(range(48))
  for part in split:
    assert 0.3 < data.findings[part][:, :2].mean() < 0.7
  sides = [set(data.patients[part].tolist()) for part in split]
  assert sum(map(len, sides)) == 24  # no patient is on two sides


def test_without_columns_cases_have_no_findings(tmp_path):
  data = load(layouts.with_findings(tmp_path, count=3), duplicate_bits=-1)
  assert data.findings is None
  assert data.diagnosis_names == data.label_names == ("unknown",)
  assert options_of().label_columns == ()
