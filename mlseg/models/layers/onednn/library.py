"""Finds oneDNN, compiles the functions that call it, and registers them with JAX.

`$MLSEG_ONEDNN` decides: 0 leaves oneDNN alone, 1 makes it an error where it cannot be used, and
without it oneDNN is used where it can.
"""

import ctypes
import functools
import os
import pathlib
import shlex
import subprocess
from importlib import metadata
from typing import NamedTuple

import jax
import jaxlib

from mlseg import files
from mlseg.errors import UserError

TARGET = "mlseg_convolve"  # the name of the function, for XLA too
VARIABLE = "MLSEG_ONEDNN"
_LIBRARY, _HEADERS = "onednn-cpu-gomp", "onednn-devel-cpu-gomp"  # of the extra `onednn`
_SOURCE = pathlib.Path(__file__).with_name("convolution.cc")
_SECONDS = 300  # after which a compiler is given up


class Found(NamedTuple):
  """Whether oneDNN can be used, and its version or why it cannot; '' where it is left alone."""

  is_used: bool
  words: str = ""


@functools.cache
def load() -> Found:
  """Loads the functions; the first call of a machine compiles them, which takes 5 s.

  Raises:
    UserError: `$MLSEG_ONEDNN` is 1 and oneDNN cannot be used, or it is neither 0 nor 1 nor empty.
  """
  given = os.environ.get(VARIABLE, "")
  if given not in ("", "0", "1"):
    raise UserError(f"{VARIABLE} must be 0, 1 or empty, not {given!r}")
  if given == "0" or (not given and not _is_installed()):
    return Found(False)
  # GNU's OpenMP reads it when it is loaded: its threads should not keep XLA's from the cores.
  os.environ.setdefault("OMP_WAIT_POLICY", "passive")
  try:
    functions = ctypes.CDLL(str(_compiled()))
  except (UserError, OSError) as error:
    if given:
      raise UserError(f"{VARIABLE}=1, but oneDNN cannot be used: {error}") from error
    return Found(False, f"oneDNN not used: {error}")
  jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(functions[TARGET]), platform="cpu")
  return Found(True, f"oneDNN {metadata.version(_LIBRARY)}")


def _is_installed() -> bool:
  try:
    return bool(metadata.version(_LIBRARY) and metadata.version(_HEADERS))
  except metadata.PackageNotFoundError:
    return False


def _compiled() -> pathlib.Path:
  """Returns the file with the compiled functions, in the cache folder; makes it where it is not.

  Raises:
    UserError: a package or a compiler is missing, or the compiler failed.
  """
  library = _file_of(_LIBRARY, "libdnnl.so.3")
  includes = _file_of(_HEADERS, "oneapi/dnnl/dnnl.hpp").parents[2], jax.ffi.include_dir()
  command = [
    *shlex.split(os.environ.get("CXX") or "c++"), "-O2", "-std=c++17", "-shared", "-fPIC", "-w",
    *(f"-I{folder}" for folder in includes), str(_SOURCE), str(library),
    f"-Wl,-rpath,{library.parent}", "-o",
  ]  # fmt: skip
  known = files.digest("\n".join([_SOURCE.read_text(), *command, *_versions()]))
  path = files.cache_folder() / "onednn" / f"{known[:16]}.so"
  if not path.exists():
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = files.temporary_beside(path)
    try:
      _run([*command, str(temporary)])
      temporary.replace(path)
    finally:
      temporary.unlink(missing_ok=True)
  return path


def _versions() -> list[str]:
  """Returns the versions of all that the compiled functions were made for."""
  return [jaxlib.__version__, *map(metadata.version, (_LIBRARY, _HEADERS))]


def _run(command: list[str]) -> None:
  """Runs a compiler.

  Raises:
    UserError: there is none, it failed, or it took too long.
  """
  try:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
  except FileNotFoundError:
    raise UserError(f"there is no C++ compiler {command[0]!r} ($CXX names another)") from None
  except subprocess.TimeoutExpired:
    raise UserError(f"{command[0]} took longer than {_SECONDS} s") from None
  if done.returncode:
    lines = [line for line in done.stderr.splitlines() if "error" in line] or ["without a message"]
    raise UserError(f"{command[0]} failed: {lines[0]}")


def _file_of(package: str, name: str) -> pathlib.Path:
  """Returns the path of a file of an installed package.

  Raises:
    UserError: the package or the file is missing.
  """
  try:
    listed = metadata.files(package) or []
  except metadata.PackageNotFoundError:
    raise UserError(f"the package {package} is missing: pip install 'mlseg-jax[onednn]'") from None
  for one in listed:
    if str(one).endswith(f"/{name}"):
      return pathlib.Path(str(one.locate())).resolve()
  raise UserError(f"the package {package} has no {name}")
