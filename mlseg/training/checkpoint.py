"""Checkpoints: orbax, with a digest that tells a damaged one from a good one."""

import gc
import pathlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding

from mlseg.devices import sharding
from mlseg.errors import UserError, printable
from mlseg.training.checkpoint_digest import digest, flatten, flatten_names, is_key

PyTree = Any


class Checkpoints:
  """The checkpoints of a group of models, newest last; the last two are kept.

  Every process writes and reads the parts that its devices hold, so a run may go on with another
  number of devices or processes, and with another number of models that only fill up the mesh.
  Saving goes on in the background. A process that is killed meanwhile leaves a temporary folder,
  which is never read as a checkpoint, and which the next start removes.

  Args:
    folder: of the checkpoints; made if it is missing.
    like: a state of the group: shapes, types and, where there are several devices, shardings. Its
      arrays have the models as their first axis.
    num_models: models of the group that count.
  """

  def __init__(self, folder: pathlib.Path, like: PyTree, num_models: int):
    self._folder = folder.resolve()
    self._like = like
    self._names = flatten_names(like)
    self._num_models = num_models
    options = ocp.CheckpointManagerOptions(max_to_keep=2, create=True, cleanup_tmp_directories=True)
    # Named here, or a fresh process could not read the shapes of what another one saved.
    handlers = {name: ocp.StandardCheckpointHandler() for name in ("state", "digest")}
    self._manager = ocp.CheckpointManager(self._folder, options=options, item_handlers=handlers)
    # The shardings are given, because the compiler puts an array without entries anywhere.
    shardings = [_as_saved(leaf).sharding for leaf in jax.tree.leaves(like)]
    where = dict(zip(self._names, shardings, strict=True)), None
    self._snapshot = jax.jit(self._copied_with_digest, out_shardings=where)

  def _copied_with_digest(self, arrays: dict[str, jax.Array]) -> tuple[dict, jax.Array]:
    return jax.tree.map(jnp.copy, arrays), digest(arrays, self._num_models)

  def save(self, step: int, state: PyTree) -> None:
    """Starts to save a copy of a state, whose memory the next step may take, under its number.

    Raises:
      UserError: this or an earlier checkpoint cannot be written.
    """
    if step in self._manager.all_steps():
      return
    arrays, words = self._snapshot(flatten(state))
    kept = {name: array for name, array in arrays.items() if array.size}
    content = ocp.args.Composite(
      state=ocp.args.StandardSave(kept), digest=ocp.args.StandardSave({"words": words})
    )
    with self._writing():
      self._manager.save(step, args=content)

  @contextmanager
  def _writing(self) -> Iterator[None]:
    """Turns any error of the storage layer into a UserError, and hides those of its threads."""
    try:
      with abandoned_work_is_quiet():
        yield
    except Exception as error:  # a full disk can surface as any error of the storage layer
      raise UserError(
        f"no checkpoint can be written to {self._folder} ({_reason(error)}); the same command goes"
        " on from the last one"
      ) from error

  def restore(self, say: Callable[[str], None]) -> PyTree | None:
    """Returns the newest state that is intact, or None where nothing was saved yet.

    A damaged checkpoint is moved aside and reported, and the one before it is used.

    Args:
      say: is called with one line per damaged checkpoint.

    Raises:
      UserError: there are checkpoints, and none of them can be read.
    """
    steps = sorted(self._manager.all_steps(), reverse=True)
    for step in steps:
      problem, arrays = self._intact(step)
      if not problem:
        return self._unflatten(arrays)
      aside = self._set_aside(step)
      say(f"checkpoint of step {step} in {self._folder} is damaged ({problem}); moved to {aside}")
    if steps:
      raise UserError(
        f"no checkpoint in {self._folder} can be read;"
        " give another --workdir, or remove this one to start anew"
      )
    return None

  def _intact(self, step: int) -> tuple[str, dict[str, jax.Array]]:
    """Returns the problem of a checkpoint ('' for none, in any process), and its arrays."""
    problem, arrays, words = self._read(step)
    # No process uses a checkpoint that one of them cannot read.
    if sharding.largest(bool(problem)):
      return problem or "another process cannot read it", {}
    # A copy: the state is donated, and its memory must not be the storage layer's.
    arrays, found = self._snapshot(arrays)
    if np.array_equal(*jax.device_get((found, words))):
      return "", arrays
    return "its content does not match its digest", {}

  def _read(self, step: int) -> tuple[str, dict[str, jax.Array], Any]:
    """Returns the problem of a checkpoint ('' for none), its arrays, and its saved digest."""
    leaves = jax.tree.leaves(self._like)
    whole = dict(zip(self._names, map(_as_saved, leaves), strict=True))
    like = {name: leaf for name, leaf in whole.items() if leaf.size}  # orbax saves no others
    words = {"words": jax.ShapeDtypeStruct((2,), jnp.uint32, sharding=_everywhere(leaves[0]))}
    parts = ocp.args.Composite(
      state=ocp.args.StandardRestore(like, strict=False), digest=ocp.args.StandardRestore(words)
    )
    with abandoned_work_is_quiet():
      try:
        _check_shapes(self._manager.item_metadata(step)["state"], like)
        content = self._manager.restore(step, args=parts)
        empty = {name: _empty(leaf) for name, leaf in whole.items() if not leaf.size}
        return "", dict(content["state"]) | empty, content["digest"]["words"]
      except Exception as error:  # a damaged file can surface as any error of the storage layer
        problem = _reason(error)
      time.sleep(0.2)  # the other reads end within milliseconds
      gc.collect()  # those that never do are given up here, not in the middle of something else
    return problem, {}, None

  def _unflatten(self, arrays: dict[str, jax.Array]) -> PyTree:
    leaves, structure = jax.tree.flatten(self._like)
    values = [
      jax.random.wrap_key_data(arrays[name]) if is_key(leaf) else arrays[name]
      for name, leaf in zip(self._names, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, values)

  def _set_aside(self, step: int) -> pathlib.Path:
    aside = self._folder.with_name(f"{self._folder.name}.damaged") / str(step)
    if sharding.is_main():
      shutil.rmtree(aside, ignore_errors=True)
      aside.parent.mkdir(exist_ok=True)
      (self._folder / str(step)).rename(aside)
    sharding.wait_for_all(f"damaged checkpoint {step}")
    self._manager.reload()
    return aside

  def wait(self) -> None:
    """Waits until every save that was started is complete on disk.

    Raises:
      UserError: a checkpoint cannot be written.
    """
    with self._writing():
      self._manager.wait_until_finished()

  def close(self, verify: int | None = None) -> None:
    """Waits, then ends the background threads.

    Args:
      verify: the step of a checkpoint that is read back, as a restart will read it.

    Raises:
      UserError: a checkpoint cannot be written, or the one to verify cannot be read.
    """
    self.wait()
    if verify is not None:
      problem, _ = self._intact(verify)
      if problem:
        raise UserError(
          f"the checkpoint of step {verify} was written to {self._folder}, and cannot be read back"
          f" ({problem}): nothing was saved since the one before it"
        )
    with self._writing():
      self._manager.close()


def _reason(error: BaseException) -> str:
  """Returns the first line of an error of the storage layer, which may have hundreds."""
  lines = str(error).strip().splitlines()
  return printable(lines[0][:120]) if lines else type(error).__name__


@contextmanager
def abandoned_work_is_quiet() -> Iterator[None]:
  """Hides the tracebacks that follow a damaged file or a full disk inside the storage layer.

  When one array cannot be read or written, orbax closes its event loop under the work on the
  others, and each of them would print a traceback of its own.
  """
  show = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    code = getattr(unraisable.object, "cr_code", None)
    is_read = code is not None and "orbax" in code.co_filename
    if not is_read and "Event loop is closed" not in str(unraisable.exc_value):
      show(unraisable)

  sys.unraisablehook = hook
  try:
    yield
  finally:
    sys.unraisablehook = show


def _everywhere(leaf: Any) -> Any:
  """Returns the sharding of an array that all devices of a leaf's mesh hold, or None."""
  where = getattr(leaf, "sharding", None)
  return sharding.everywhere(where.mesh) if isinstance(where, NamedSharding) else where


def _as_saved(leaf: Any) -> jax.ShapeDtypeStruct:
  """Returns shape, type and sharding of the array that is saved for a leaf."""
  where = getattr(leaf, "sharding", None)
  if not is_key(leaf):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
  bits = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(leaf.shape, leaf.dtype))
  return jax.ShapeDtypeStruct(bits.shape, bits.dtype, sharding=where)


def _empty(leaf: jax.ShapeDtypeStruct) -> jax.Array:
  """Returns an array without entries, as the state of some weightings has."""
  array = np.zeros(leaf.shape, leaf.dtype)
  return jnp.asarray(array) if leaf.sharding is None else sharding.place(array, leaf.sharding)


def _check_shapes(saved: Any, like: dict[str, jax.ShapeDtypeStruct]) -> None:
  """Raises a ValueError where the saved arrays belong to another model."""
  found = {name: (tuple(m.shape), np.dtype(m.dtype)) for name, m in dict(saved).items()}
  if set(found) != set(like):
    different = sorted(set(found) ^ set(like))
    raise ValueError(f"its entries differ from the model's: {', '.join(different[:5])}")
  for name, leaf in like.items():
    shape, dtype = found[name]
    if shape[1:] != leaf.shape[1:] or dtype != leaf.dtype:
      raise ValueError(f"{name} is {dtype}{shape}, not {leaf.dtype}{leaf.shape}")
