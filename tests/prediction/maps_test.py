"""Which runs write maps of probabilities."""

import importlib.util
import types

import pytest

from mlseg.errors import UserError
from mlseg.prediction import outputs


def _run(volumes=False, segments=True):
  data, network = types.SimpleNamespace(has_volumes=volumes), types.SimpleNamespace()
  network.segments = segments
  return types.SimpleNamespace(data=data, network=network)


@pytest.mark.parametrize("maps", outputs.MAPS)
def test_a_run_with_masks_writes_maps(maps):
  outputs.check_maps(_run(), maps)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"volumes": True}, "whose volumes have diagnoses alone"),
    ({"segments": False}, "without masks"),
  ],
)
def test_others_write_none(changes, message):
  outputs.check_maps(_run(**changes), outputs.NONE)
  with pytest.raises(UserError, match=f"--maps must be 'none' for a run {message}, not 'png'"):
    outputs.check_maps(_run(**changes), "png")


def test_what_is_missing_is_named_before_images_are_predicted(monkeypatch):
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  with pytest.raises(UserError, match=r"pip install 'mlseg-jax\[ct\]'"):
    outputs.check_maps(_run(), "nifti")
