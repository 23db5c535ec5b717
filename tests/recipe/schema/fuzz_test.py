"""Every key of every recipe with every kind of bad value: one line, or a recipe that can train.

The cases are made from the recipes and from the schema, so a new key is tried as well.
"""

import copy
import math
import pathlib

import jax
import jax.numpy as jnp
import pytest

from mlseg import main, sweep
from mlseg.data import cases
from mlseg.errors import UserError
from mlseg.recipe import experiment, loss_table, parse, schema
from mlseg.recipe.schema import options
from mlseg.weighting import registry

pytestmark = pytest.mark.slow
CONFIGS = pathlib.Path(__file__).parents[3] / "configs"
RECIPES = (
  "dmf_busi.py", "folder.py", "glands.py", "multitask_busi.py",
  "multitask_busi.py:mask_rcnn+mobilenet_v2", "multitask_busi.py:classification+vgg16",
  "multitask_busi.py:attention_unet", "response_ct.py", "multitask_isic_2018.py",
  "multitask_lgg.py", "multitask_panda.py", "multitask_siim_acr.py", "response_synthetic.py",
  "dmf_busc.py", "dmf_bus_synthetic.py", "smoke.py",
)  # fmt: skip
VALUES = (
  0, -1, 1, math.nan, math.inf, 1e30, -1e30, 10**30, 2**31, 10**5000, "", "x", True, None, (),
  ("x",), (math.nan,) * 3, [1, 2], {"x": 1}, object(),
)  # fmt: skip
MOST_PARAMETERS = 2**31


def _paths(content, prefix=""):
  for name, value in content.items():
    yield f"{prefix}{name}"
    if isinstance(value, dict):
      yield from _paths(value, f"{prefix}{name}.")


def _set(content, path, value):
  *sections, last = path.split(".")
  for section in sections:
    content = content.setdefault(section, {})
  content[last] = value


def _is_finite(value):
  if isinstance(value, dict):
    return all(map(_is_finite, value.values()))
  if isinstance(value, tuple | list):
    return all(map(_is_finite, value))
  return not isinstance(value, float) or math.isfinite(value)


def _in_use(content, path):
  """Makes a recipe use the weighting or the loss whose options are set."""
  parts = path.split(".")
  if path.startswith("weighting.options.") and len(parts) > 2:
    content["weighting"]["name"] = parts[2]
  if path.startswith("loss_options.") and parts[1] in loss_table.LOSSES:
    content["losses"] = (parts[1],)
    content["weighting"]["fixed"] = (1.0,)
    content["auxiliary"]["name"] = "none"


def _fault(read, *arguments):
  """Returns what a function says of its arguments, in one line; None where they are right."""
  try:
    read(*arguments)
  except UserError as error:
    said = str(error)
  else:
    return None
  assert "\n" not in said, said
  assert len(said) < 1500, said  # the names of all losses are about 1000 characters
  return said


def _try(content, path):
  """Reads a recipe, and makes its network in shapes alone; returns whether it was accepted."""
  read = []
  if _fault(lambda: read.append(experiment.read(content))) is not None:
    return False
  (recipe,) = read
  assert _is_finite(recipe.content), path
  if path.startswith(("model.", "data.image_size", "data.patch_size")):
    model = recipe.network.make(2, 2)
    image = jax.ShapeDtypeStruct((1, *recipe.data.input_shape, 1), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    assert count < MOST_PARAMETERS, (path, count)
  return True


def _cases():
  seen = set()
  for name in RECIPES:
    content = parse.content(["", f"--config={CONFIGS / name}"])
    for path in _paths(content):
      # A key of a network is tried with each of them, any other in one recipe.
      key = (path, content["model"]["name"] if path.startswith("model.") else "")
      if key not in seen:
        seen.add(key)
        yield pytest.param(content, path, id=f"{name}-{path}")
  content = parse.content(["", f"--config={CONFIGS / 'smoke.py'}"])
  for section, known, names in (
    ("weighting.options", options.of_weighting, registry.METHODS),
    ("loss_options", options.of_loss, loss_table.LOSSES),
  ):
    for name in names:
      for option in known(name):
        path = f"{section}.{name}.{option.name}"
        if (path, "") not in seen:
          yield pytest.param(content, path, id=f"options-{path}")


@pytest.mark.parametrize(("content", "path"), list(_cases()))
def test_a_bad_value_of_a_key_gets_one_line_or_is_right(content, path):
  for value in VALUES:
    spoiled = copy.deepcopy(content)
    _in_use(spoiled, path)
    _set(spoiled, path, value)
    accepted = _try(spoiled, path)
    assert not (accepted and isinstance(value, float) and not math.isfinite(value)), (path, value)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_without_a_key_gets_one_line_or_its_default(name):
  content = parse.content(["", f"--config={CONFIGS / name}"])
  assert _try(copy.deepcopy(content), "model.")
  for path in _paths(content):
    spoiled = copy.deepcopy(content)
    *sections, last = path.split(".")
    place = spoiled
    for section in sections:
      place = place[section]
    del place[last]
    whole = schema.complete(spoiled)
    if ".options." in path or "loss_options." in path:  # its function has a default
      assert not list(schema.faults(whole))
    elif whole != content and not _try(spoiled, ""):
      with pytest.raises(UserError, match=r"is missing|must|needs"):
        experiment.read(spoiled)


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_whose_config_was_edited_predicts_or_gets_one_line(name):
  content = parse.content(["", f"--config={CONFIGS / name}"])
  for path in _paths({key: content[key] for key in ("name", "data", "model")}):
    for value in (0, -1, math.nan, 1e30, 10**30, "", "x", None, [], {}, [1, "x"], True):
      spoiled = copy.deepcopy(content)
      _set(spoiled, path, value)
      _fault(lambda edited: experiment.read_network(edited)[1].make(2, 2), spoiled)


# ---- Own recipe files, as a person may write them

BODY = """import runpy
_BASE = runpy.run_path({base!r})
def get_config():
  config = _BASE["get_config"]()
  {change}
  return config
"""


def _run(tmp_path, text, capsys):
  """Runs mlseg.main on a recipe's file; returns what it prints, of which there is one line."""
  path = tmp_path / "own.py"
  path.write_text(text)
  code = main.main(["mlseg.main", f"--config={path}", f"--workdir={tmp_path / 'run'}"])
  printed = capsys.readouterr()
  assert code == 2, printed
  assert printed.err.startswith("mlseg: "), printed.err
  assert printed.err.count("\n") == 1, printed.err
  assert not (tmp_path / "run").exists()
  return printed.err


@pytest.fixture
def no_data(monkeypatch):
  """Ends a run whose recipe was accepted before the data are read."""

  def load(*args, **kwargs):
    raise UserError("the data are read")

  monkeypatch.setattr(cases, "load", load)


@pytest.mark.parametrize("change", ["del config.{path}", "config.{path} = object()",
                                    "config.{path} = [[]]"])  # fmt: skip
def test_own_recipes_with_a_fault_get_one_line(tmp_path, capsys, no_data, change):
  base = str(CONFIGS / "smoke.py")
  content = parse.content(["", f"--config={base}"])
  for path in _paths(content):
    if not path.startswith(("weighting.options", "loss_options")):
      line = f"config = config.copy_and_resolve_references(); {change.format(path=path)}"
      _run(tmp_path, BODY.format(base=base, change=line), capsys)


@pytest.mark.parametrize(
  "text",
  [
    "", "def get_config():\n  return 5\n", "def get_config():\n  return {'name': 'x'}\n",
    "def get_config(:\n", "raise SystemExit(3)\n", "def get_config():\n  exit()\n",
    "def get_config():\n  return get_config()\n", "get_config = 5\n", "import nothing_like_this\n",
    "def get_config(a, b):\n  return None\n",
    "from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict()\n",
    "from ml_collections import ConfigDict\ndef get_config():\n  return ConfigDict({'name': 5})\n",
    "def get_config():\n  raise ValueError('two\\nlines')\n",
    "def get_config():\n  raise KeyError('key')\n",
  ],
)  # fmt: skip
def test_a_file_that_is_no_recipe_gets_one_line(tmp_path, capsys, no_data, text):
  _run(tmp_path, text, capsys)


# ---- Studies

SOUND = {"name": "tiny", "config": str(CONFIGS / "smoke.py"), "axes": {"num_epochs": (1, 2)}}
ENTRIES = ("name", "config", "axes", "seeds", "settings", "cells", "reference", "published")
WRONG = (0, 5, -1, 1.5, "", "x", (), ("x",), ("x", "y"), [5], {}, {"x": 5}, {"x": {"y": 1}},
         {5: {}}, {"num_epochs": ()}, {"num_epochs": (1, 1)}, {"": {"": {}}}, True, b"x", 1j,
         {"num_epochs": {"a": {"num_epochs": "x"}}}, {"..": {"..": {"num_epochs": 1}}},
         )  # fmt: skip


def _run_study(tmp_path, text, capsys):
  path = tmp_path / "study.py"
  path.write_text(text)
  code = sweep.run(["mlseg.sweep", f"--study={path}", f"--workdir={tmp_path / 'runs'}"])
  printed = capsys.readouterr()
  return code, printed.err


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_study_with_a_wrong_entry_gets_one_line(tmp_path, capsys, no_data, entry):
  for value in WRONG:
    study = {**SOUND, entry: value}
    code, said = _run_study(tmp_path, f"def get_study():\n  return {study!r}\n", capsys)
    if "the data are read" not in said:  # the value is right
      assert code == 2, (value, said)
      assert said.startswith("mlseg: "), (value, said)
      assert said.count("\n") == 1, (value, said)


@pytest.mark.parametrize(
  "text",
  [
    "def get_study():\n  raise ValueError('two\\nlines')\n", "def get_study():\n  exit(3)\n",
    "def get_study():\n  return 5\n", "def get_study(a):\n  return {}\n", "get_study = 5\n",
    "def get_study():\n  return get_study()\n", "raise RuntimeError\n", "def get_study(:\n",
    "import nothing_like_this\n", "def get_study():\n  return {5: 5}\n",
  ],
)  # fmt: skip
def test_a_file_that_is_no_study_gets_one_line(tmp_path, capsys, no_data, text):
  code, said = _run_study(tmp_path, text, capsys)
  assert code == 2
  assert said.startswith("mlseg: ")
  assert said.count("\n") == 1
