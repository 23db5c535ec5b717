"""ISIC 2018: the published folders and tables, its three tasks, and what must be refused."""

import re

import numpy as np
import pytest
import tensorflow_datasets as tfds

from mlseg.data import cases, prepare
from mlseg.data.datasets import isic_2018, isic_tables
from mlseg.errors import UserError
from tests.data.layouts import isic, picture, save, write_table

PARTIAL = isic_2018.Isic2018Options(complete=False)
FIRST = 24306  # number of the first picture in task 3
CLASSES = ("NV", "MEL", "BKL", "BCC", "AKIEC", "DF", "VASC", "NV")


def _name(n):
  return f"ISIC_{FIRST + n:07d}"


def _task3(root, masks=False):
  """Writes task 3 as published: pictures, one-hot classes, lesions; and HAM10000's masks."""
  rng = np.random.default_rng(5)
  for n in range(len(CLASSES)):
    image, mask = picture(rng, shape=(45, 60), channels=3)
    save(root / isic_2018.INPUTS[3] / f"{_name(n)}.jpg", image)
    if masks:
      save(root / isic_2018.MASKS[3] / f"{_name(n)}_segmentation.png", 255 * mask)
  rows = [
    [_name(n), *(float(label == own) for label in isic_tables.LABELS)]
    for n, own in enumerate(CLASSES)
  ]
  truth = root / isic_tables.TRUTH
  truth.mkdir(parents=True)
  write_table(truth / f"{isic_tables.TRUTH}.csv", ["image", *isic_tables.LABELS], rows)
  lesions = [[_name(n), f"HAM_{n // 2:07d}", "histopathology"] for n in range(len(CLASSES))]
  header = ["image", "lesion_id", "diagnosis_confirm_type"]
  write_table(root / isic_tables.GROUPINGS, header, lesions)
  (root / isic_2018.INPUTS[3] / "ATTRIBUTION.txt").write_text("HAM10000")
  return root


def _archive(root, column="diagnosis"):
  """Writes the archive's table of task 1's six pictures."""
  found = ["Nevus", "melanoma", "seborrheic keratosis", "", "lentigo NOS", "Melanoma in situ"]
  rows = [[f"ISIC_{n:07d}", "male", value] for n, value in enumerate(found)]
  write_table(root / isic_tables.ARCHIVE, ["isic_id", "sex", column], rows)


def _load(root, **changes):
  cache = root.parent / "cache"
  options = PARTIAL._replace(**changes)
  return cases.load(
    "isic_2018", root=str(root), image_size=32, diameter=0, options=options, cache=cache
  )


def test_segmentation_is_task_1(tmp_path):
  data = _load(isic(tmp_path / "data"), task="segmentation")
  assert data.ids == tuple(f"ISIC_{n:07d}" for n in range(6))
  assert data.images.shape == (6, 32, 32, 3)
  assert data.masks.any((1, 2)).all()
  assert set(np.unique(data.masks)) == {0, 1}
  assert data.label_names == ("unknown",)
  assert data.patients is None
  assert data.duplicate_bits == 24


def test_classification_is_task_3(tmp_path):
  data = _load(_task3(tmp_path / "data"), task="classification", channels=1)
  assert data.ids[0] == "ISIC_0024306"
  assert [data.label_names[label] for label in data.labels] == list(CLASSES)
  assert data.label_names == isic_tables.LABELS
  assert data.images.shape == (8, 32, 32, 1)
  assert not data.masks.any()
  assert data.patients.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]  # by lesion


def test_both_takes_task_3_with_the_masks_of_ham10000(tmp_path):
  root = isic(_task3(tmp_path / "data", masks=True))
  data = _load(root)
  assert data.ids == tuple(map(_name, range(8)))  # task 1 has no classes here
  assert data.masks.any((1, 2)).all()
  assert [data.label_names[label] for label in data.labels] == list(CLASSES)


@pytest.mark.parametrize("column", ["diagnosis", "diagnosis_3"])
def test_both_takes_task_1_with_the_diagnoses_of_the_archive(tmp_path, column):
  root = isic(tmp_path / "data")
  _archive(root, column)
  data = _load(root)
  assert data.ids == tuple(f"ISIC_{n:07d}" for n in (0, 1, 2, 5))  # the others are of no class
  assert [data.label_names[label] for label in data.labels] == ["NV", "MEL", "BKL", "MEL"]
  assert data.label_names == ("MEL", "NV", "BKL")
  np.testing.assert_array_equal(data.masks, _load(root, task="segmentation").masks[[0, 1, 2, 5]])


def test_both_tasks_together(tmp_path):
  root = isic(_task3(tmp_path / "data", masks=True))
  _archive(root)
  data = _load(root)
  assert len(data.ids) == 4 + 8
  assert data.patients[4] == data.patients[5] != data.patients[0]
  assert len(set(data.patients.tolist())) == 4 + 4  # who is of no known lesion is on their own


def test_the_metadata_of_ham10000_will_do(tmp_path):
  root = _task3(tmp_path / "data", masks=True)
  expected = _load(root)
  (root / isic_tables.TRUTH / f"{isic_tables.TRUTH}.csv").unlink()
  (root / isic_tables.GROUPINGS).unlink()
  rows = [[f"HAM_{n // 2:07d}", _name(n), own.lower(), "histo"] for n, own in enumerate(CLASSES)]
  write_table(root / "HAM10000_metadata", ["lesion_id", "image_id", "dx", "dx_type"], rows)
  data = _load(root)
  np.testing.assert_array_equal(data.labels, expected.labels)
  np.testing.assert_array_equal(data.patients, expected.patients)


def test_the_builder_writes_what_is_loaded(tmp_path, monkeypatch):
  root = _task3(tmp_path / "data", masks=True)
  own = isic_2018.Isic2018.builder_configs["both"]
  monkeypatch.setattr(own, "options", own.options._replace(complete=False))
  builder = tfds.builder_from_directory(prepare.prepare("isic_2018", root, tmp_path / "out"))
  rows = sorted(builder.as_data_source(split="train"), key=lambda row: row["id"])
  assert [row["id"].decode() for row in rows] == list(map(_name, range(8)))
  assert [isic_tables.LABELS[row["label"]] for row in rows] == list(CLASSES)
  assert {row["image"].shape for row in rows} == {(45, 60, 3)}
  assert rows[0]["patient"] == rows[1]["patient"] == b"HAM_0000000"
  assert "tschandl2018" in builder.info.citation


def _no_mask(root):
  (root / isic_2018.MASKS[1] / "ISIC_0000002_segmentation.png").unlink()
  return "segmentation", r"ISIC_0000002\.jpg: has no mask, expected ISIC_0000002_segmentation\.png"


def _no_picture(root):
  (root / isic_2018.INPUTS[1] / "ISIC_0000002.jpg").unlink()
  return "segmentation", r"ISIC_0000002_segmentation\.png: is a mask without a picture"


def _other_size(root):
  save(root / isic_2018.MASKS[1] / "ISIC_0000002_segmentation.png", np.zeros((9, 9)))
  return "segmentation", r"is 9×9, but its picture ISIC_0000002\.jpg is 32×44"


def _no_masks(root):
  (root / isic_2018.MASKS[1]).rename(root / "masks")
  return "segmentation", "is not ISIC 2018: it has no ISIC2018_Task1_Training_GroundTruth"


def _no_overlap(root):
  return "both", "has both a mask and a class, as tasks 1 and 3 have none in common: add HAM10000_"


def _nothing(root):
  for place in isic_2018.INPUTS.values():
    (root / place).rename(root / place.lower())
  return "both", "is not ISIC 2018: it has no ISIC2018_Task1-2_Training_Input or"


def _no_row(root):
  save(root / isic_2018.INPUTS[3] / "ISIC_0030000.jpg", np.zeros((9, 9)))
  return "classification", r"GroundTruth\.csv: has no row of the picture ISIC_0030000"


def _row_too_many(root):
  (root / isic_2018.INPUTS[3] / f"{_name(3)}.jpg").unlink()
  return "classification", "no picture has the name 'ISIC_0024309' of a row"


def _two_classes(root):
  path = root / isic_tables.TRUTH / f"{isic_tables.TRUTH}.csv"
  path.write_text(path.read_text().replace(f"{_name(1)},1.0,0.0", f"{_name(1)},1.0,1.0"))
  return "classification", "the row of ISIC_0024307 must have one 1 and six 0"


def _no_table(root):
  (root / isic_tables.TRUTH / f"{isic_tables.TRUTH}.csv").unlink()
  return "classification", r"table .*GroundTruth\.csv: cannot be read \(No such file"


def _no_class(root):
  rows = [["HAM_0", _name(0), "wart"]]
  write_table(root / "HAM10000_metadata.csv", ["lesion_id", "image_id", "dx"], rows)
  return "both", "dx of ISIC_0024306 must be one of mel, nv, .*, not 'wart'"


REFUSALS = [
  _no_mask, _no_picture, _other_size, _no_masks, _no_overlap, _nothing, _no_row, _row_too_many,
  _two_classes, _no_table, _no_class,
]  # fmt: skip


@pytest.mark.parametrize("spoil", REFUSALS, ids=lambda f: f.__name__.strip("_"))
def test_what_is_wrong_is_refused_by_name(tmp_path, spoil):
  root = isic(_task3(tmp_path / "data"))
  task, message = spoil(root)
  with pytest.raises(UserError, match=message):
    _load(root, task=task)
  assert not list(tmp_path.glob("cache/*"))


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"task": "all"}, "unknown config.data.isic_2018.task 'all': choose from both, class"),
    ({"channels": 4}, "config.data.isic_2018.channels must be 1 or 3, not 4"),
    ({"duplicate_bits": 256}, "config.data.isic_2018.duplicate_bits must be -1 to 255, not 256"),
    ({"complete": True}, "ISIC 2018 has 2594 pictures in task 1, but 6 are here; --config.data."),
    (
      {"complete": True, "task": "classification"},
      "ISIC 2018 has 10015 pictures in task 3, but 8 are here",
    ),
  ],
)
def test_wrong_options_are_named(tmp_path, options, message):
  root = isic(_task3(tmp_path / "data"))
  with pytest.raises(UserError, match=re.escape(message)):
    _load(root, **options)
