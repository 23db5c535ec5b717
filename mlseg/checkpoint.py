"""Checkpoints: orbax, with a digest that tells a damaged one from a good one."""

import hashlib
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from mlseg.errors import UserError

PyTree = Any


def _is_key(leaf: Any) -> bool:
  return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def flatten(tree: PyTree) -> dict[str, Any]:
  """Returns the arrays of a state by their path, random keys as the integers behind them.

  This is what `Checkpoints.save` takes, once `jax.device_get` has brought it to the host; the
  training loop fetches it together with what it reads anyway.
  """
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {
    jax.tree_util.keystr(path, simple=True, separator="."): (
      jax.random.key_data(leaf) if _is_key(leaf) else leaf
    )
    for path, leaf in leaves
  }


def _digest(arrays: dict[str, np.ndarray]) -> str:
  """Returns a SHA-256 over names, types, shapes and bytes."""
  sha = hashlib.sha256()
  for name in sorted(arrays):
    array = np.ascontiguousarray(arrays[name])
    sha.update(f"{name} {array.dtype} {array.shape} ".encode())
    sha.update(array.tobytes())
  return sha.hexdigest()


class Checkpoints:
  """The checkpoints of one training run, newest last; the last two are kept.

  Saving goes on in the background; a process that is killed meanwhile leaves a temporary folder
  that is never taken for a checkpoint.

  Args:
    folder: where they are; made if it is missing.
  """

  def __init__(self, folder: pathlib.Path):
    self._folder = folder.resolve()
    options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True)
    self._manager = ocp.CheckpointManager(self._folder, options=options)

  def save(self, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Starts to save the arrays of `flatten`, in the host's memory, under the step's number."""
    if step in self._manager.all_steps():
      return
    # On the CPU the arrays are the device's own memory, which the next step takes back.
    arrays = {name: np.array(value) for name, value in arrays.items()}
    content = ocp.args.Composite(
      state=ocp.args.StandardSave(arrays),
      digest=ocp.args.JsonSave({"sha256": _digest(arrays)}),
    )
    self._manager.save(step, args=content)

  def restore(self, like: PyTree, say: Callable[[str], None]) -> PyTree | None:
    """Returns the newest state that is intact, or None where nothing was saved yet.

    A damaged checkpoint is moved aside, said, and the one before it is used.

    Args:
      like: a state of the same structure, shapes and dtypes.
      say: gets one line per damaged checkpoint.

    Raises:
      UserError: there are checkpoints, and none of them can be read.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    for step in steps:
      try:
        with _abandoned_reads_are_quiet():
          arrays = self._read(step)
        return _unflatten(arrays, like)
      except Exception as error:  # a damaged file can surface as any error of the storage layer
        reason = str(error).strip().splitlines()
        aside = self._set_aside(step)
        say(
          f"checkpoint of step {step} in {self._folder} is damaged"
          f" ({reason[0][:120] if reason else type(error).__name__}); moved to {aside}"
        )
    if steps:
      raise UserError(
        f"no checkpoint in {self._folder} can be read;"
        " give another --workdir, or remove this one to start anew"
      )
    return None

  def _read(self, step: int) -> dict[str, np.ndarray]:
    content = self._manager.restore(
      step,
      args=ocp.args.Composite(state=ocp.args.StandardRestore(), digest=ocp.args.JsonRestore()),
    )
    arrays = {name: np.asarray(value) for name, value in content["state"].items()}
    if _digest(arrays) != content["digest"]["sha256"]:
      raise ValueError("its content does not match its digest")
    return arrays

  def _set_aside(self, step: int) -> pathlib.Path:
    aside = self._folder.with_name(f"{self._folder.name}.damaged") / str(step)
    shutil.rmtree(aside, ignore_errors=True)
    aside.parent.mkdir(exist_ok=True)
    (self._folder / str(step)).rename(aside)
    self._manager.reload()
    return aside

  def wait(self) -> None:
    """Waits until what was started to be saved is safe on disk."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, then ends the background threads."""
    self._manager.close()


@contextmanager
def _abandoned_reads_are_quiet() -> Iterator[None]:
  """Keeps a person from seeing what follows a damaged file inside the storage layer.

  When one array cannot be read, orbax closes its event loop under the reads of the others, and each
  of them would print a traceback of its own.
  """
  show = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    if "Event loop is closed" not in str(unraisable.exc_value):
      show(unraisable)

  sys.unraisablehook = hook
  try:
    yield
  except Exception:
    time.sleep(0.2)  # the other reads end within milliseconds
    raise
  finally:
    sys.unraisablehook = show


def _unflatten(arrays: dict[str, np.ndarray], like: PyTree) -> PyTree:
  """Returns the arrays in the structure of `like`, on the device."""
  names = list(flatten(like))
  if set(names) != set(arrays):
    different = sorted(set(names) ^ set(arrays))
    raise ValueError(f"its entries differ from the model's: {', '.join(different[:5])}")
  leaves, structure = jax.tree.flatten(like)
  values = []
  for name, leaf in zip(names, leaves, strict=True):
    array = arrays[name]
    if _is_key(leaf):
      values.append(jax.random.wrap_key_data(jax.numpy.asarray(array)))
      continue
    if array.shape != leaf.shape or array.dtype != leaf.dtype:
      raise ValueError(f"{name} is {array.dtype}{array.shape}, not {leaf.dtype}{leaf.shape}")
    # A copy: the state is donated, and a donated buffer must not be numpy's memory.
    values.append(jax.numpy.array(array, copy=True))
  return jax.tree.unflatten(structure, values)
