"""A run of findings is tested on data with its findings, and a run of diagnoses on no others."""

import types

import pytest

from mlseg.errors import UserError
from mlseg.evaluation import evaluate


def _check(run_names, columns, label_names=("a", "b")):
  data = {"name": "folder", "folder": {"label_columns": columns}}
  own = types.SimpleNamespace(finding_names=run_names)
  evaluate._check_findings(data, types.SimpleNamespace(data=own, label_names=label_names))


def test_a_run_and_other_data_have_findings_both_or_none_does():
  _check(("a", "b"), ("b", "a"))
  _check((), ())
  with pytest.raises(UserError, match=r"must name the columns of the findings .* gives: a, b$"):
    _check(("a", "b"), ())
  with pytest.raises(UserError, match=r"must be \(\) for a run whose cases have one diagnosis"):
    _check((), ("a", "b"))


def test_a_run_of_masks_alone_is_tested_on_any_data():
  _check(("a", "b"), (), label_names=())
  _check((), ("a", "b"), label_names=())
  other = types.SimpleNamespace(data=types.SimpleNamespace(finding_names=()), label_names=("a",))
  evaluate._check_findings({"name": "busi"}, other)
