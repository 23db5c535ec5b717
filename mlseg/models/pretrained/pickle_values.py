"""Reads PyTorch's pickles of tensors by interpreting their opcodes, without calling anything.

A pickle is a program, and Python's `pickle` runs it. Here the opcodes are only listed, which
executes nothing, and those that build numbers, text, lists, dicts and tensors are interpreted. The
names of functions in a pickle are compared with the few that build tensors; any other is refused.
"""

import pickletools
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from mlseg.errors import UserError

DTYPES = {
  "torch DoubleStorage": np.dtype(np.float64),
  "torch FloatStorage": np.dtype(np.float32),
  "torch HalfStorage": np.dtype(np.float16),
  "torch BFloat16Storage": np.dtype(jnp.bfloat16),
  "torch LongStorage": np.dtype(np.int64),
  "torch IntStorage": np.dtype(np.int32),
  "torch ShortStorage": np.dtype(np.int16),
  "torch CharStorage": np.dtype(np.int8),
  "torch ByteStorage": np.dtype(np.uint8),
  "torch BoolStorage": np.dtype(np.bool_),
}
_DICT = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_NAMES = {*DTYPES, _DICT, _TENSOR, _PARAMETER}


class Storage(NamedTuple):
  """A flat array of numbers, which is stored outside the pickle."""

  dtype: np.dtype
  key: str  # its name in the file
  size: int  # how many numbers


class Tensor(NamedTuple):
  """A tensor as a view of a storage."""

  storage: Storage
  offset: int
  shape: tuple[int, ...]
  strides: tuple[int, ...]  # in numbers


class _Global(NamedTuple):
  name: str  # module and name, with a space between


class _Mark(NamedTuple):
  pass


def refused(what: str) -> UserError:
  """Returns the error for a pickle that holds anything but tensors and plain values."""
  return UserError(f"its pickle holds {what}, which tensors do not need: refused, nothing was run")


def interpret(file: BinaryIO) -> Any:
  """Returns the value of the pickle at the file's position: dicts, lists, tensors and plain values.

  Raises:
    UserError: the pickle holds anything else, such as a call of a function, or it is damaged.
  """
  machine = _Machine()
  try:
    for opcode, argument, _ in pickletools.genops(file):
      if opcode.name != "STOP":
        machine.step(opcode.name, argument)
    return machine.stack.pop()
  except UserError:
    raise
  except (IndexError, KeyError, ValueError) as error:  # of the stack, of the memory, of an opcode
    raise UserError("its pickle is cut short or damaged") from error


_CONSTANTS = {
  "NONE": None,
  "NEWTRUE": True,
  "NEWFALSE": False,
}
_EMPTY: dict[str, Callable[[], Any]] = {
  "EMPTY_DICT": dict,
  "EMPTY_LIST": list,
  "EMPTY_TUPLE": tuple,
}
_PLAIN = {
  "BININT", "BININT1", "BININT2", "LONG1", "INT", "LONG", "BINFLOAT",
  "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING", "BINSTRING",
}  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
  """The stack and memory of one pickle."""

  def __init__(self) -> None:
    self.stack: list[Any] = []
    self.memory: dict[int, Any] = {}

  def step(self, name: str, argument: Any) -> None:
    """Interprets one opcode."""
    stack = self.stack
    if name in ("PROTO", "FRAME"):
      return
    if name in _CONSTANTS:
      stack.append(_CONSTANTS[name])
    elif name in _EMPTY:
      stack.append(_EMPTY[name]())
    elif name in _PLAIN:
      stack.append(argument)
    elif name in ("GLOBAL", "STACK_GLOBAL"):
      stack.append(self._global(argument))
    elif name in _TUPLES:
      stack.append(tuple(self._pop(_TUPLES[name])))
    elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
      self.memory[len(self.memory) if name == "MEMOIZE" else argument] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET"):
      stack.append(self.memory[argument])
    else:
      self._combine(name)

  def _combine(self, name: str) -> None:
    """Interprets an opcode that takes values from the stack."""
    stack = self.stack
    if name == "MARK":
      stack.append(_Mark())
    elif name == "TUPLE":
      stack.append(tuple(self._pop_to_mark()))
    elif name in ("SETITEM", "SETITEMS"):
      items = self._pop(2) if name == "SETITEM" else self._pop_to_mark()
      _expect(stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))
    elif name in ("APPEND", "APPENDS"):
      items = self._pop(1) if name == "APPEND" else self._pop_to_mark()
      _expect(stack[-1], list).extend(items)
    elif name == "BINPERSID":
      stack.append(_storage(stack.pop()))
    elif name == "REDUCE":
      function, arguments = self._pop(2)
      stack.append(_apply(function, arguments))
    elif name == "BUILD":  # the attributes of an OrderedDict, such as versions of the layers
      stack.pop()
      _expect(stack[-1], dict)
    else:
      raise refused(f"the instruction {name}")

  def _global(self, argument: str | None) -> _Global:
    name = " ".join(self._pop(2)) if argument is None else argument
    if name not in _NAMES:
      raise refused(f"the name {name.replace(' ', '.')[:80]!r}")
    return _Global(name)

  def _pop(self, count: int) -> list[Any]:
    if len(self.stack) < count:
      raise IndexError("fewer values than are taken")
    items = self.stack[-count:]
    del self.stack[-count:]
    return items

  def _pop_to_mark(self) -> list[Any]:
    items: list[Any] = []
    while not isinstance(item := self.stack.pop(), _Mark):
      items.append(item)
    return items[::-1]


def _expect(value: Any, kind: type) -> Any:
  if not isinstance(value, kind):
    raise refused(f"a {type(value).__name__} instead of a {kind.__name__}")
  return value


def _apply(function: Any, arguments: Any) -> Any:
  """Returns the value that one of the known functions would return for these arguments."""
  name = _expect(function, _Global).name
  arguments = _expect(arguments, tuple)
  if name == _DICT and not arguments:
    return {}
  if name == _PARAMETER and arguments:
    return _expect(arguments[0], Tensor)
  if name == _TENSOR and len(arguments) >= 4:
    storage, offset, shape, strides = arguments[:4]
    numbers = (offset, *_expect(shape, tuple), *_expect(strides, tuple))
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or len(shape) != len(strides):
      raise UserError("a tensor has a shape or strides that are not whole numbers from 0")
    return Tensor(_expect(storage, Storage), offset, shape, strides)
  raise refused(f"a call of {name.replace(' ', '.')} with other arguments")


def _storage(value: Any) -> Storage:
  """Returns the storage of PyTorch's tuple ('storage', type, key, device, size)."""
  parts = _expect(value, tuple)
  if len(parts) < 5 or parts[0] != "storage" or not isinstance(parts[1], _Global):
    raise refused("a reference to something that is no storage")
  if parts[1].name not in DTYPES or not isinstance(parts[4], int) or parts[4] < 0:
    raise refused("a storage of unknown type or size")
  return Storage(DTYPES[parts[1].name], str(parts[2]), parts[4])
