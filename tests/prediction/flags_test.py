"""The flags of views and post-processing of the predict command."""

import pytest

from mlseg import predict
from mlseg.errors import UserError
from mlseg.models import averaging

NEEDED = ("mlseg.predict", "--workdir=run", "--images=in", "--out=out")


def test_the_views_are_those_that_networks_predict():
  assert tuple(averaging.VIEWS) == predict.VIEWS


def test_without_flags_the_run_decides():
  values = predict.parse([*NEEDED])
  assert (values["views"], values["postprocess"]) == (None, True)
  values = predict.parse([*NEEDED, "--views=horizontal", "--postprocess=False"])
  assert (values["views"], values["postprocess"]) == ("horizontal", False)


def test_unknown_views_are_refused_with_the_choices():
  with pytest.raises(UserError, match="unknown --views 'four': choose from flips, horizontal, one"):
    predict.parse([*NEEDED, "--views=four"])
