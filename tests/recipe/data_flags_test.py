"""`--data` flags give a trained run's recipe other data, and nothing else."""

import pathlib

import pytest

from mlseg.errors import UserError
from mlseg.recipe import data_flags, parse

SMOKE = pathlib.Path(__file__).parents[2] / "configs" / "smoke.py"


@pytest.fixture(scope="module")
def content():
  return parse.content(["", f"--config={SMOKE}", "--config.data.split_seed=7"])


def test_another_layout_has_its_own_keys_and_the_runs_size(content):
  words = ("--data=DIR", "--data.name=folder", "--data.folder.images={name}.png",
           "--data.folder.masks={name}_m.png", "--data.skip_bad=True")  # fmt: skip
  found = data_flags.other_data(content, list(words))
  data = found["data"]
  assert (data["name"], data["root"], data["skip_bad"]) == ("folder", "DIR", True)
  assert data["folder"]["images"] == "{name}.png"
  assert data["folder"]["classes"] == (("background", 0), ("lesion", 255))
  assert "busi" not in data
  for key in ("image_size", "diameter", "split_seed"):
    assert data[key] == content["data"][key]
  assert {key: own for key, own in found.items() if key != "data"} == {
    key: own for key, own in content.items() if key != "data"
  }


def test_the_layout_of_the_run_keeps_its_options(content):
  own = content | {"data": content["data"] | {"busi": {"normal": True}, "root": "OLD"}}
  assert data_flags.other_data(own, ["--data=NEW"])["data"]["busi"] == {"normal": True}
  assert data_flags.other_data(own, ["--data.name=busi"])["data"]["root"] is None
  changed = data_flags.other_data(own, ["--data=NEW", "--data.busi.normal=False"])
  assert changed["data"]["busi"] == {"normal": False}


def test_classes_are_given_as_in_a_recipe(content):
  classes = "(('background', 0), ('tumour', (1, 2)))"
  words = ["--data=DIR", "--data.name=folder", f"--data.folder.classes={classes}"]
  found = data_flags.other_data(content, words)["data"]["folder"]["classes"]
  assert found == (("background", 0), ("tumour", (1, 2)))


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ((), "--data is missing: give a folder, with --data.name=NAME for another layout"),
    (("--data.name=busy",), "unknown --data.name 'busy': choose from bus_synthetic, busc, busi"),
    (("--data.image_size=64",), "unknown key of --data 'image_size': choose from busi.*, mask_res"),
    (("--data.name=folder", "--data.folder.image=a"), "unknown config key 'image'. Did you mean"),
    (("--data.folder.images=a",), "unknown key of --data 'folder': choose from busi.*, mask_res"),
    (("--data.skip_bad=2",), "flag --data.skip_bad=2: Non-boolean argument to boolean flag"),
  ],
)
def test_a_mistake_is_named_with_its_flag(content, words, message):
  with pytest.raises(UserError) as caught:
    data_flags.other_data(content, list(words))
  assert str(caught.value).startswith(message)


def test_errors_name_flags_instead_of_keys():
  text = "config.data.root and --config.data.skip_bad=True, not configs.data"
  with pytest.raises(UserError) as caught, data_flags.named_as_flags():
    raise UserError(text)
  assert str(caught.value) == "--data.root and --data.skip_bad=True, not configs.data"
