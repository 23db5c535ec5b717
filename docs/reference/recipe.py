"""Makes `docs/reference/recipe.md`: every key of a recipe, from `mlseg.recipe.schema`.

python docs/reference/recipe.py
"""

import pathlib

from mlseg.recipe import schema

PAGE = pathlib.Path(__file__).resolve().parent / "recipe.md"
HEAD = """# Keys of a recipe

This page is made by `python docs/reference/recipe.py`. `python -m mlseg.main --help` prints the
same, and with `--config=FILE` the keys of that recipe with its values.

A recipe is a Python file with a function `get_config()` that returns an `ml_collections.ConfigDict`
with these keys; the files of `configs/` are recipes. On the command line, `--config.KEY=VALUE`
changes a key, also one that the file leaves at its default. All keys are checked before the data
are read: an unknown key, a key that is missing, and a value of the wrong type or outside its range
are named, all at once, and the command ends with exit code 2.

A key that is *needed* must be in the recipe; any other key may be absent, and then has its default.
Where a key is said to be *of* some networks or data sets, other recipes do not need it."""


def render() -> str:
  """Returns the page."""
  return f"{HEAD}\n\n{schema.to_markdown()}\n"


if __name__ == "__main__":
  PAGE.write_text(render(), encoding="utf-8")
