"""The conventions of the public functions: a docstring with its parts, and a doctest."""

import importlib
import inspect

import pytest

PACKAGES = ("losses", "metrics", "weighting")
FUNCTIONS = [
  pytest.param(getattr(module, name), id=f"{module.__name__}.{name}")
  for module in (importlib.import_module(f"mlseg.{package}") for package in PACKAGES)
  for name in module.__all__
  if inspect.isfunction(getattr(module, name))
]


@pytest.mark.parametrize("package", PACKAGES)
def test_all_names_exist(package):
  module = importlib.import_module(f"mlseg.{package}")
  assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_docstring_has_its_parts(function):
  text = inspect.getdoc(function)
  assert ">>>" in text
  parameters = inspect.signature(function).parameters
  public = [name for name in parameters if not name.startswith("_")]
  if public:
    arguments = text.split("Args:")[1].split("Returns:")[0].split("Raises:")[0]
    for name in public:
      assert f"{name}:" in arguments, name


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if "losses" in f.id])
def test_losses_take_their_options_by_name(function):
  kinds = [p.kind for p in inspect.signature(function).parameters.values()]
  names = list(inspect.signature(function).parameters)
  if names[0] == "logits":
    assert names[:2] == ["logits", "masks"]
    assert set(kinds[2:]) == {inspect.Parameter.KEYWORD_ONLY}
    assert names[-1] == "valid"
