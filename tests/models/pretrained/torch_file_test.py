"""PyTorch's files are read as PyTorch does, and whatever would run code is refused, and not run."""

import collections
import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.models.pretrained import torch_file

torch = pytest.importorskip("torch")


def _saved(value, **options):
  content = io.BytesIO()
  torch.save(value, content, **options)
  return content.getvalue()


def _module():
  torch.manual_seed(0)
  return torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3))


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_equals_what_torch_saved(is_zip, wrapper):
  state = _module().state_dict()
  value = {wrapper: state, "epoch": 3, "lr": [0.1, None]} if wrapper else state
  arrays = torch_file.read(_saved(value, _use_new_zipfile_serialization=is_zip))
  assert list(arrays) == list(state)
  for name, array in arrays.items():
    assert array.dtype == state[name].numpy().dtype
    np.testing.assert_array_equal(array, state[name].numpy())


@pytest.mark.parametrize("protocol", [2, 3, 4])
@pytest.mark.parametrize("is_zip", [True, False])
def test_views_types_and_protocols(is_zip, protocol):
  whole = torch.arange(24.0).reshape(4, 6)
  value = {
    "part": whole[1:, ::2],
    "turned": whole.T,
    "parameter": torch.nn.Parameter(torch.ones(2)),
    "half": torch.arange(3).half(),
    "double": torch.arange(3).double(),
    "scalar": torch.tensor(5),
    "empty": torch.zeros(0, 3),
    "nested": collections.OrderedDict(flag=torch.tensor([True])),
  }
  options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": is_zip}
  arrays = torch_file.read(_saved(value, **options))
  value["nested.flag"] = value.pop("nested")["flag"]
  assert arrays.keys() == value.keys()
  for name, tensor in value.items():
    np.testing.assert_array_equal(arrays[name], tensor.detach().numpy())
  brain = torch_file.read(_saved({"x": torch.arange(3).bfloat16()}))["x"]
  np.testing.assert_array_equal(brain.astype(np.float32), [0, 1, 2])


class _Evil:
  def __init__(self, function, *arguments):
    self._call = function, arguments

  def __reduce__(self):
    return self._call


def _zip(pickled, **entries):
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w") as archive:
    archive.writestr("a/data.pkl", pickled)
    for name, data in entries.items():
      archive.writestr(f"a/{name}", data)
  return content.getvalue()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("function", [os.mkdir, exec, eval, getattr, torch.load])
def test_code_is_refused_and_not_run(tmp_path, function, protocol):
  target = tmp_path / "was_run"
  argument = str(target) if function is os.mkdir else f"import os; os.mkdir({str(target)!r})"
  pickled = pickle.dumps({"weight": _Evil(function, argument)}, protocol)
  for content in (pickled, _zip(pickled), _sequence(pickled)):
    with pytest.raises(UserError, match="refused, nothing was run"):
      torch_file.read(content)
    assert not target.exists()
  if function is os.mkdir:  # the same bytes do run where they are let
    pickle.loads(pickled)
    assert target.exists()


def _sequence(pickled):
  head = [torch_file._MAGIC, torch_file._PROTOCOL, {"little_endian": True}]
  return b"".join(pickle.dumps(value, 2) for value in head) + pickled


def test_classes_are_refused():
  with pytest.raises(UserError, match=r"the name 'torch\.nn\.modules"):
    torch_file.read(_saved(_module()))
  with pytest.raises(UserError, match="refused"):
    torch_file.read(pickle.dumps({"a": np.ones(2)}))


def _tensor_pickle(storage="FloatStorage", numel=4, offset=0, shape=(2, 2), strides=(2, 1)):
  """Returns a pickle of {'w': tensor}, written by hand."""

  def pushed(value):
    return pickle.dumps(value, 2)[2:-1]

  name = f"ctorch\n{storage}\n".encode()
  reference = b"(" + pushed("storage") + name + pushed("0") + pushed("cpu") + pushed(numel) + b"tQ"
  rest = pushed(offset) + pushed(shape) + pushed(strides) + pushed(False) + pushed(None)
  tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + rest + b"tR"
  return b"\x80\x02}" + pushed("w") + tensor + b"s."


@pytest.mark.parametrize(
  "options",
  [
    {"numel": 5},
    {"offset": 1},
    {"shape": (3, 2)},
    {"strides": (3, 1)},
    {"shape": (2**40, 2), "strides": (0, 0)},
    {"shape": (-2, -2)},
    {"strides": (-2, 1)},
    {"shape": (2,), "strides": (1, 1)},
    {"shape": (2.0, 2)},
  ],
)
def test_a_tensor_stays_inside_its_storage(options):
  data = {"data/0": np.arange(4, dtype=np.float32).tobytes()}
  np.testing.assert_array_equal(
    torch_file.read(_zip(_tensor_pickle(), **data))["w"], [[0, 1], [2, 3]]
  )
  with pytest.raises(UserError):
    torch_file.read(_zip(_tensor_pickle(**options), **data))


def test_a_storage_that_claims_more_than_the_file_has():
  rest = pickle.dumps(["0"], 2) + struct.pack("<q", 2**60) + bytes(16)
  with pytest.raises(UserError, match="claims more numbers than the file has"):
    torch_file.read(_sequence(_tensor_pickle()) + rest)


def test_dicts_that_hold_themselves_are_read_once():
  value = {"plain": 1}
  value |= {str(i): value for i in range(50)}
  assert torch_file.read(_zip(pickle.dumps(value, 2))) == {}


def test_other_formats_are_named():
  with pytest.raises(UserError, match="big-endian"):
    torch_file.read(_zip(_tensor_pickle(), byteorder=b"big"))
  with pytest.raises(UserError, match="TorchScript"):
    torch_file.read(_zip(_tensor_pickle(), **{"constants.pkl": b""}))
  with pytest.raises(UserError, match="oldest format"):
    torch_file.read(bytes(257) + b"ustar" + bytes(300))
  with pytest.raises(UserError, match="no dict of tensors"):
    torch_file.read(_saved([torch.ones(2)]))


def _compressed(pickled):
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("a/data.pkl", pickled)
  return content.getvalue()


def _tensor_twice(*types):
  """Returns a pickle of two tensors that read one storage as these types."""
  one, two = (_tensor_pickle(name)[3:-2].replace(b"w", bytes([97 + n])) for n, name in
              enumerate(types))  # fmt: skip
  return b"\x80\x02}" + one + b"s" + two + b"s."


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (_compressed(_tensor_pickle()), "is compressed"),
    (pickle.dumps(5, 2), "did not write as weights"),
    (_sequence(b"").replace(b"\x88", b"\x89"), "big-endian"),
    (_zip(_tensor_twice("FloatStorage", "LongStorage"), **{"data/0": bytes(32)}), "two types"),
    (_zip(b"\x80\x02}"), "cut short or damaged"),
    (_zip(pickle.dumps({1, 2}, 4)), "the instruction"),
    (_zip(b"\x80\x02N\x86."), "cut short or damaged"),
    (_zip(b"\x80\x02u."), "cut short or damaged"),
    (_zip(b"\x80\x02NQ."), "instead of a tuple"),
    (_zip(b"\x80\x02)Q."), "no storage"),
    (_zip(_tensor_pickle(numel=-1)), "unknown type or size"),
    (_zip(b"\x80\x02ccollections\nOrderedDict\n(K\x01tR."), "with other arguments"),
  ],
)
def test_what_is_wrong_is_named(content, message):
  with pytest.raises(UserError, match=message):
    torch_file.read(content)
