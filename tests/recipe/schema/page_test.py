"""The page `docs/reference/recipe.md` and the help text list every key of the schema."""

import pathlib

import pytest

from mlseg import main
from mlseg.recipe import schema
from tests.reference import generator

page = generator("recipe")
SMOKE = f"--config={pathlib.Path(__file__).parents[3] / 'configs' / 'smoke.py'}"


def _help(capsys, *arguments):
  with pytest.raises(SystemExit) as info:
    main.main(["mlseg.main", *arguments])
  assert info.value.code == 0
  return capsys.readouterr().out


def test_the_page_is_up_to_date():
  assert page.PAGE.read_text() == page.render()


def test_every_key_is_on_the_page():
  text = page.render()
  for key in schema.KEYS:
    assert f"| `{key.path}` | {key.meaning}" in text
  assert "| `weighting.options.famo.learning_rate` | Learning rate of" in text
  assert "| `loss_options.tversky.alpha` |" in text
  assert "| `weighting.options.cosmos.penalty` | λ >= 0" in text  # a symbol stays as it is


@pytest.mark.parametrize("flag", ["--help", "--helpfull"])
def test_help_lists_all_keys_with_their_meaning(flag, capsys):
  text = _help(capsys, flag)
  assert "--workdir" in text
  for key in schema.KEYS:
    assert f"  --config.{key.path}\n" in text
  assert "Largest global norm of the gradient; 0: no limit." in text
  assert max(map(len, text.splitlines())) <= 120


def test_help_of_a_recipe_lists_its_keys_with_their_values(capsys):
  text = _help(capsys, SMOKE, "--help", "--config.num_epochs=7")
  assert "Epochs of training. An integer in [1, 100000] (steps are counted in 32 bits)." in text
  assert "Here: 7." in " ".join(text.split())
  assert "--config.data.panda.level" not in text


def test_helpshort_lists_the_flags_alone(capsys):
  text = _help(capsys, "--helpshort")
  assert "--workdir" in text
  assert "--config.num_epochs" not in text
