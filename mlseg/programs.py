"""The compiled programs of a group of models: a few, each compiled once."""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from mlseg import builders, feed, loss_builders, seeds, sharding, together, train_step
from mlseg.data import pipeline
from mlseg.data.cases import Cases
from mlseg.data.splits import Split
from mlseg.errors import user_errors
from mlseg.evaluate import Evaluation, make_evaluate
from mlseg.metrics import overlap
from mlseg.train_step import NonFinite, StepLog, TrainState

PyTree = Any


class Validation(NamedTuple):
  """What an epoch's evaluation on the validation set reports."""

  dice: jax.Array  # [], foreground, mean over images
  losses: dict[str, jax.Array]  # per loss []


class Member(NamedTuple):
  """What a model of the group has to itself beside its state; stacked, [M, ...]."""

  train: Any  # [n] int32, which cases it is trained on
  validation: Any  # [v] int32
  extra: dict[str, Any]  # arguments of its weighting and optimiser, where configs differ


class Brief(NamedTuple):
  """What the host looks at of a state, on every process."""

  step: jax.Array  # [M] int32
  stopped: jax.Array  # [M] bool
  nonfinite: NonFinite  # [M] each


class Training(NamedTuple):
  """What runs on the device while a group trains; both take over the memory of the state.

  Attributes:
    run: `run(state, members, batches, num_steps) -> (state, StepLog)`, members first; the batches
      are from `feed`.
    validate: `validate(state, members, part, epoch) -> (state, Validation)`, which also keeps the
      best variables, and stops a model whose patience is at its end.
    seconds: that compiling them took.
  """

  run: Callable[..., tuple[TrainState, StepLog]]
  validate: Callable[..., tuple[TrainState, Validation]]
  seconds: float


class Programs(NamedTuple):
  """What runs on the devices.

  Attributes:
    mesh: of the devices.
    num_members: models of the group, those included that only fill up the mesh.
    extra: per config the extra arguments of a `Member`.
    init: `init(seeds) -> TrainState`; models beyond those seeds are stopped from the start.
    state: shapes, types and shardings of the state.
    training: `training() -> Training`, compiled at the first call.
    brief: `brief(state) -> Brief`.
    keys: `keys(state) -> [M]`, on every process.
    number: `number(n)`, a whole number on all devices.
    best: `best(state, member) -> variables` of its best epoch.
    test: `test(variables, images, masks) -> Evaluation`.
    predict: `predict(variables, images) -> classes [B, H, W]`.
    steps_per_epoch: full batches in the training set.
    num_steps: steps of the whole run.
    num_params: parameters of the network.
  """

  mesh: Mesh
  num_members: int
  extra: dict[str, np.ndarray]
  init: Callable[[Sequence[int]], TrainState]
  state: PyTree
  training: Callable[[], Training]
  brief: Callable[[TrainState], Brief]
  keys: Callable[[TrainState], jax.Array]
  number: Callable[[int], jax.Array]
  best: Callable[[TrainState, int], PyTree]
  test: Callable[..., Evaluation]
  predict: Callable[[PyTree, np.ndarray], jax.Array]
  steps_per_epoch: int
  num_steps: int
  num_params: int


def build_programs(
  configs: Sequence[ConfigDict],
  cases: Cases,
  split: Split,
  *,
  strategy: str,
  num_members: int,
  mesh: Mesh,
) -> Programs:
  """Returns the programs of a group of models.

  Args:
    configs: the recipes, which `together.common_part` says to be of one program.
    cases: the data set.
    split: of the first seed, for the sizes of its parts, which are the same for all seeds, and for
      class weights that the config leaves open.
    strategy: how the models are gone through: 'vmap', 'map' or 'loop'.
    num_members: models, a multiple of the mesh's 'seed' axis.
    mesh: from `sharding.make_mesh`.

  Raises:
    UserError: the config is not right.
  """
  config = configs[0]
  num_classes = len(cases.class_names)
  model = builders.make_model(config, num_classes)
  steps_per_epoch = len(split.train) // config.batch_size
  num_steps = steps_per_epoch * config.num_epochs
  joint = together.join(configs, steps_per_epoch, num_steps)
  pixels = np.bincount(cases.masks[split.train].ravel(), minlength=num_classes)
  losses = loss_builders.make_losses(config, num_classes, pixels.tolist(), joint.loss_names)
  over_members = functools.partial(seeds.over_members, mesh=mesh)

  # ---- Functions of one model
  def init_one(member: tuple[jax.Array, jax.Array], image: jax.Array) -> TrainState:
    seed, stopped = member
    init_key, key = jax.random.split(jax.random.key(seed))
    variables = model.init(init_key, pipeline.to_float(image))
    names = tuple(losses)
    state = train_step.init_state(key, variables, joint.optimizer, joint.weighting, names)
    return state._replace(stopped=stopped)

  def logits(variables: PyTree, images: jax.Array) -> jax.Array:
    batch = sharding.split_batch(pipeline.to_float(images))
    return model.apply(variables, batch, False)[0].logits

  evaluate = make_evaluate(logits, losses, num_classes, config.batch_size)
  loss_fn = loss_builders.make_loss_fn(model, losses, num_classes)
  with user_errors("config.weighting"):
    step = train_step.make_step(
      loss_fn,
      joint.optimizer,
      joint.weighting,
      config.weighting.gram_at,
      config.num_microbatches,
      config.max_nonfinite,
    )
  run = train_step.make_run(
    step, loss_builders.make_batch_at(config), skip_stopped=strategy != "vmap"
  )

  def run_one(mapped: tuple, shared: tuple) -> PyTree:
    (state, member, own), (data, count) = mapped, shared
    source = data._replace(train=member.train) if own is None else own
    return run(state, source, count, **member.extra)

  def validate_one(mapped: tuple, shared: tuple) -> PyTree:
    (state, member, own), (data, epoch) = mapped, shared
    part = data if own is None else own
    index = member.validation if own is None else slice(None)
    result = evaluate(state.variables, part.images[index], part.masks[index])
    dice = overlap.foreground_dice(result.counts)
    means = {name: value.mean() for name, value in result.losses.items()}
    state = train_step.update_best(state, dice, epoch, config.patience)
    return state, Validation(dice, means)

  # ---- Functions of all, and where their arrays lie
  everywhere, by_member = sharding.everywhere(mesh), sharding.by_member(mesh)
  image = cases.images[:1]
  # One after another whatever the strategy, so that a model's start does not depend on it.
  init_all = over_members(init_one, "map")
  seed_shapes = jax.ShapeDtypeStruct((num_members,), jnp.int32)
  flag_shapes = jax.ShapeDtypeStruct((num_members,), bool)
  # Shapes alone: a mistake in the config shows before anything is allocated or written.
  with jax.set_mesh(mesh):
    shapes = jax.eval_shape(init_all, (seed_shapes, flag_shapes), image)
  shardings = sharding.state_shardings(shapes, mesh)
  state = jax.tree.map(_placed, shapes, shardings)

  def init(numbers: Sequence[int]) -> TrainState:
    places = np.arange(num_members)
    own = np.array(numbers, np.int32)[np.minimum(places, len(numbers) - 1)]
    members = sharding.place((own, places >= len(numbers)), by_member)
    with jax.set_mesh(mesh):
      compiled = jax.jit(
        init_all, out_shardings=shardings, compiler_options=builders.init_options()
      )
      return compiled(members, sharding.place(image, everywhere))

  def program(function: Callable, data: PyTree, vectorize: int) -> Any:
    """Returns the traced function of a state, its members, the data and a number."""
    over = over_members(function, strategy, vectorize=vectorize)

    def whole(state: TrainState, members: Member, data: PyTree, number: jax.Array) -> PyTree:
      if config.data.placement == "host":  # every model has data of its own
        return over((state, members, data), (None, number))
      return over((state, members, None), (data, number))

    jitted = jax.jit(whole, donate_argnums=0, out_shardings=(shardings, everywhere))
    with jax.set_mesh(mesh):
      return jitted.trace(state, members, data, count)

  member = Member(split.train.astype(np.int32), split.validation.astype(np.int32), joint.extra)
  members = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct((num_members, *x.shape), x.dtype, sharding=by_member),
    member._replace(extra={name: value[0] for name, value in joint.extra.items()}),
  )
  count = jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere)
  batches, part = feed.shapes(config, cases, split, mesh, num_members)
  at_once = config.seeds.vectorize or num_members
  traced_run = program(run_one, batches, at_once)
  options = builders.compiler_options()

  @functools.cache
  def training() -> Training:
    started = time.perf_counter()
    vectorize, compiled_run = at_once, traced_run.lower().compile(options)
    while strategy == "vmap" and vectorize > 1 and not sharding.fits(compiled_run, mesh):
      vectorize = -(-vectorize // 2)
      compiled_run = program(run_one, batches, vectorize).lower().compile(options)
    compiled_validate = program(validate_one, part, vectorize).lower().compile(options)
    return Training(compiled_run, compiled_validate, time.perf_counter() - started)

  def number(value: int) -> jax.Array:
    return sharding.place(np.int32(value), everywhere)

  take = jax.jit(lambda best, n: jax.tree.map(lambda x: x[n], best), out_shardings=everywhere)
  brief = jax.jit(lambda s: Brief(s.step, s.stopped, s.nonfinite), out_shardings=everywhere)

  def on_mesh(function: Callable) -> Callable:
    compiled = jax.jit(function, out_shardings=everywhere, compiler_options=options)

    def call(variables: PyTree, *arrays: np.ndarray) -> PyTree:
      with jax.set_mesh(mesh):
        return compiled(variables, *sharding.place(arrays, everywhere))

    return call

  return Programs(
    mesh=mesh,
    num_members=num_members,
    extra=joint.extra,
    init=init,
    state=state,
    training=training,
    brief=brief,
    keys=jax.jit(lambda state: state.key, out_shardings=everywhere),
    number=number,
    best=lambda state, n: take(state.best.variables, number(n)),
    test=on_mesh(evaluate),
    predict=on_mesh(lambda variables, images: logits(variables, images).argmax(-1)),
    steps_per_epoch=steps_per_epoch,
    num_steps=num_steps,
    num_params=sum(leaf.size for leaf in jax.tree.leaves(shapes.variables["params"]))
    // num_members,
  )


def _placed(leaf: Any, where: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
  """Returns shape and type of an array with where it lies."""
  return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where)


def stack_members(programs: Programs, splits: Sequence[Split], places: Sequence[int]) -> Member:
  """Returns what the models of a group have to themselves, on the devices.

  Args:
    programs: of the group; where it has more models than there are splits, the last is repeated.
    splits: of each model.
    places: which config each model is of.
  """
  chosen = np.minimum(np.arange(programs.num_members), len(splits) - 1)
  member = Member(
    np.stack([splits[n].train for n in chosen]).astype(np.int32),
    np.stack([splits[n].validation for n in chosen]).astype(np.int32),
    {name: values[np.array(places)[chosen]] for name, values in programs.extra.items()},
  )
  return sharding.place(member, sharding.by_member(programs.mesh))
