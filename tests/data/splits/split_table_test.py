"""A table decides which cases are trained, validated and tested."""

import numpy as np
import pytest

from mlseg.data.splits import split_table
from mlseg.errors import UserError
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import split as recipe_split
from tests.training import made

IDS = tuple(f"case {n}" for n in range(12))
PATIENTS = tuple(f"p{n // 3}" for n in range(12))
LABELS = np.arange(12) % 2


def _table(folder, text):
  path = folder / "folds.csv"
  path.write_text(text)
  return path


def _split(path, fold=0, groups=None):
  division = split_table.read(path, IDS, PATIENTS)
  return split_table.split(division, LABELS, groups, fold=fold, seed=0, validation=0.25)


def test_each_fold_is_tested_once(tmp_path):
  path = _table(tmp_path, "id,fold\n" + "".join(f"{name},{n % 3}\n" for n, name in enumerate(IDS)))
  for fold in range(3):
    split = _split(path, fold)
    assert split.test.tolist() == [n for n in range(12) if n % 3 == fold]
    assert sorted(np.concatenate(split).tolist()) == list(range(12))
    assert len(split.validation) == 2


def test_patients_have_their_parts_and_validation_is_drawn(tmp_path):
  path = _table(tmp_path, "patient;part;more\np0;train;x\np1;test;y\np2;train;z\np3;train;\n")
  groups = np.repeat([0, 1, 2, 3], 3)
  split = _split(path, groups=groups)
  assert split.test.tolist() == [3, 4, 5]
  assert len(split.validation) == 3  # one whole patient
  assert len(set(groups[split.validation].tolist())) == 1


def test_all_three_parts_may_be_given(tmp_path):
  parts = ["train"] * 6 + ["validation"] * 2 + ["test"] * 4
  rows = "".join(f"{name},{part}\n" for name, part in zip(IDS, parts, strict=True))
  split = _split(_table(tmp_path, f"id,part\n{rows}another case,train\n"))
  assert [len(part) for part in split] == [6, 2, 4]


def test_folds_are_in_the_order_of_their_numbers(tmp_path):
  rows = "".join(f"{name},fold{n + 1}\n" for n, name in enumerate(IDS))
  division = split_table.read(_table(tmp_path, f"id,fold\n{rows}"), IDS, ())
  assert division.folds[:3] == ["fold1", "fold2", "fold3"]
  assert division.folds[-1] == "fold12"


@pytest.mark.parametrize(
  ("text", "message"),
  [
    (
      "name,fold\ncase 0,1\n",
      "must have a column 'id' or 'patient', and a column 'fold' or 'part'",
    ),
    ("id,fold\ncase 0,1\n", "has no row for the id case 1, case 2, case 3 and 8 more"),
    ("patient,fold\np0,1\np1,1\np2,0\n", "has no row for the patient p3$"),
    ("patient,part\np0,train\np1,test\np2,val\np3,test\n", "a part must be one of train, valid"),
    ("patient,part\np0,test\np1,test\np2,test\np3,test\n", "the table of parts has no case for tr"),
    ("patient,fold\np0,1\np1,1\np2,1\np3,1\n", "the table of folds has 1$"),
  ],
)
def test_a_wrong_table_is_refused(tmp_path, text, message):
  with pytest.raises(UserError, match=message):
    _split(_table(tmp_path, text))


def test_patients_must_be_known(tmp_path):
  with pytest.raises(UserError, match="names patients, which the data do not tell"):
    split_table.read(_table(tmp_path, "patient,fold\np0,1\n"), IDS, ())


def _recipe(**keys):
  content = parse.content(["", f"--config={made.SMOKE}"])
  return experiment.read(content | {"data": content["data"] | keys}).data


def test_a_recipe_takes_the_table(tmp_path):
  cases = made.make_cases(12)._replace(ids=IDS)
  rows = "".join(f"{name},{n % 3}\n" for n, name in enumerate(IDS))
  path = _table(tmp_path, f"id,fold\n{rows}")
  recipe = _recipe(split="file", split_file=str(path))
  for seed in range(4):  # the fourth tests the first fold again
    split = recipe_split.make_split(recipe, 4, cases, None, seed)
    assert split.test.tolist() == [n for n in range(12) if n % 3 == seed % 3]
  fixed = recipe._replace(fold=2)
  assert recipe_split.make_split(fixed, 4, cases, None, 0).test.tolist() == [2, 5, 8, 11]


@pytest.mark.parametrize(
  ("keys", "message"),
  [
    ({"split": "file"}, "config.data.split 'file' and config.data.split_file go together"),
    ({"split_file": "x.csv"}, "config.data.split 'file' and config.data.split_file go together"),
    ({"split": "file", "split_file": "/no/x.csv"}, "config.data.split_file /no/x.csv does not ex"),
    ({"split": "file", "split_file": __file__, "num_folds": 3}, "config.data.num_folds must be 0"),
  ],
)
def test_a_wrong_recipe_is_refused(keys, message):
  with pytest.raises(UserError) as caught:
    _recipe(**keys)
  assert str(caught.value).startswith(message)


def test_names_of_patients_come_with_the_data(tmp_path):
  import cv2

  (tmp_path / "images").mkdir()
  (tmp_path / "masks").mkdir()
  mask = np.zeros((16, 16), np.uint8)
  mask[4:9, 4:9] = 255
  for n in range(3):
    cv2.imwrite(str(tmp_path / f"images/p{n % 2}_{n}.png"), np.full((16, 16), 40 * n + 9, np.uint8))
    cv2.imwrite(str(tmp_path / f"masks/p{n % 2}_{n}.png"), mask)
  keys = {
    "data.root": tmp_path, "data.image_size": 16, "data.diameter": 0,
    "data.folder.images": "images/{patient}_{name}.png",
    "data.folder.masks": "masks/{patient}_{name}.png",
  }  # fmt: skip
  flags = [f"--config.{key}={value}" for key, value in keys.items()]
  content = parse.content(["", f"--config={made.SMOKE.parent / 'folder.py'}", *flags])
  cases = recipe_data.load_cases(experiment.read(content).data)
  assert sorted(cases.patient_names) == ["p0", "p0", "p1"]
