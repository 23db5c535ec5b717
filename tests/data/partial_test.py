"""Cases that lack a mask or a diagnosis: what is hidden, how they are split and read."""

import numpy as np
import pytest

from mlseg.data import padding, partial
from mlseg.errors import UserError
from mlseg.recipe import split as recipe_split
from tests.data import layouts
from tests.training import made


def _recipe(*settings, **fields):
  return made.make_experiment(*settings).data._replace(**fields)


@pytest.fixture
def cases():
  """Returns 24 cases; 0 to 3 have no mask, 2 to 5 no diagnosis, so that 2 and 3 have nothing."""
  found = made.make_cases()
  found.masks[:4] = padding.UNLABELLED
  found.labels[2:6] = partial.UNKNOWN
  return found


def test_what_is_hidden_depends_on_the_training_part_alone():
  train = np.arange(5, 25)
  one, again = (partial.hide(part, 40, 0.3, 0.25) for part in (train, np.repeat(train, 2)))
  np.testing.assert_array_equal(one.masks, again.masks)
  assert (one.masks.sum(), one.labels.sum()) == (6, 5)
  assert not (one.masks & one.labels).any()
  assert not one.masks[:5].any()
  other = partial.hide(train + 1, 40, 0.3, 0.25)
  assert (other.masks != one.masks).any()


def test_cases_that_lack_something_are_for_training_alone(cases):
  for seed in range(4):
    split = recipe_split.make_split(_recipe(), 4, cases, None, seed)
    assert {0, 1, 4, 5} <= set(split.train.tolist())
    assert not {2, 3} & set(np.concatenate(split).tolist())  # they train nothing
    assert min(*split.validation, *split.test) >= 6


def test_a_case_whose_group_is_tested_is_left_out(cases):
  groups = np.arange(24) // 2 * 2
  groups[[0, 1]] = groups[22]
  found = [recipe_split.make_split(_recipe(), 4, cases, groups, seed) for seed in range(6)]
  tested = [22 in (*split.validation, *split.test) for split in found]
  assert any(tested)
  assert not all(tested)
  for split, left_out in zip(found, tested, strict=True):
    assert (0 in split.train) != left_out


def test_they_can_be_left_out(cases):
  recipe = _recipe(partly_labelled="leave_out")
  assert min(recipe_split.make_split(recipe, 4, cases, None, 0).train) >= 6
  full = made.make_cases()
  whole = recipe_split.make_split(_recipe(), 4, full, None, 0)
  hiding = _recipe(hide_masks=0.25, hide_diagnoses=0.25)
  assert recipe_split.make_split(hiding, 4, full, None, 0).train.tolist() == whole.train.tolist()
  hidden = recipe_split.hidden_of(hiding, full, whole.train)
  hiding = hiding._replace(partly_labelled="leave_out")
  left = recipe_split.make_split(hiding, 4, full, None, 0)
  assert set(whole.train) - set(left.train) == set(np.flatnonzero(hidden.masks | hidden.labels))
  assert recipe_split.hidden_of(hiding, full, left.train) is None


def test_a_folder_that_may_lack_labels_is_not_sampled_by_them():
  options = layouts.options_of(missing=True)
  recipe = _recipe(name="folder", options=options, sampling="labels")
  with pytest.raises(UserError, match="sampling must be 'shuffle' with"):
    recipe_split.check_partial(recipe, ["soft_dice"], 1)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    (["data.hide_masks=0.7", "data.hide_diagnoses=0.5"], "a sum of at most 1"),
    (["data.hide_masks=0.3", "data.sampling=lesion_size"], "sampling must be 'shuffle'"),
    (["data.hide_masks=0.3", "num_microbatches=2"], "num_microbatches must be 1"),
  ],
)
def test_a_recipe_that_cannot_hide_is_refused(settings, message):
  with pytest.raises(UserError, match=message):
    made.make_experiment(*settings)


def _folder(root):
  layouts.bus_bra(root)
  (root / "Masks" / "mask_0001-l.png").unlink()
  rows = (root / "bus_data.csv").read_text().splitlines()
  empty = ("bus_0002-r", "bus_0004-l")
  kept = [row.replace("benign", "") if row.startswith(empty) else row for row in rows]
  (root / "bus_data.csv").write_text("\n".join(kept))
  return root


def test_a_folder_may_lack_masks_rows_and_diagnoses(tmp_path):
  root = _folder(tmp_path)
  found = layouts.load(root, **layouts.BUS_BRA, missing=True)
  named = dict(zip(found.ids, range(len(found.ids)), strict=True))
  assert len(found.ids) == 16
  assert found.label_names == ("benign", "malignant")
  assert [found.labels[named[name]] for name in ("0002-r", "0004-l")] == [-1, -1]
  lacking = ~partial.has_mask(found.masks)
  assert np.flatnonzero(lacking).tolist() == [named["0001-l"]]
  assert found.is_partial
  assert not partial.is_complete(found.masks, found.labels)[list(named.values())[:1]].all()


def test_a_row_may_be_missing_where_it_names_no_patient(tmp_path):
  root = _folder(tmp_path)
  rows = (root / "bus_data.csv").read_text().splitlines()
  (root / "bus_data.csv").write_text("\n".join(rows[:-1]))
  with pytest.raises(UserError, match="no row with the id 'bus_0008-r'"):
    layouts.load(root, **layouts.BUS_BRA, missing=True)
  found = layouts.load(root, **layouts.BUS_BRA | {"patient_column": ""}, missing=True)
  assert found.labels[found.ids.index("0008-r")] == partial.UNKNOWN


def test_a_patient_may_not_be_missing(tmp_path):
  root = _folder(tmp_path)
  text = (root / "bus_data.csv").read_text()
  (root / "bus_data.csv").write_text(text.replace("bus_0003-l,3,", "bus_0003-l,,"))
  with pytest.raises(UserError, match="the row of 'bus_0003-l' has no value in column 'Case'"):
    layouts.load(root, **layouts.BUS_BRA, missing=True)


def test_without_the_option_they_are_refused(tmp_path):
  root = _folder(tmp_path)
  with pytest.raises(UserError, match=r"has no mask, expected Masks/mask_0001-l\.png"):
    layouts.load(root, **layouts.BUS_BRA)


def test_findings_may_be_missing(tmp_path):
  layouts.bus_bra(tmp_path)
  names = [f"bus_{n:04d}-{side}" for n in range(1, 9) for side in "lr"]
  rows = [
    [name, "" if name == "bus_0003-l" else n % 2, (n > 5) * 1] for n, name in enumerate(names)
  ]
  layouts.write_table(tmp_path / "bus_data.csv", ["ID", "one", "two"], rows[:-1])
  options = {name: text for name, text in layouts.BUS_BRA.items() if "column" not in name}
  found = layouts.load(
    tmp_path, **options, id_column="ID", label_columns=("one", "two"), missing=True
  )
  known = partial.has_label(found.findings)
  assert [found.ids[n] for n in np.flatnonzero(~known)] == ["0003-l", "0008-r"]
