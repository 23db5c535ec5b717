"""Where arrays lie: one mesh of devices with the axes 'seed', 'data' and 'model'.

- 'seed': each device trains its own models, and they need nothing of each other;
- 'data': each device sees its part of a batch, and statistics are those of the whole batch;
- 'model': as 'data', and each device keeps its part of parameters and optimiser only.

Programs are compiled under `jax.set_mesh(mesh)`; there is no other code for several devices or
several processes.
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
# Below this many entries an array is cheaper to keep whole than to gather at every use.
_SMALLEST_SPLIT = 2**12


class Layout(NamedTuple):
  """How many devices there are along each axis of the mesh."""

  seed: int
  data: int
  model: int


def plan(
  num_devices: int,
  num_members: int,
  batch_size: int,
  *,
  seed: int = 0,
  data: int = 0,
  model: int = 1,
) -> Layout:
  """Returns the layout that a config asks for; 0 stands for what fits best.

  Models side by side need no communication, so devices go to the seeds first, then to the batch.

  Args:
    num_devices: of all processes.
    num_members: models that train at the same time.
    batch_size: examples that go through a network at once.
    seed: devices along 'seed', or 0.
    data: along 'data', or 0.
    model: along 'model'.

  Raises:
    UserError: the numbers are not positive, do not divide the batch, or exceed the devices.

  Example:
    >>> plan(4, 2, 32), plan(4, 1, 32, model=2)
    (Layout(seed=2, data=2, model=1), Layout(seed=1, data=2, model=2))
  """
  for name, value in (("seed", seed), ("data", data)):
    require(value >= 0, f"config.mesh.{name} must not be negative", value)
  require(model >= 1, "config.mesh.model must be at least 1", model)
  most = max(1, min(num_members, num_devices // (model * max(data, 1))))
  seed = seed or -(-num_members // -(-num_members // most))  # as many rounds, on fewest devices
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
  """Returns the mesh of the first devices, as many as the layout asks for.

  Raises:
    UserError: a process would have no device in the mesh.
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
  """Returns the sharding of what every device holds whole."""
  return NamedSharding(mesh, PartitionSpec())


def by_member(mesh: Mesh) -> NamedSharding:
  """Returns the sharding of arrays [members, ...]."""
  return NamedSharding(mesh, PartitionSpec("seed"))


def state_shardings(shapes: PyTree, mesh: Mesh) -> PyTree:
  """Returns where the leaves [members, ...] of a state lie.

  Members lie along 'seed'. Of a large array the longest dimension that divides is split along
  'model' as well: parameters and optimiser in parts, as in fully sharded data parallelism.

  Args:
    shapes: arrays, or their shapes and types.
    mesh: from `make_mesh`.
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
  """Returns arrays [B, ...] split over the devices of the mesh; outside a mesh as they are."""
  return _constrain(batch, _BATCH)


def gather(tree: PyTree) -> PyTree:
  """Returns arrays whole on every device of 'data' and 'model'; outside a mesh as they are."""
  return _constrain(tree, PartitionSpec())


def _constrain(tree: PyTree, spec: PartitionSpec) -> PyTree:
  mesh = jax.sharding.get_abstract_mesh()
  if mesh.empty or mesh.shape["data"] * mesh.shape["model"] == 1:
    return tree
  return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, spec), tree)


def place(tree: PyTree, sharding: NamedSharding) -> PyTree:
  """Returns host arrays on the devices; every process has the whole of them and gives its part."""

  def put(leaf: Any) -> jax.Array:
    array = np.asarray(leaf)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

  return jax.tree.map(put, tree)


def fits(compiled: jax.stages.Compiled, mesh: Mesh) -> bool:
  """Returns whether a program fits into the memory of a device, where that is known.

  A tenth is left for what else is there: the data, copies of the state, the library's own.
  """
  device = next(d for d in mesh.devices.flat if d.process_index == jax.process_index())
  limit = (device.memory_stats() or {}).get("bytes_limit")
  needed: Any = compiled.memory_analysis()
  if limit is None or needed is None:
    return True
  total = needed.temp_size_in_bytes + needed.argument_size_in_bytes + needed.output_size_in_bytes
  return total - needed.alias_size_in_bytes <= 0.9 * limit


def is_main() -> bool:
  """Returns whether this is the process that writes files and speaks."""
  return jax.process_index() == 0


def largest(value: int) -> int:
  """Returns the largest of the numbers that the processes give; all must ask at the same place."""
  if jax.process_count() == 1:
    return value
  return int(np.max(multihost_utils.process_allgather(np.int32(value))))


def wait_for_all(name: str) -> None:
  """Waits until every process has come here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)
