"""A small file of weights may not claim much memory, and a file must be a file."""

import io
import os
import zipfile

import h5py
import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.models import pretrained
from mlseg.models.pretrained.budget import check_size
from tests.models.pretrained import made_weights


def _message(path, encoder):
  with pytest.raises(UserError) as caught:
    pretrained.load(path, encoder)
  assert "\n" not in str(caught.value)
  assert str(path) in str(caught.value)
  return str(caught.value)


def test_weights_of_any_encoder_are_within_the_budget():
  check_size(2**26, 100)
  check_size(2**26 + 4 * 500_000_000, 500_000_000)


def test_a_small_file_may_not_unfold_to_much(tmp_path):
  with h5py.File(tmp_path / "w.h5", "w") as file:  # arrays of fill values take no room
    for number in range(20):
      file.create_dataset(f"conv_{number}/kernel:0", (2**20,), np.float32, fillvalue=1.0)
  assert (tmp_path / "w.h5").stat().st_size < 30_000
  with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_BZIP2) as archive:
    content = io.BytesIO()
    np.save(content, np.zeros(2**25, np.float32))
    archive.writestr("features.0.0.weight.npy", content.getvalue())
  assert (tmp_path / "w.npz").stat().st_size < 30_000
  with zipfile.ZipFile(tmp_path / "w.keras", "w", zipfile.ZIP_BZIP2) as archive:
    archive.writestr("model.weights.h5", bytes(2**27))
  for name in ("w.h5", "w.npz", "w.keras"):
    message = _message(tmp_path / name, made_weights.KERAS)
    assert "bytes, and the file has" in message, message


def test_a_pipe_is_no_file_of_weights(tmp_path):
  os.mkfifo(tmp_path / "w.npz")
  assert "is no regular file" in _message(tmp_path / "w.npz", made_weights.ENCODER)


def test_a_negative_variance_is_refused(tmp_path):
  arrays = made_weights.torch_arrays(made_weights.variables())
  arrays["features.0.1.running_var"] = np.full(16, -1e-3, np.float32)
  np.savez(tmp_path / "w.npz", **arrays)
  message = _message(tmp_path / "w.npz", made_weights.ENCODER)
  assert "1 with a negative variance (features.0.1.running_var)" in message
