"""Each file of a run comes back from its module as it was written, and a damaged one is named."""

import json
import math

import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.postprocessing.decision import Choice, Decision
from mlseg.workdir import (
  attention_table,
  box_table,
  case_table,
  data_table,
  diagnosis_table,
  examples_file,
  finding_table,
  metrics_log,
  model_file,
  patients_file,
  postprocessing_file,
  results_file,
  run_files,
  run_folder,
  saliency_file,
  split_file,
)

IDS = ("a, b", 'c "d"', "größe")
RNG = np.random.default_rng(0)


def _pixels(*shape, most=256):
  return RNG.integers(0, most, shape, np.uint8)


def _case_rows(seed):
  counts = np.arange(24).reshape(3, 2, 4)
  metrics = {"dice": np.array([[1, 0.5], [0.25, 0], [1, np.nan]])}
  return case_table.make_rows(seed, IDS, "xyx", ("background", "lesion"), counts, metrics)


DATA = data_table.DataTable(
  IDS,
  ("x", "y", "x"),
  (0, 0, 1),
  {"background": (9, 8, 7), "lesion": (0, 1, 2)},
  {"age": {"a, b": 61.0, "größe": 0.125}, "weight": {}},
  (4, 4, 5),
)
DIAGNOSES = [
  row
  for seed in (0, 1)
  for row in diagnosis_table.make_rows(
    seed, IDS, "xyx", "xy", np.array([[0.75, 0.25], [0.5, 0.5], [0, 1]])
  )
]
FINDINGS = finding_table.make_rows(
  0,
  IDS,
  ["a", "none", "a+b"],
  ["a", "a", "none"],
  "ab",
  np.array([[1, 0], [0, 0], [1, 1]]),
  np.array([[0.75, 0.25], [0.5, 0.25], [0.0, 0.5]]),
)
ATTENTION = attention_table.make_rows(3, IDS[:2], np.array([[0.25, 0.75, 0], [0, 0, 1]]))
BOXES = box_table.make_rows(0, IDS[0], ["lesion"], np.array([0.5]), np.array([[0, 1.5, 2, 3]]))
SPLIT = split_file.SavedSplit(
  {0: {"train": IDS[:1], "validation": (), "test": IDS[1:]}}, ((IDS[0], IDS[2], 3),)
)
EXAMPLES = examples_file.Examples(
  _pixels(3, 4, 5, 1),
  _pixels(3, 4, 5, most=2),
  _pixels(3, 4, 5, most=2),
  np.array(IDS),
  RNG.random(3),
)
SALIENCY = saliency_file.Saliency(
  _pixels(3, 4, 5, 3), _pixels(3, 4, 5), np.array(IDS), np.array(["x", "y", "x"]),
  np.array(["x", "x", "long name"]), {"gradcam": _pixels(3, 4, 5), "other": _pixels(3, 4, 5)},
)  # fmt: skip
PATIENTS = patients_file.Patients(
  np.zeros(2, int), np.array(IDS[:2]), np.array(["x", "y"]), np.array(["x", "x"]), RNG.random(2),
  RNG.random((2, 3)), *(_pixels(2, 3, 4, 5) for _ in range(4)),
)  # fmt: skip
MODEL = {0: {"params": {"Conv_0": {"kernel": RNG.random((2, 3)), "bias": np.zeros(3)}}}}
RESULTS = {
  "split": "test",
  "metrics": {"dice": {"mean": 0.5, "std": None, "per_seed": [0.5]}},
  "classes": {"lesion": {"dice": {"mean": math.nan, "std": None, "per_seed": [math.nan]}}},
  "seeds": [0],
  "config": {"name": "x"},
}
CHOICE = Choice(
  Decision(0.45, 0.002, 0.0),
  7,
  0.5,
  0.75,
  {0.45: 0.75, 0.5: 0.5},
  {0.0: 0.5, 0.002: 0.75},
  {0.0: 1},
)
CHOICES = postprocessing_file.Choices({0: CHOICE, 3: CHOICE._replace(decision=Decision())}, CHOICE)
CONFIG = {
  "config": {"rate": 0.1}, "data": "abc", "strategy": "loop", "device": "1 cpu",
  "versions": {"jax": "1"},
}  # fmt: skip
RECORD = {
  "seed": 0, "step": 1, "epoch": 1.0, "losses": {"a": 0.5}, "weights": {"a": 1.0},
  "cosines": {"a/b": -0.25, "a/c": None},
  "validation": {"dice": 0.5, "accuracy": 0.75, "auc": 0.625},
}  # fmt: skip


def _write_log(workdir, records):
  metrics_log.MetricsFile(workdir / metrics_log.NAME).append(records)


FORMATS = {
  "data.csv": (data_table.write, data_table.read, DATA, DATA),
  "cases.csv": (case_table.write, case_table.read, _case_rows(0) + _case_rows(1), None),
  "diagnoses.csv": (diagnosis_table.write, diagnosis_table.read, DIAGNOSES, None),
  "findings.csv": (finding_table.write, finding_table.read, FINDINGS, None),
  "attention.csv": (attention_table.write, attention_table.read, ATTENTION, None),
  "boxes.csv": (box_table.write, box_table.read, BOXES, None),
  "split.json": (split_file.write, split_file.read, SPLIT, None),
  "examples.npz": (examples_file.write, examples_file.read, EXAMPLES, None),
  "saliency.npz": (saliency_file.write, saliency_file.read, SALIENCY, None),
  "patients.npz": (patients_file.write, patients_file.read, PATIENTS, None),
  "model.npz": (model_file.write, model_file.read, MODEL, None),
  "metrics.jsonl": (_write_log, metrics_log.read, [RECORD, RECORD], None),
  "postprocessing.json": (
    postprocessing_file.write, postprocessing_file.read, CHOICES, None
  ),
  "results.json": (
    results_file.write, results_file.read, RESULTS,
    results_file.Results(
      {"dice": results_file.Metric(0.5, None, (0.5,))}, (0,), {"name": "x"},
      {"lesion": {"dice": results_file.Metric(None, None, (None,))}},
    ),
  ),
  "config.json": (
    run_folder.claim, run_folder.read, CONFIG,
    run_folder.Description({"rate": 0.1}, "abc", "loop", "1 cpu", {"jax": "1"}),
  ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read(tmp_path, name):
  write, read, content, expected = FORMATS[name]
  write(tmp_path, content)
  assert [path.name for path in tmp_path.iterdir()] == [name]
  np.testing.assert_equal(read(tmp_path), content if expected is None else expected)


@pytest.mark.parametrize("name", FORMATS)
def test_a_damaged_file_is_named(tmp_path, name):
  write, read, content, _ = FORMATS[name]
  write(tmp_path, content)
  path = tmp_path / name
  whole = path.read_bytes()
  empty = [] if name == metrics_log.NAME else [b""]  # a log may have no lines yet
  for damaged in (*empty, b"\xff\xfe", whole[: len(whole) // 3]):
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=rf"/{name} is damaged: \w+: "):
      read(tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_file_is_named(tmp_path, name):
  _, read, *_ = FORMATS[name]
  with pytest.raises(UserError, match=rf"/{name} (cannot be read|is not there)"):
    read(tmp_path)


def test_validation_diagnoses_have_a_file_of_their_own(tmp_path):
  name = diagnosis_table.VALIDATION_NAME
  diagnosis_table.write(tmp_path, DIAGNOSES, name)
  assert [path.name for path in tmp_path.iterdir()] == [name]
  assert diagnosis_table.read(tmp_path, name) == DIAGNOSES


def test_the_mean_of_models_has_tables_without_seeds(tmp_path):
  name = case_table.ENSEMBLE_NAME
  rows = [{k: v for k, v in row.items() if k != "seed"} for row in _case_rows(0)]
  metrics = {"dice": np.array([[1, 0.5], [0.25, 0], [1, np.nan]])}
  made = case_table.make_rows(
    None, IDS, "xyx", ("background", "lesion"), np.arange(24).reshape(3, 2, 4), metrics
  )
  np.testing.assert_equal(made, rows)
  case_table.write(tmp_path, rows, name)
  np.testing.assert_equal(case_table.read(tmp_path, name), rows)
  name = diagnosis_table.ENSEMBLE_NAME
  rows = diagnosis_table.make_rows(None, IDS[:1], "x", "xy", np.array([[0.75, 0.25]]))
  diagnosis_table.write(tmp_path, rows, name)
  assert diagnosis_table.read(tmp_path, name) == rows
  assert "seed" not in rows[0]


def test_results_have_the_mean_of_models(tmp_path):
  metrics = {
    "dice": {"value": 0.5, "low": 0.25, "high": 0.75},
    "dice_pooled": {"value": math.nan, "low": None, "high": None},
  }
  results_file.write(tmp_path, RESULTS | {"ensemble": {"num_models": 3, "metrics": metrics}})
  found = run_files.read("x", tmp_path).ensemble
  assert found.num_models == 3
  assert found.metrics["dice"] == (0.5, 0.25, 0.75)
  assert found.metrics["dice_pooled"] == (None, None, None)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"threshold": 1.0}, r"threshold must be in \[0, 1\), not 1.0"),
    ({"threshold": "0.5"}, r"threshold must be in \[0, 1\), not '0.5'"),
    ({"component_share": -0.1}, "component_share must be in"),
    ({"hole_share": True}, "hole_share must be in"),
    ({"dice": 1.5}, r"dice must be in \[0, 1\], not 1.5"),
    ({"grids": {}}, "KeyError: 'threshold'"),
  ],
)
def test_a_choice_out_of_its_range_is_refused(tmp_path, change, message):
  postprocessing_file.write(tmp_path, CHOICES)
  path = tmp_path / postprocessing_file.NAME
  content = json.loads(path.read_text())
  content["seeds"]["3"] |= change
  path.write_text(json.dumps(content))
  with pytest.raises(UserError, match=rf"postprocessing\.json is damaged: .*{message}"):
    postprocessing_file.read(tmp_path)


def test_the_layout_of_the_tables(tmp_path):
  data_table.write(tmp_path, DATA)
  case_table.write(tmp_path, _case_rows(0)[4:])
  assert (tmp_path / "data.csv").read_text().splitlines()[:3] == [
    "id,label,group,patient,pixels_background,pixels_lesion,covariate_age,covariate_weight",
    '"a, b",x,0,4,9,0,61,',
    '"c ""d""",y,0,4,8,1,,',
  ]
  assert (tmp_path / "cases.csv").read_text().splitlines() == [
    "seed,id,label,class,tp,fp,fn,tn,dice",
    "0,größe,x,background,16,17,18,19,1",
    "0,größe,x,lesion,20,21,22,23,nan",
  ]


def test_tables_of_older_runs_have_no_labels_and_no_groups(tmp_path):
  (tmp_path / "data.csv").write_text("id,pixels_background,pixels_lesion\na,3,1\n")
  (tmp_path / "cases.csv").write_text("seed,id,class,dice\n0,a,b,0.5\n0,a,l,0.25\n")
  data = data_table.read(tmp_path)
  assert (data.labels, data.groups, data.covariates) == (("all",), None, {})
  assert data.patients is None
  rows = case_table.read(tmp_path)
  assert case_table.foreground_scores(rows) == {(0, "a"): case_table.CaseScore("all", 0.25)}


def test_classes_and_diagnoses_are_read_from_the_headers(tmp_path):
  data_table.write(tmp_path, DATA)
  assert data_table.class_names(tmp_path) == ("background", "lesion")
  assert case_table.class_names(_case_rows(0)) == ("background", "lesion")
  assert diagnosis_table.read_label_names(tmp_path) == ()
  diagnosis_table.write(tmp_path, DIAGNOSES)
  assert diagnosis_table.read_label_names(tmp_path) == ("x", "y")


def test_a_class_that_is_neither_true_nor_predicted_is_left_out():
  names, counts = ("background", "cyst", "tumour"), np.zeros((2, 3, 4), int)
  counts[:, :, 3] = 9
  counts[0, 1] = [0, 0, 4, 5]  # a missed cyst in the first case, and nothing in the second
  dice = np.array([[0.8, 0.0, 1.0], [1.0, 1.0, 1.0]])
  rows = case_table.make_rows(0, ("a", "b"), ("x", "x"), names, counts, {"dice": dice})
  scores = case_table.foreground_scores(rows)
  assert [scores[0, case].dice for case in ("a", "b")] == [0.0, 1.0]


def test_a_foreground_without_defined_dice_is_nan():
  scores = case_table.foreground_scores(_case_rows(0))
  assert [scores[0, case].dice for case in IDS[:2]] == [0.5, 0.0]
  assert math.isnan(scores[0, IDS[2]].dice)


@pytest.mark.parametrize(
  ("name", "content", "message"),
  [
    ("cases.csv", "seed,id,class\n0,a,b\n", "it has no column 'dice'"),
    ("cases.csv", "seed,id,class,dice\n0,a,b,1,2\n", "row 1 has not as many cells as the header"),
    ("diagnoses.csv", "seed,id,label,predicted\n", "it has no rows"),
    ("diagnoses.csv", "seed,id,label,predicted,probability_a\n0,a,a,a,2\n", r"in \[0, 1\], not 2"),
    ("findings.csv", "seed,id,label,predicted\n", "it has no rows"),
    (
      "findings.csv",
      "seed,id,label,predicted,true_a\n0,a,a,a,2\n",
      "a finding must be 0 or 1, not 2",
    ),
    ("findings.csv", "seed,id,label,predicted,probability_a\n0,a,a,a,2\n", r"in \[0, 1\], not 2"),
    ("data.csv", "id,covariate_age\na,inf\n", "covariate_age must be finite, not inf"),
    ("results.json", '{"metrics": {}}', "KeyError: 'seeds'"),
  ],
)
def test_an_error_gives_the_reason(tmp_path, name, content, message):
  (tmp_path / name).write_text(content)
  with pytest.raises(UserError, match=message):
    FORMATS[name][1](tmp_path)


@pytest.mark.parametrize(
  ("module", "content", "change"),
  [
    (examples_file, EXAMPLES, {"masks": EXAMPLES.masks[:1]}),
    (examples_file, EXAMPLES, {"images": EXAMPLES.images[..., 0]}),
    (saliency_file, SALIENCY, {"labels": SALIENCY.labels[:1]}),
    (saliency_file, SALIENCY, {"maps": {"gradcam": SALIENCY.masks[:, 1:]}}),
    (patients_file, PATIENTS, {"attention": PATIENTS.attention[:, 1:]}),
    (patients_file, PATIENTS, {"masks": PATIENTS.masks.astype(float)}),
  ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, module, content, change):
  module.write(tmp_path, content._replace(**change))
  with pytest.raises(UserError, match=rf"{module.NAME} is damaged: ValueError: "):
    module.read(tmp_path)


def test_some_patients_and_examples():
  assert patients_file.select(PATIENTS, [1]).ids.tolist() == [IDS[1]]
  assert examples_file.select(EXAMPLES, np.array([2, 0])).ids.tolist() == [IDS[2], IDS[0]]


def test_numbers_that_are_not_finite_are_none(tmp_path):
  _write_log(tmp_path, [RECORD | {"losses": {"a": math.nan}}])
  assert json.loads((tmp_path / "metrics.jsonl").read_text())["losses"] == {"a": None}
  assert metrics_log.read(tmp_path)[0]["losses"] == {"a": None}


def test_a_run_with_results_alone_has_no_other_files(tmp_path):
  results_file.write(tmp_path, RESULTS)
  run = run_files.read("x", tmp_path)
  assert run.metrics["dice"].mean == 0.5
  assert run.about.versions == {}
  assert run.config == {"name": "x"}
  files = (run.records, run.cases, run.data, run.split, run.examples, run.saliency, run.patients)
  assert files == (None,) * 7
  assert (run.tested, run.validated) == (None, None)


def test_all_files_of_a_run_are_read_at_once(tmp_path):
  for write, _, content, _ in FORMATS.values():
    write(tmp_path, content)
  run = run_files.read("x", tmp_path)
  assert run.about.device == "1 cpu"
  assert run.cases[1, IDS[1]] == case_table.CaseScore("y", 0.0)
  assert run.data == DATA
  assert run.tested == DIAGNOSES
  assert run.validated is None
  np.testing.assert_equal(run.saliency, SALIENCY)


def test_a_model_that_is_not_finite_is_said_and_not_read(tmp_path):
  broken = {"params": {"w": np.ones(2)}, "batch_stats": {"mean": np.array([0, np.inf])}}
  assert model_file.write(tmp_path, {0: {"params": {"w": np.ones(2)}}, 1: broken}) == [
    "seed_1/batch_stats/mean"
  ]
  with pytest.raises(
    UserError, match=r"model\.npz has 1 of 3 arrays with values that are not finite"
  ):
    model_file.read(tmp_path)
