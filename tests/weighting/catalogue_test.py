"""The page of the package is made from the docstrings, and names every factory."""

import inspect

import pytest

from mlseg import weighting
from mlseg.weighting import catalogue, registry

PAGE = catalogue.FOLDER / "README.md"
NAMES = [name for group in registry.GROUPS.values() for name in group]


def test_the_page_is_up_to_date():
  assert PAGE.read_text() == catalogue.render()


def test_every_factory_is_on_the_page():
  helpers = {"combine_gradients", "losses_and_gradients", "general_robust"}
  helpers |= {"gram_of", "stacked_zeros", "weighted_sum"}
  public = {name for name in weighting.__all__ if inspect.isfunction(getattr(weighting, name))}
  assert public - helpers == {*NAMES, *registry.COMBINATORS}
  assert (catalogue.FOLDER / "weights.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", [*NAMES, *registry.COMBINATORS])
def test_a_docstring_says_formula_needs_use_and_source(name):
  found = catalogue.paragraphs(getattr(weighting, name))
  wanted = set(catalogue.LABELS) - ({"Source"} if name in registry.COMBINATORS else set())
  assert wanted <= set(found)
  assert all(len(found[label]) == 1 for label in wanted)
