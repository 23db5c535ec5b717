"""The compiled programs of a group of models: a few, each compiled once."""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from mlseg.data.cases import Cases
from mlseg.data.splits.grouped import Split
from mlseg.devices import compiler, model_axis, sharding
from mlseg.recipe.experiment import Experiment
from mlseg.training import feed
from mlseg.training.model_functions import make_functions
from mlseg.training.model_parts import ModelInputs
from mlseg.training.step import NonFinite, StepLog, TrainState
from mlseg.training.testing import make_testing
from mlseg.training.validation import Validation

PyTree = Any


class Status(NamedTuple):
  """The part of the models' states that the host reads, on every process."""

  step: jax.Array  # [M] int32
  stopped: jax.Array  # [M] bool
  nonfinite: NonFinite  # [M] each


class Training(NamedTuple):
  """What runs on the device while a group trains.

  Running and validating take over the memory of the state.

  Attributes:
    run: `run(state, inputs, batches, num_steps) -> (state, StepLog)`, models first; the batches
      are from `feed`.
    validate: `validate(state, inputs, part, epoch) -> (state, Validation)`, which also keeps the
      best variables, and stops a model whose patience is at its end.
    seconds: that compiling them took.
    cosines: `cosines(state, inputs, batches, number) -> [M, K, K]`, between the gradients of the
      losses in the next step, in the order of their names, one model after another; None where the
      recipe does not ask for them. The number is not read.
  """

  run: Callable[..., tuple[TrainState, StepLog]]
  validate: Callable[..., tuple[TrainState, Validation]]
  seconds: float
  cosines: Callable[..., jax.Array] | None = None


class Programs:
  """The compiled programs of a group; a mistake shows here, before anything is allocated.

  Args:
    experiments: the recipes, whose `common` is the same.
    cases: the data set.
    split: of the first seed, for the sizes of its parts, which are the same for all seeds.
    strategy: how the models are gone through: 'vmap', 'map' or 'loop'.
    num_models: models of the group, those included that only fill up the mesh; a multiple of the
      mesh's 'seed' axis.
    mesh: from `sharding.make_mesh`.

  Attributes:
    state: shapes, types and shardings of the state, models first.
    steps_per_epoch: full batches in the training set.
    num_steps: steps of the whole run.
    num_params: parameters of the network.
    status: `status(state) -> Status`.
    keys: `keys(state) -> [M]`, on every process.
    testing: what tests models.

  Raises:
    UserError: a recipe does not fit the data.
  """

  def __init__(
    self,
    experiments: Sequence[Experiment],
    cases: Cases,
    split: Split,
    *,
    strategy: str,
    num_models: int,
    mesh: Mesh,
  ):
    self._functions = make_functions(experiments, len(split.train), cases)
    self._experiment, self._strategy = experiments[0], strategy
    self._num_models, self.mesh = num_models, mesh
    self._cases = cases
    self.steps_per_epoch = self._functions.steps_per_epoch
    self.num_steps = self._functions.num_steps
    self._everywhere = sharding.everywhere(mesh)
    self._by_model = sharding.by_model(mesh)

    # ---- The state: one after another whatever the strategy, so that no start depends on it
    self._init_all = model_axis.over_models(self._functions.init, "map", mesh)
    self._inputs = jax.tree.map(self._shape, self._functions.inputs(cases, split, 0))
    seed_shapes = jax.ShapeDtypeStruct((num_models,), jnp.int32)
    flag_shapes = jax.ShapeDtypeStruct((num_models,), bool)
    own = seed_shapes, flag_shapes, self._inputs.covariate_statistics
    self._shared = self._cases.images[:1], experiments[0].network.load_pretrained()
    with jax.set_mesh(mesh):
      shapes = jax.eval_shape(self._init_all, own, self._shared)
    self.state = jax.tree.map(_placed, shapes, sharding.state_shardings(shapes, mesh))
    sizes = [leaf.size for leaf in jax.tree.leaves(shapes.variables["params"])]
    self.num_params = sum(sizes) // num_models

    # ---- Small programs, compiled when they are called
    everywhere = functools.partial(jax.jit, out_shardings=self._everywhere)
    self.status = everywhere(lambda state: Status(state.step, state.stopped, state.nonfinite))
    self.keys = everywhere(lambda state: state.key)
    self._take = everywhere(lambda best, n: jax.tree.map(lambda x: x[n], best))
    self.testing = make_testing(self._functions, mesh)

    # ---- The other arguments of training, and its first trace
    self._batches, self._part = feed.shapes(experiments[0], cases, split, mesh, num_models)
    self._at_once = experiments[0].seeds.vectorize or num_models
    self._run = functools.partial(self._functions.run, skip_stopped=strategy != "vmap")
    self._traced_run = self._trace(self._run, self._batches, self._at_once)

  def init(self, numbers: Sequence[int], covariate_statistics: PyTree = None) -> TrainState:
    """Returns the start of models with these seeds; further ones are stopped from the start.

    Args:
      numbers: the seeds.
      covariate_statistics: of the `inputs` of the models, where the network reads covariates.

    Raises:
      ValueError: the network reads covariates, and there are no statistics of them.
    """
    if (covariate_statistics is None) != (self._inputs.covariate_statistics is None):
      raise ValueError("covariate_statistics: must be those of the inputs of the models")
    index = np.arange(self._num_models)
    own = np.array(numbers, np.int32)[np.minimum(index, len(numbers) - 1)]
    seeds = sharding.place((own, index >= len(numbers)), self._by_model)
    shardings = jax.tree.map(lambda leaf: leaf.sharding, self.state)
    with jax.set_mesh(self.mesh):
      compiled = jax.jit(
        self._init_all, out_shardings=shardings, compiler_options=compiler.init_options()
      )
      return compiled(
        (*seeds, covariate_statistics), sharding.place(self._shared, self._everywhere)
      )

  @functools.cached_property
  def training(self) -> Training:
    """The programs of training, compiled at the first use."""
    options = compiler.compiler_options()
    started = time.perf_counter()
    vectorize, run = self._at_once, self._traced_run.lower().compile(options)
    while self._strategy == "vmap" and vectorize > 1 and not sharding.fits(run, self.mesh):
      vectorize = -(-vectorize // 2)
      run = self._trace(self._run, self._batches, vectorize).lower().compile(options)
    validate = self._trace(self._functions.validate, self._part, vectorize).lower().compile(options)
    cosines = None
    if self._experiment.cosines_every:
      own = "map" if self._strategy == "vmap" else self._strategy  # the memory of one model
      traced = self._trace(self._functions.cosines, self._batches, 0, own, changes_state=False)
      cosines = traced.lower().compile(options)
    return Training(run, validate, time.perf_counter() - started, cosines)

  def _trace(
    self,
    function: Callable,
    data: PyTree,
    vectorize: int,
    strategy: str = "",
    changes_state: bool = True,
  ) -> jax.stages.Traced:
    """Returns a function of one model, traced for all: of state, inputs, data and a number.

    Args:
      function: of one model.
      data: shapes of the data.
      vectorize: with 'vmap', how many models run at once.
      strategy: another one than that of the group.
      changes_state: whether its first result is the next state, which takes the memory of the last.
    """
    over = model_axis.over_models(function, strategy or self._strategy, self.mesh, vectorize)

    def whole(state: TrainState, inputs: ModelInputs, data: PyTree, number: jax.Array) -> PyTree:
      if self._experiment.data.placement == "host":  # every model has data of its own
        return over((state, inputs, data), (None, number))
      return over((state, inputs, None), (data, number))

    shardings = jax.tree.map(lambda leaf: leaf.sharding, self.state)
    count = jax.ShapeDtypeStruct((), jnp.int32, sharding=self._everywhere)
    results = (shardings, self._everywhere) if changes_state else self._everywhere
    donated = (0,) if changes_state else ()
    jitted = jax.jit(whole, donate_argnums=donated, out_shardings=results)
    with jax.set_mesh(self.mesh):
      return jitted.trace(self.state, self._inputs, data, count)

  def inputs(self, splits: Sequence[Split], runs: Sequence[int]) -> ModelInputs:
    """Returns the inputs of the models, on the devices.

    Args:
      splits: of each model; where the group has more models, the last is repeated.
      runs: the index of each model's recipe.
    """
    chosen = np.minimum(np.arange(self._num_models), len(splits) - 1)
    own = [self._functions.inputs(self._cases, splits[n], runs[n]) for n in chosen]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *own)
    return sharding.place(stacked, self._by_model)

  def _shape(self, leaf: Any) -> jax.ShapeDtypeStruct:
    """Returns the shape of an input of all models, from that of one."""
    shape = self._num_models, *leaf.shape
    return jax.ShapeDtypeStruct(shape, leaf.dtype, sharding=self._by_model)

  def number(self, value: int) -> jax.Array:
    """Returns a whole number on all devices."""
    return sharding.place(np.int32(value), self._everywhere)

  def best(self, state: TrainState, index: int) -> PyTree:
    """Returns the variables of a model's best epoch."""
    return self._take(state.best.variables, self.number(index))


def _placed(leaf: Any, where: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
  """Returns shape and type of an array with where it lies."""
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)
