"""Which file is a picture and which its mask, where naming patterns match both."""

import unicodedata

import pytest

from mlseg.data.datasets import folder_files, patterns
from mlseg.data.findings import Findings


def _find(root, images, masks, *files, ignored=()):
  """Returns the names of the masks by picture, and what was found beside."""
  for name in files:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).touch()
  found = Findings()
  names = folder_files.NamePatterns(
    patterns.parse(images, "images"),
    patterns.parse(masks, "masks"),
    tuple(patterns.parse(one, "ignored", needs_name=False) for one in ignored),
  )
  cases = folder_files.find(root, names, ["t.csv"], found)
  masks_of = {
    case.image.relative_to(root).as_posix(): [
      path.relative_to(root).as_posix() for _, path in case.masks
    ]
    for case in cases
  }
  return masks_of, found


@pytest.mark.parametrize(
  ("images", "masks", "expected"),
  [
    ("{name}.png", "{name}_*.png", {"p_1.png": ["p_1_seg.png"], "p_2.png": ["p_2_seg.png"]}),
    ("{name}.png", "{name}_mask*.png", {"a.png": ["a_mask.png", "a_mask_1.png"]}),
    ("*/{name}.png", "m/{name}.png", {"i/1.png": ["m/1.png"], "i/10.png": ["m/10.png"]}),
    ("i/{name}.png", "*/{name}.png", {"i/1.png": ["m/1.png"], "i/10.png": ["m/10.png"]}),
    ("*/{name}.png", "m/{name}*.png", {"i/1.png": ["m/1_a.png"], "i/10.png": ["m/10_a.png"]}),
    ("{name}.*", "{name}_gt.*", {"a.b.png": ["a.b_gt.png"]}),
  ],
)
def test_no_pattern_takes_the_files_of_another(tmp_path, images, masks, expected):
  files = [name for picture, own in expected.items() for name in (picture, *own)]
  assert _find(tmp_path, images, masks, *files)[0] == expected


def test_upper_case_suffixes_match_and_two_of_one_name_are_a_fault(tmp_path):
  files = ["i/1.PNG", "m/1.png", "i/2.png", "m/2.Png", "i/2.PNG"]
  masks_of, found = _find(tmp_path, "i/{name}.png", "m/{name}.png", *files)
  assert list(masks_of) == ["i/1.PNG", "i/2.PNG"]
  (fault,) = found.faults
  assert fault.file == f"{tmp_path}/i/2.png"
  assert fault.reason.startswith("has the same name as ")


def test_a_picture_and_a_mask_may_have_other_forms_of_unicode(tmp_path):
  files = [unicodedata.normalize("NFC", "i/é.png"), unicodedata.normalize("NFD", "m/é.png")]
  masks_of, found = _find(tmp_path, "i/{name}.png", "m/{name}.png", *files)
  assert len(masks_of) == 1
  assert found.faults == []


def test_files_are_passed_over_where_it_is_asked_for(tmp_path):
  files = ["i/1.jpg", "m/1.png", "m/1_binary.png", "m/1_binary_binary.png", "t.csv", "folds.csv"]
  masks_of, found = _find(tmp_path, "i/{name}.jpg", "m/{name}.png", *files)
  assert len(found.faults) == 2
  ignored = ("*/*_binary.png",)
  masks_of, found = _find(tmp_path, "i/{name}.jpg", "m/{name}.png", *files, ignored=ignored)
  assert masks_of == {"i/1.jpg": ["m/1.png"]}
  assert (found.faults, found.unmatched) == ([], ["folds.csv"])
