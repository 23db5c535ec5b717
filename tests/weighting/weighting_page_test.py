"""The page `docs/reference/weighting.md` is made from the docstrings, and has every weighting."""

import inspect

import pytest

from mlseg import weighting
from mlseg.weighting.registry import REGISTRY
from tests.reference import generator

page = generator("weighting")
FACTORIES = {name: f for family in REGISTRY.values() for name, f in family.items()}


def test_the_page_is_up_to_date():
  assert page.PAGE.read_text() == page.render()
  assert (page.FOLDER / "weights.png").stat().st_size > 10_000


def test_every_public_function_is_registered_or_a_helper():
  helpers = {"combine_gradients", "losses_and_gradients", "general_robust", "config"}
  helpers |= {"instance_losses_and_gradients", "kernel_traces", "validation_slopes"}
  helpers |= {"predicted_uncertainty"}
  helpers |= {"gram_of", "stacked_zeros", "weighted_sum"}
  public = {name for name in weighting.__all__ if inspect.isfunction(getattr(weighting, name))}
  assert public - helpers == set(FACTORIES)


@pytest.mark.parametrize("name", FACTORIES)
def test_a_docstring_has_formula_needs_use_and_source(name):
  found = page.paragraphs(FACTORIES[name])
  wanted = set(page.LABELS) - ({"Source"} if name in REGISTRY["combinators"] else set())
  assert wanted <= set(found)
  assert all(len(found[label]) == 1 for label in wanted)
