"""The mesh of devices with the axes 'seed', 'data' and 'model', and how arrays lie on it.

- 'seed': the models are split; each device trains its own ones, without communication;
- 'data': the batch is split; statistics are still those of the whole batch;
- 'model': the batch is split as along 'data', and so are parameters and the optimiser's state.

Programs are compiled under `jax.set_mesh(mesh)`; the code is the same for one device, several
devices and several processes.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

from mlseg.errors import UserError, require

PyTree = Any
AXES = ("seed", "data", "model")
_BATCH = PartitionSpec(("data", "model"))
# An array with fewer entries is cheaper to keep whole than to gather at every use.
_SMALLEST_SPLIT = 2**12


class Layout(NamedTuple):
  """The number of devices along each axis of the mesh."""

  seed: int
  data: int
  model: int


def plan(
  num_devices: int,
  num_models: int,
  batch_size: int,
  *,
  seed: int = 0,
  data: int = 0,
  model: int = 1,
) -> Layout:
  """Returns the layout that a config asks for; a 0 is replaced by the best number that fits.

  Models side by side need no communication, so devices go to the 'seed' axis first, then to 'data'.

  Args:
    num_devices: number of devices of all processes.
    num_models: number of models that train at the same time.
    batch_size: number of examples that go through a network at once.
    seed: number of devices along 'seed', or 0.
    data: number of devices along 'data', or 0.
    model: number of devices along 'model'.

  Raises:
    UserError: the numbers are not positive, do not divide the batch, or exceed the devices.

  Example:
    >>> plan(4, 2, 32), plan(4, 1, 32, model=2)
    (Layout(seed=2, data=2, model=1), Layout(seed=1, data=2, model=2))
  """
  for name, value in (("seed", seed), ("data", data)):
    require(value >= 0, f"config.mesh.{name} must not be negative", value)
  require(model >= 1, "config.mesh.model must be at least 1", model)
  most = max(1, min(num_models, num_devices // (model * max(data, 1))))
  seed = seed or -(-num_models // -(-num_models // most))  # fewest devices for as many rounds
  room = num_devices // (seed * model)
  fitting = [n for n in range(1, room + 1) if batch_size % (n * model) == 0]
  data = data or max(fitting, default=1)
  if seed * data * model > num_devices:
    raise UserError(
      f"config.mesh asks for {seed} × {data} × {model} devices (seed × data × model),"
      f" and there are {num_devices}"
    )
  if batch_size % (data * model):
    raise UserError(
      f"config.mesh.data × config.mesh.model must divide the batch of {batch_size}"
      f" (config.batch_size / config.num_microbatches), not {data} × {model}"
    )
  return Layout(seed, data, model)


def make_mesh(layout: Layout) -> Mesh:
  """Returns the mesh of the first devices, as many as the layout has.

  Raises:
    UserError: a process has no device in the mesh.
  """
  size = layout.seed * layout.data * layout.model
  devices = jax.devices()[:size]
  left_out = set(range(jax.process_count())) - {device.process_index for device in devices}
  if left_out:
    raise UserError(
      f"the mesh of {layout.seed} × {layout.data} × {layout.model} devices leaves process"
      f" {min(left_out)} without work: start fewer processes, or set config.mesh"
    )
  return Mesh(np.array(devices).reshape(layout), AXES)


def everywhere(mesh: Mesh | AbstractMesh) -> NamedSharding:
  """Returns the sharding of arrays of which every device holds the whole."""
  return NamedSharding(mesh, PartitionSpec())


def by_model(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of arrays [models, ...] along 'seed'."""
  return NamedSharding(mesh, PartitionSpec("seed"))


def state_shardings(shapes: PyTree, mesh: Mesh) -> PyTree:
  """Returns the shardings of the leaves [models, ...] of a state.

  Models are split along 'seed'. A large array is also split along 'model', in its longest dimension
  that is divisible, so that parameters and optimiser state are held in parts as in fully sharded
  data parallelism.

  Args:
    shapes: arrays, or their shapes and types.
    mesh: the mesh, from `make_mesh`.

  Returns:
    A NamedSharding for each leaf.
  """
  parts = mesh.shape["model"]

  def sharding(leaf: Any) -> NamedSharding:
    spec: list[str | None] = ["seed", *[None] * (len(leaf.shape) - 1)]
    sizes = [0, *leaf.shape[1:]]
    fitting = [axis for axis, size in enumerate(sizes) if size and size % parts == 0]
    if parts > 1 and fitting and np.prod(leaf.shape[1:]) >= _SMALLEST_SPLIT:
      spec[max(fitting, key=lambda axis: sizes[axis])] = "model"
    return NamedSharding(mesh, PartitionSpec(*spec))

  return jax.tree.map(sharding, shapes)


def split_batch(batch: PyTree) -> PyTree:
  """Returns arrays [B, ...] split along 'data' and 'model'; without a mesh they are unchanged."""
  return _constrain(batch, _BATCH)


def gather(tree: PyTree) -> PyTree:
  """Returns arrays whole on every device of 'data' and 'model'; without a mesh unchanged."""
  return _constrain(tree, PartitionSpec())


def _constrain(tree: PyTree, spec: PartitionSpec) -> PyTree:
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.shape["data"] * mesh.shape["model"] == 1:
    return tree
  return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, spec), tree)


def place(tree: PyTree, sharding: NamedSharding) -> PyTree:
  """Returns host arrays, which every process holds whole, as device arrays with a sharding."""

  def put(leaf: Any) -> jax.Array:
    array = np.asarray(leaf)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

  return jax.tree.map(put, tree)


def fits(compiled: jax.stages.Compiled, mesh: Mesh) -> bool:
  """Returns whether a program fits into the memory of a device; True if its size is unknown.

  A tenth of the memory is left for the data, copies of the state, and the library itself.
  """
  device = next(d for d in mesh.devices.flat if d.process_index == jax.process_index())
  limit = (device.memory_stats() or {}).get("bytes_limit")
  needed: Any = compiled.memory_analysis()
  if limit is None or needed is None:
    return True
  total = needed.temp_size_in_bytes + needed.argument_size_in_bytes + needed.output_size_in_bytes
  return total - needed.alias_size_in_bytes <= 0.9 * limit


def is_main() -> bool:
  """Returns whether this is the process that writes files and prints messages."""
  return jax.process_index() == 0


def largest(value: int) -> int:
  """Returns the largest of the processes' numbers; all processes must make the same call."""
  if jax.process_count() == 1:
    return value
  return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def wait_for_all(name: str) -> None:
  """Waits until every process has called this function."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)
