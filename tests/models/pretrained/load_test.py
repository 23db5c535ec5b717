"""Every kind of file gives the same weights; what does not fit is listed in one line."""

import io
import zipfile

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from mlseg.errors import UserError
from mlseg.models import pretrained
from mlseg.models.encoders import make_encoder
from mlseg.models.encoders.mobilenet_v2 import MobileNetV2
from mlseg.models.encoders.vgg16 import VGG16
from tests.models.pretrained import made_weights

torch = pytest.importorskip("torch")
DRAWN = made_weights.variables()


def _flat(tree, path=()):
  if not isinstance(tree, dict):
    return {path: tree}
  return {k: v for name, part in tree.items() for k, v in _flat(part, (*path, name)).items()}


def _assert_loads(path, encoder, tolerance=0.0):
  loaded = _flat(pretrained.load(path, encoder))
  assert loaded.keys() == DRAWN.keys()
  for name, value in loaded.items():
    assert value.dtype == np.float32
    assert value.flags.c_contiguous
    np.testing.assert_allclose(value, DRAWN[name], rtol=tolerance, atol=tolerance)


def _message(path, encoder):
  with pytest.raises(UserError) as caught:
    pretrained.load(path, encoder)
  assert "\n" not in str(caught.value)
  assert str(path) in str(caught.value)
  return str(caught.value)


def _write_hdf5(target, arrays):
  with h5py.File(target, "w") as file:
    for name, array in arrays.items():
      file[name] = array


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "module.", "model.encoder."])
def test_safetensors_and_npz(tmp_path, prefix):
  arrays = {prefix + k: v for k, v in made_weights.torch_arrays(DRAWN).items()}
  arrays["classifier.1.weight"] = np.zeros((2, 1280), np.float32)
  save_file(arrays, tmp_path / "w.safetensors")
  np.savez(tmp_path / "w.npz", **arrays)
  for name in ("w.safetensors", "w.npz"):
    _assert_loads(tmp_path / name, made_weights.ENCODER)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("bfloat16", 1e-2)])
def test_half_precision_becomes_float32(tmp_path, dtype, tolerance):
  from safetensors.torch import save_file as save_torch

  arrays = made_weights.torch_arrays(DRAWN)
  tensors = {k: torch.from_numpy(v).to(getattr(torch, dtype)) for k, v in arrays.items()}
  save_torch(tensors, tmp_path / "w.safetensors")
  torch.save(tensors, tmp_path / "w.pth")
  for name in ("w.safetensors", "w.pth"):
    _assert_loads(tmp_path / name, made_weights.ENCODER, tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("spelling", ["new", "old", "by order"])
def test_keras(tmp_path, spelling):
  arrays = made_weights.keras_arrays(DRAWN, spelling)
  arrays |= {"model_weights/dense/dense/kernel:0": np.zeros(3), "optimizer_weights/m": np.ones(2)}
  _write_hdf5(tmp_path / "w.h5", arrays)
  content = io.BytesIO()
  _write_hdf5(content, arrays)
  with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
    archive.writestr("config.json", '{"module": "os", "class_name": "system"}')
    archive.writestr("model.weights.h5", content.getvalue())
  for name in ("w.h5", "w.keras"):
    _assert_loads(tmp_path / name, made_weights.KERAS)


def test_the_official_spelling_of_vgg16(tmp_path):
  rng = np.random.default_rng(0)
  arrays, channels = {}, 3
  for block, (filters, count) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)]):
    for conv in range(count):
      name = f"block{block + 1}_conv{conv + 1}"
      kernel = rng.normal(size=(3, 3, channels, filters)).astype(np.float32)
      arrays[f"{name}/{name}_W_1:0"] = kernel
      arrays[f"{name}/{name}_b_1:0"] = np.full(filters, block, np.float32)
      channels = filters
  _write_hdf5(tmp_path / "w.h5", arrays)
  params = pretrained.load(tmp_path / "w.h5", VGG16("keras"))["params"]
  np.testing.assert_array_equal(params["stage_4"]["conv_3"]["kernel"], kernel)
  assert (params["stage_2"]["conv_2"]["bias"] == 2).all()


@pytest.mark.slow
def test_a_model_saved_by_keras(tmp_path):
  from tests.models import peers  # imports keras

  inner = peers.keras_network("mobilenet_v2", 0.35, (64, 64))
  layers = peers.keras.layers
  outer = peers.keras.Sequential([inner, layers.GlobalAveragePooling2D(), layers.Dense(2)])
  loaded = []
  import warnings

  with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # Keras's variables under numpy 2
    for name in ("w.h5", "w.keras", "w.weights.h5"):
      save = outer.save_weights if name == "w.weights.h5" else outer.save
      save(tmp_path / name)
      loaded.append(_flat(pretrained.load(tmp_path / name, made_weights.KERAS)))
    first = np.asarray(inner.get_layer("Conv_1").kernel)
  for one in loaded:
    np.testing.assert_array_equal(one["params", "stage_4", "last", "kernel"], first)
    for name, value in one.items():
      np.testing.assert_array_equal(value, loaded[0][name])


def _spoiled(change):
  arrays = made_weights.torch_arrays(DRAWN)
  change(arrays)
  return arrays


@pytest.mark.parametrize(
  ("change", "parts"),
  [
    (lambda a: a.pop("features.3.conv.2.weight"), ["1 missing (features.3.conv.2.weight)"]),
    (lambda a: a.update({"features.99.weight": np.ones(1)}), ["1 unknown (features.99.weight)"]),
    (
      lambda a: a.update({"features.0.0.weight": np.ones((16, 3, 3, 1), np.float32)}),
      ["1 of another shape (features.0.0.weight (3, 1, 3, 16), here (3, 3, 3, 16))"],
    ),
    (
      lambda a: a.update({"features.0.1.bias": np.full(16, np.nan, np.float32)}),
      ["1 with NaN or infinity (features.0.1.bias)"],
    ),
    (
      lambda a: a.update({"features.0.1.running_var": np.full(16, -1e-3, np.float32)}),
      ["1 with a negative variance (features.0.1.running_var)"],
    ),
    (
      lambda a: a.update({"features.0.1.bias": np.ones(16, int)}),
      ["1 of another type than float (features.0.1.bias int64)"],
    ),
    (
      lambda a: [a.pop(name) for name in list(a) if ".running_" in name],
      ["104 missing (", ", ...)"],
    ),
    (
      lambda a: a.update({"x.features.0.1.bias": a["features.0.1.bias"]}),
      ["features.0.1.bias and x.features.0.1.bias are two arrays for one variable"],
    ),
  ],
)
def test_what_does_not_fit_is_listed(tmp_path, change, parts):
  np.savez(tmp_path / "w.npz", **_spoiled(change))
  message = _message(tmp_path / "w.npz", made_weights.ENCODER)
  assert all(part in message for part in parts), message


def test_other_architectures_and_conventions(tmp_path):
  np.savez(tmp_path / "w.npz", **made_weights.torch_arrays(DRAWN))
  path = tmp_path / "w.npz"
  assert "no weights of vgg16" in _message(path, VGG16("torchvision"))
  assert "do not fit mobilenet_v2 of width 1: " in _message(path, MobileNetV2(1.0))
  message = _message(path, made_weights.KERAS)
  assert "named as by torchvision, but the encoder's convention is 'keras'" in message
  np.savez(path, **made_weights.torch_arrays(DRAWN), **made_weights.keras_arrays(DRAWN, "new"))
  assert "two arrays for one variable" in _message(path, made_weights.ENCODER)
  np.savez(path, **{"features.0.0.weight": np.ones((2, 2)), "stem.0.weight": np.ones((2, 2))})
  message = _message(path, make_encoder("convnext_tiny", "auto"))
  assert "features.0.0.weight and stem.0.weight are two arrays for one variable" in message
  np.savez(path, **{"features.0.0.weight": np.ones((2, 2)), "stem.1.weight": np.ones(2)})
  message = _message(path, make_encoder("convnext_tiny", "auto"))
  assert "names of timm and torchvision in one file" in message
  np.savez(path, nothing=np.ones(2))
  assert "(1 names: nothing)" in _message(path, made_weights.ENCODER)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".h5", ".keras", ".pth"])
def test_cut_short_or_altered(tmp_path, suffix):
  arrays = made_weights.torch_arrays(DRAWN)
  path = tmp_path / f"w{suffix}"
  if suffix == ".safetensors":
    save_file(arrays, path)
  elif suffix == ".npz":
    np.savez(path, **arrays)
  elif suffix == ".pth":
    torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, path)
  else:
    _write_hdf5(tmp_path / "w.h5", made_weights.keras_arrays(DRAWN, "new"))
    if suffix == ".keras":
      with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "w.h5", "model.weights.h5")
  content = path.read_bytes()
  for broken in (content[: len(content) // 2], content[:-9], content[:5], b"", b"\0" * 400):
    path.write_bytes(broken)
    message = _message(path, made_weights.ENCODER)
    assert "damaged" in message or "refused" in message


def test_a_safetensors_header_that_lies(tmp_path):
  path = tmp_path / "w.safetensors"
  save_file({"features.0.0.weight": np.ones((16, 3, 3, 3), np.float32)}, path)
  path.write_bytes(path.read_bytes().replace(b"[16,3,3,3]", b"[16,3,3,9]"))
  assert "damaged" in _message(path, made_weights.ENCODER)


def test_small_files_that_unfold_to_too_much_are_refused(tmp_path, monkeypatch):
  with h5py.File(tmp_path / "w.h5", "w") as file:
    for n in range(4):  # of fill values, which take no room in the file
      file.create_dataset(f"layer{n}/kernel", (100_000,), "f8", fillvalue=1.0)
  np.savez_compressed(tmp_path / "w.npz", **{f"layer{n}": np.zeros(100_000) for n in range(4)})
  monkeypatch.setattr("mlseg.models.pretrained.budget.SMALL", 2_000_000)
  for name in ("w.h5", "w.npz"):
    assert (tmp_path / name).stat().st_size < 20_000
    message = _message(tmp_path / name, made_weights.KERAS)
    assert "trained weights do not compress so well" in message


def test_hdf5_takes_nothing_from_other_files(tmp_path):
  (tmp_path / "secret").write_bytes(b"\1" * 64)
  with h5py.File(tmp_path / "w.h5", "w") as file:
    external = [(str(tmp_path / "secret"), 0, 64)]
    file.create_dataset("Conv1/Conv1/kernel:0", (16,), np.float32, external=external)
  assert "another file, which is not read" in _message(tmp_path / "w.h5", made_weights.KERAS)
  with h5py.File(tmp_path / "w.h5", "w") as file:
    file.create_dataset("Conv1/Conv1/kernel:0", (2**40,), np.float32, chunks=(1024,))
  assert "trained weights do not compress so well" in _message(
    tmp_path / "w.h5", made_weights.KERAS
  )


def test_unknown_extension_and_missing_file(tmp_path):
  assert "unknown extension '.ckpt': choose from .h5, " in _message(
    tmp_path / "w.ckpt", made_weights.ENCODER
  )
  assert "No such file" in _message(tmp_path / "w.npz", made_weights.ENCODER)


def test_insert_names_what_is_not_there():
  model = {"params": {"encoder": {"w": jnp.zeros(2)}}, "batch_stats": {}}
  with pytest.raises(UserError, match="no params/trunk for the loaded"):
    pretrained.insert(model, {"params": {"w": np.ones(2)}}, ("trunk",))
  with pytest.raises(UserError, match="params/encoder of the model has other arrays"):
    pretrained.insert(model, {"params": {"w": np.ones(3)}}, ("encoder",))
