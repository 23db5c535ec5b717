"""Applies a function of one model to all models of a group, in one program.

The arrays of a group have the models as their first axis. The strategy decides how a program goes
through the models. It changes the speed, not the result:

- 'vmap': all models at once. Every operation covers all of them, which fills a GPU that a single
  small network would leave idle.
- 'map': one model after another, in a compiled loop. On a CPU the convolutions of one model keep
  the cores busy, and a batched convolution, with one kernel per model, is slower.
- 'loop': one model after another, unrolled in the program. In training, each model is a separate
  call of the program for a single model.

With a mesh whose 'seed' axis is longer than 1, each of its devices goes through its part of the
models.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from mlseg.errors import unknown

PyTree = Any
STRATEGIES = ("auto", "vmap", "map", "loop")


def choose(strategy: str, num_models: int, platform: str, num_devices: int) -> str:
  """Returns the strategy for a group; for 'auto', the one that is expected to be the fastest.

  On a CPU that is 'map' with the models spread over devices: on two cores a step of a model took
  0.83 to 1.02 of its time in a Python loop over models, and with oneDNN 0.44 to 0.64, where that
  loop with oneDNN took 0.57 to 0.73 (`benchmarks/results/cpu.md`, 2 to 8 models, batches of 2 and
  16). On a single device 'map' took 0.77 to 1.12 of it and 'loop' 0.84 to 1.01. On accelerators
  the choice is 'vmap', which was not measured.

  Args:
    strategy: one of STRATEGIES.
    num_models: number of models in the group.
    platform: 'cpu', 'gpu' or 'tpu'.
    num_devices: number of devices of all processes.

  Raises:
    UserError: the strategy is unknown.

  Example:
    >>> choose("auto", 8, "cpu", 2), choose("auto", 8, "cpu", 1), choose("auto", 8, "gpu", 1)
    ('map', 'loop', 'vmap')
  """
  if strategy not in STRATEGIES:
    raise unknown("config.seeds.strategy", strategy, STRATEGIES)
  if num_models == 1:
    return "loop"
  if strategy != "auto":
    return strategy
  if platform != "cpu":
    return "vmap"
  return "map" if num_devices > 1 else "loop"


def over_models(
  function: Callable[[PyTree, PyTree], PyTree],
  strategy: str,
  mesh: Mesh | None = None,
  vectorize: int = 0,
) -> Callable[[PyTree, PyTree], PyTree]:
  """Returns `over(mapped, shared) -> results`, which applies a function of one model to all models.

  Args:
    function: `function(model, shared) -> result`, pure.
    strategy: 'vmap', 'map' or 'loop'.
    mesh: a mesh whose 'seed' axis divides the number of models; None for one device.
    vectorize: with 'vmap', how many models run at once; 0 for all.

  Returns:
    A function of a pytree of arrays [models, ...] and of a pytree that all models read. Its results
    are arrays [models, ...].

  Example:
    >>> over = over_models(lambda x, y: x * y, "map")
    >>> over(jnp.arange(3.0), 2.0).tolist()
    [0.0, 2.0, 4.0]
  """

  def local(mapped: PyTree, shared: PyTree) -> PyTree:
    def of_model(model: PyTree) -> PyTree:
      return function(model, shared)

    count = jax.tree.leaves(mapped)[0].shape[0]
    if count == 1 or strategy == "loop":  # without a mapped axis, as the program of a single model
      results = [of_model(jax.tree.map(lambda x, n=n: x[n], mapped)) for n in range(count)]
      return jax.tree.map(lambda *leaves: jnp.stack(leaves), *results)
    if strategy == "map":
      return jax.lax.map(of_model, mapped)
    if vectorize and vectorize < count:
      return jax.lax.map(of_model, mapped, batch_size=vectorize)
    return jax.vmap(of_model)(mapped)

  if mesh is None or mesh.shape["seed"] == 1:
    return local
  seed = PartitionSpec("seed")
  # The axes 'data' and 'model' are left to the compiler, which splits the batch of each model.
  return jax.shard_map(
    local,
    mesh=mesh,
    in_specs=(seed, PartitionSpec()),
    out_specs=seed,
    axis_names={"seed"},
    check_vma=False,  # models exchange nothing, so there is nothing to check
  )
