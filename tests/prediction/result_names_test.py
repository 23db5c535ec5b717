"""No two results have one name, and every name is one that a disk takes."""

import pytest

from mlseg.files import write_file
from mlseg.prediction.result_names import result_names


def test_no_two_results_have_one_name():
  assert result_names(["a.png", "a.jpg", "a.png.png"]) == ["a.png", "a.jpg", "a.png.png"]
  assert result_names(["x/a.png", "y/a.png"]) == ["x/a", "y/a"]
  assert result_names(["A.png", "a.png"]) == ["A.png", "a.png"]  # where the disk has both
  assert result_names(["1.2.840.5", "1.2.840.6"]) == ["1.2.840.5", "1.2.840.6"]
  names = ["a.png", "a.png.jpg", "a.png.jpg.bmp", "a.tif"]
  assert len(set(result_names(names))) == 4


TREES = {
  "a picture beside a folder": ["x", "x.png/a.png", "x.png/b.png"],
  "and a picture of the name that it would get": ["x", "x_.jpg", "x.png/a.png"],
  "in capital letters": ["X", "x.PNG/a.png"],
  "deeper": ["b/x", "b/x.png/c/a.png"],
  "long": ["图" * 82 + ".png", "图" * 82 + ".jpg", "图" * 81 + "像.png", "b/" + "x" * 251 + ".png"],
  "not UTF-8": ["\udce9" * 250 + ".png"],
}


@pytest.mark.parametrize("tree", TREES)
def test_every_result_can_be_written(tmp_path, tree):
  names = result_names(TREES[tree])
  assert len({name.casefold() for name in names}) == len(names)
  for name in names:
    path = tmp_path / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, name)
  for name in names:
    content = (tmp_path / f"{name}.png").read_bytes()
    assert content == name.encode("utf-8", "surrogateescape")


def test_a_long_name_begins_as_it_is_called():
  (name,) = result_names(["b/" + "scan" * 60 + ".png"])
  assert name.startswith("b/scanscan")
  assert len(name) < 210
