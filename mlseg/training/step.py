"""One training step: losses, weights, one backward pass, one update, in pure functions."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mlseg.training import average
from mlseg.weighting.base import LossWeighting
from mlseg.weighting.gradients import LossFunction, losses_and_gradients

PyTree = Any
Scalars = dict[str, jax.Array]


class Best(NamedTuple):
  """The variables of the best validation epoch so far: those that were evaluated."""

  score: jax.Array  # [], -inf before the first evaluation
  epoch: jax.Array  # [] int32, epochs that were complete when it was reached
  variables: PyTree  # as in TrainState


class NonFinite(NamedTuple):
  """Steps that were skipped because a loss or a gradient was not finite."""

  total: jax.Array  # [] int32
  in_row: jax.Array  # [] int32, up to the last step
  losses: Scalars  # per loss [] int32: in how many of that row it was not finite itself


class TrainState(NamedTuple):
  """The state of a model: with the data set it determines every later number."""

  step: jax.Array  # [] int32; also the position in the data
  key: jax.Array  # [] typed key; every random number of the run comes from it and the step
  variables: PyTree  # the model's: 'params' and its other state
  opt_state: PyTree
  weighting_state: PyTree
  best: Best
  nonfinite: NonFinite
  stopped: jax.Array  # [] bool; steps change nothing any more
  average: PyTree = None  # over the variables, in their structure; None: the recipe wants none

  @property
  def evaluated(self) -> PyTree:
    """The variables that are validated, kept as the best ones, and tested."""
    return self.variables if self.average is None else self.average


class StepLog(NamedTuple):
  """The losses and weights of a step."""

  losses: Scalars  # per loss [], NaN where the batch does not have it
  weights: Scalars  # per loss []


def init_state(
  key: jax.Array,
  variables: PyTree,
  optimizer: optax.GradientTransformation,
  weighting: LossWeighting,
  loss_names: tuple[str, ...],
  averages: bool = False,
) -> TrainState:
  """Returns the state before the first step.

  Args:
    key: of all random numbers of the run.
    variables: the model's.
    optimizer: an optax transformation.
    weighting: decides the weights of the losses.
    loss_names: of the losses.
    averages: whether an average over the variables is kept, which takes their memory once more.
  """
  losses = {name: jnp.zeros((), jnp.float32) for name in loss_names}
  # No buffer may appear twice in a donated state, so the best variables are a copy.
  best = Best(jnp.float32(-jnp.inf), jnp.int32(0), jax.tree.map(jnp.copy, variables))
  counts = {name: jnp.zeros((), jnp.int32) for name in loss_names}
  return TrainState(
    step=jnp.int32(0),
    key=key,
    variables=variables,
    opt_state=optimizer.init(variables["params"]),
    weighting_state=weighting.init(losses),
    best=best,
    nonfinite=NonFinite(jnp.int32(0), jnp.int32(0), counts),
    stopped=jnp.bool(False),
    average=jax.tree.map(jnp.copy, variables) if averages else None,
  )


def make_step(
  loss_fn: LossFunction,
  optimizer: optax.GradientTransformation,
  weighting: LossWeighting,
  gram_at: Literal["logits", "params"] = "params",
  num_microbatches: int = 1,
  max_nonfinite: int = 10,
  ema: float = 0.0,
  present: Callable[[PyTree], Scalars] | None = None,
) -> Callable[..., tuple[TrainState, StepLog]]:
  """Returns `step(state, batch, **extra) -> (state, StepLog)`.

  A step whose losses or gradients are not all finite changes neither the model nor the optimiser:
  it is counted, and the next batch gets its chance. `max_nonfinite` of them in a row stop the
  model. A model that is stopped stays as it is.

  The weighting sees every step, so its counters (of `every`, `per_epoch`, and the auxiliary loss)
  are those of the run; by itself it lets no loss that is not finite into a history.

  Args:
    loss_fn: `loss_fn(params, model_state, batch) -> (losses, model_state)`, `losses` a dict of
      scalars and `model_state` the variables other than the parameters.
    optimizer: an optax transformation.
    weighting: decides the weights of the losses.
    gram_at: where gradients are compared by a weighting that does; see `losses_and_gradients`.
    num_microbatches: parts in which a batch goes through the network.
    max_nonfinite: steps in a row that are not finite before a model stops.
    ema: decay of the average over the variables, where the state has one; see `average.update`.
    present: which losses a batch has, bool scalars in the structure of the losses; None: all.

  Returns:
    The step; `extra` goes to the weighting and to the optimiser, as far as they take any. The
    optimiser also gets the step of the run as `step`, for its schedule.
  """
  optimizer = optax.with_extra_args_support(optimizer)
  compute = losses_and_gradients(
    loss_fn, weighting, gram_at=gram_at, num_microbatches=num_microbatches
  )

  def step(state: TrainState, batch: PyTree, **extra: Any) -> tuple[TrainState, StepLog]:
    params = state.variables["params"]
    model_state = {name: v for name, v in state.variables.items() if name != "params"}
    key = jax.random.fold_in(jax.random.split(state.key)[1], state.step)
    known = None if present is None else present(batch)
    result, weighting_state = compute(
      params, state.weighting_state, model_state, batch, key=key, present=known, **extra
    )
    updates, opt_state = optimizer.update(
      result.gradients, state.opt_state, params, step=state.step, **extra
    )
    variables = {**result.aux, "params": optax.apply_updates(params, updates)}

    bad = {name: ~jnp.isfinite(loss) for name, loss in result.losses.items()}
    sound = [jnp.isfinite(g).all() for g in jax.tree.leaves(result.gradients)]
    finite = jnp.stack(sound).all() & ~jnp.stack([*bad.values()]).any()
    # Computed once: it would otherwise be a part of each of the selections below.
    finite, keep = jax.lax.optimization_barrier((finite, finite & ~state.stopped))
    averaged = state.average
    if averaged is not None:
      num_updates = state.step - state.nonfinite.total  # steps that were not skipped
      averaged = average.update(averaged, variables, ema, num_updates)
    variables, opt_state, averaged = jax.tree.map(
      lambda n, o: jnp.where(keep, n, o),
      (variables, opt_state, averaged),
      (state.variables, state.opt_state, state.average),
    )
    weighting_state = jax.tree.map(
      lambda n, o: jnp.where(state.stopped, o, n), weighting_state, state.weighting_state
    )
    skipped = 1 - finite.astype(jnp.int32)
    nonfinite = NonFinite(
      total=state.nonfinite.total + skipped,
      in_row=(state.nonfinite.in_row + skipped) * skipped,
      losses={name: (state.nonfinite.losses[name] + bad[name]) * skipped for name in bad},
    )
    nonfinite = jax.tree.map(
      lambda n, o: jnp.where(state.stopped, o, n), nonfinite, state.nonfinite
    )
    state = state._replace(
      step=state.step + ~state.stopped,
      variables=variables,
      opt_state=opt_state,
      weighting_state=weighting_state,
      nonfinite=nonfinite,
      stopped=state.stopped | (nonfinite.in_row >= max_nonfinite),
      average=averaged,
    )
    losses = result.losses
    if known is not None:
      losses = {name: jnp.where(known[name], loss, jnp.nan) for name, loss in losses.items()}
    return state, StepLog(losses, result.weights)

  return step


def make_run(
  step: Callable[..., tuple[TrainState, StepLog]],
  batch_at: Callable[[PyTree, jax.Array, jax.Array], PyTree],
  skip_stopped: bool = True,
) -> Callable[..., tuple[TrainState, StepLog]]:
  """Returns `run(state, data, num_steps, **extra) -> (state, StepLog)`: many steps, one program.

  The number of steps is traced, so one compiled program serves a whole epoch, a part of one, and
  the rest of one that was interrupted, with bitwise the same numbers.

  Args:
    step: from `make_step`.
    batch_at: `batch_at(data, key, step) -> batch`, pure.
    skip_stopped: a model that is stopped costs nothing. Under `vmap` that would give the models
      different numbers of steps, and every step a selection over the whole state: False there.

  Returns:
    A function whose log holds the mean of each loss over the steps that had it (of the finite
    ones, where some were not) and the weights of the last step.
  """

  def run(
    state: TrainState, data: PyTree, num_steps: jax.Array, **extra: Any
  ) -> tuple[TrainState, StepLog]:
    zeros = {name: jnp.zeros((), jnp.float32) for name in state.nonfinite.losses}

    def body(_, carry):
      state, sums, counts, _ = carry
      data_key = jax.random.split(state.key)[0]  # the other half is the step's
      state, log = step(state, batch_at(data, data_key, state.step), **extra)
      finite = jax.tree.map(jnp.isfinite, log.losses)
      sums = jax.tree.map(lambda s, loss, ok: s + jnp.where(ok, loss, 0), sums, log.losses, finite)
      counts = jax.tree.map(lambda c, ok: c + ok, counts, finite)
      return state, sums, counts, log.weights

    count = jnp.where(state.stopped, 0, num_steps) if skip_stopped else num_steps
    state, sums, counts, weights = jax.lax.fori_loop(0, count, body, (state, zeros, zeros, zeros))
    means = jax.tree.map(lambda s, c: s / c, sums, counts)  # NaN where no step was finite
    return state, StepLog(means, weights)

  return run


def update_best(
  state: TrainState, score: jax.Array, epoch: jax.Array, patience: int = 0
) -> TrainState:
  """Returns the state with the evaluated variables as the best ones, if the score is higher.

  Args:
    state: of a model that has not stopped; another comes back as it is.
    score: of the evaluated variables; NaN is never higher.
    epoch: epochs that are complete.
    patience: epochs without a better score that stop the model; 0: never.
  """
  better = (score > state.best.score) & ~state.stopped
  current = Best(score, epoch, state.evaluated)
  best = jax.tree.map(lambda new, old: jnp.where(better, new, old), current, state.best)
  stale = bool(patience) & (epoch - best.epoch >= patience)
  return state._replace(best=best, stopped=state.stopped | stale)
