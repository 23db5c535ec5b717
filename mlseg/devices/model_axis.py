"""Several models in one program: a function of one model, applied to all of them.

A model is a member of a group; arrays of a group have the members as their first axis. How the
members are gone through is a choice of speed, not of result:

- 'vmap': all at once. Every operation is one over all members: a GPU that a small network leaves
  idle is filled.
- 'map': one after another in a compiled loop. On a CPU a convolution of one member fills the
  cores already, and a batched one, which has a kernel per member, is slower.
- 'loop': one after another, each written out. As a strategy of training, each member is a program
  run of its own, which makes it the one that a single seed takes.

With a mesh whose 'seed' axis is longer than 1, each of its devices goes through its own members.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from mlseg.errors import unknown

PyTree = Any
STRATEGIES = ("auto", "vmap", "map", "loop")


def choose(strategy: str, num_members: int, platform: str, num_devices: int) -> str:
  """Returns the strategy of a group, where it is left open the one that should be the fastest.

  On a CPU that is 'map' with the members spread over devices: eight seeds of `configs/dmf_busi.py`
  took 0.68 of eight commands of one seed, and 0.74 in a loop (`benchmarks/results/cpu.md`). With
  batches of two it gains nothing, nor does it on one device. On accelerators 'vmap' is taken,
  unmeasured.

  Args:
    strategy: one of STRATEGIES.
    num_members: models of the group.
    platform: 'cpu', 'gpu' or 'tpu'.
    num_devices: of all processes.

  Raises:
    UserError: the strategy is not known.

  Example:
    >>> choose("auto", 8, "cpu", 2), choose("auto", 8, "cpu", 1), choose("auto", 8, "gpu", 1)
    ('map', 'loop', 'vmap')
  """
  if strategy not in STRATEGIES:
    raise unknown("config.seeds.strategy", strategy, STRATEGIES)
  if num_members == 1:
    return "loop"
  if strategy != "auto":
    return strategy
  if platform != "cpu":
    return "vmap"
  return "map" if num_devices > 1 else "loop"


def over_members(
  function: Callable[[PyTree, PyTree], PyTree],
  strategy: str,
  mesh: Mesh | None = None,
  vectorize: int = 0,
) -> Callable[[PyTree, PyTree], PyTree]:
  """Returns `over(mapped, shared) -> results`: the function of one member, for all members.

  Args:
    function: `function(member, shared) -> result`, pure.
    strategy: 'vmap', 'map' or 'loop'.
    mesh: with a 'seed' axis that divides the number of members; None for one device.
    vectorize: with 'vmap', how many members at once; 0 for all.

  Returns:
    A function of a pytree of arrays [members, ...] and a pytree that all members read; its results
    have the members first.

  Example:
    >>> over = over_members(lambda x, y: x * y, "map")
    >>> over(jnp.arange(3.0), 2.0).tolist()
    [0.0, 2.0, 4.0]
  """

  def local(mapped: PyTree, shared: PyTree) -> PyTree:
    def member(one: PyTree) -> PyTree:
      return function(one, shared)

    count = jax.tree.leaves(mapped)[0].shape[0]
    if count == 1 or strategy == "loop":  # no mapped axis: the very program of a single model
      results = [member(jax.tree.map(lambda x, n=n: x[n], mapped)) for n in range(count)]
      return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)
    if strategy == "map":
      return jax.lax.map(member, mapped)
    if vectorize and vectorize < count:
      return jax.lax.map(member, mapped, batch_size=vectorize)
    return jax.vmap(member)(mapped)

  if mesh is None or mesh.shape["seed"] == 1:
    return local
  seed = PartitionSpec("seed")
  # The axes 'data' and 'model' stay in the compiler's hands: a batch is split inside a member.
  return jax.shard_map(
    local,
    mesh=mesh,
    in_specs=(seed, PartitionSpec()),
    out_specs=seed,
    axis_names={"seed"},
    check_vma=False,  # members share nothing, so there is nothing to check
  )
