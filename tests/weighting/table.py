"""The weightings over which the laws are tested; a new one is one line here."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mlseg import weighting as w
from mlseg.weighting.base import LossWeighting

K = 3
SHORT = {"capacity": 6, "min_history": 3}


class Case(NamedTuple):
  """A weighting, and what holds for its weights whatever the losses are."""

  weighting: LossWeighting
  total: float | None = None  # the sum of the weights; None: it may change
  may_be_negative: bool = False


def _given(weighting, keyword):
  """Returns the weighting with its keyword given: the losses themselves, as any numbers."""

  def update(losses, state, **extra):
    return weighting.update(losses, state, **{keyword: losses}, **extra)

  return weighting._replace(update=update)


BASES = {
  "fixed": Case(w.fixed(), total=K),
  "fixed_values": Case(w.fixed((0.5, 2.0, 1.0)), total=3.5),
  "scheduled": Case(w.scheduled(lambda step: 1 / (step + 1))),
  "dynamic_memory_fusion": Case(w.dynamic_memory_fusion("variance", **SHORT), total=1),
  "dynamic_memory_fusion_mad": Case(w.dynamic_memory_fusion("mad", **SHORT), total=1),
  "dynamic_memory_fusion_bayesian": Case(w.dynamic_memory_fusion("bayesian", **SHORT), total=1),
  "dynamic_memory_fusion_forgetting": Case(
    w.dynamic_memory_fusion("bayesian", **SHORT, forgetting=0.2), total=1
  ),
  "softadapt": Case(w.softadapt(), total=1),
  "softadapt_normalized": Case(w.softadapt("normalized"), total=1),
  "softadapt_loss_weighted": Case(w.softadapt("loss_weighted"), total=1),
  "dynamic_weight_average": Case(w.dynamic_weight_average(), total=K),
  "coefficient_of_variation": Case(w.coefficient_of_variation(), total=1),
  "coefficient_of_variation_decay": Case(w.coefficient_of_variation("decay"), total=1),
  "geometric": Case(w.geometric()),
  "smooth_tchebycheff": Case(w.smooth_tchebycheff(), total=1 / K),
  "soft_optimal_uncertainty": Case(w.soft_optimal_uncertainty(), total=1),
  "cosmos": Case(w.cosmos(), may_be_negative=True),
  "penalty_boundary_intersection": Case(w.penalty_boundary_intersection(), may_be_negative=True),
  "random_weighting": Case(w.random_weighting(), total=1),
  "random_weighting_dirichlet": Case(w.random_weighting("dirichlet"), total=1),
  "relobralo": Case(w.relobralo(), total=K),
  "famo": Case(w.famo(), total=1),
  "go4align": Case(w.go4align()),
  "go4align_fast": Case(w.go4align(3, step_size=0.5)),
  "residual_based_attention": Case(w.residual_based_attention()),
  "uncertainty": Case(w.uncertainty()),
  "revised_uncertainty": Case(w.revised_uncertainty()),
  "impartial_losses": Case(w.impartial_losses()),
  "robust": Case(w.robust()),
  "self_adaptive": Case(w.self_adaptive()),
  "auto_lambda": Case(_given(w.auto_lambda(), "slopes")),
  "gradnorm": Case(w.gradnorm(), total=K),
  "gradient_norm_balance": Case(w.gradient_norm_balance()),
  "neural_tangent_kernel": Case(_given(w.neural_tangent_kernel(), "traces")),
  "mgda": Case(w.mgda(), total=1),
  "pcgrad": Case(w.pcgrad()),
  "gradvac": Case(w.gradvac()),
  "cagrad": Case(w.cagrad()),
  "impartial_gradients": Case(w.impartial_gradients(), total=1, may_be_negative=True),
  "nash_mtl": Case(w.nash_mtl()),
  "fairgrad": Case(w.fairgrad()),
  "aligned_mtl": Case(w.aligned_mtl(), may_be_negative=True),
  "upgrad": Case(w.upgrad()),
  "dual_projection": Case(w.dual_projection()),
  "conflict_free": Case(w.conflict_free(), may_be_negative=True),
  "priority_constrained": Case(w.priority_constrained(tau=0.2)),
  "krum": Case(w.krum(), total=1),
  "modo": Case(w.modo(), total=1),
  "sdmgrad": Case(w.sdmgrad(), total=1),
}
COMBINATORS = {
  "ema": Case(w.ema(0.8), total=1),
  "bounded": Case(w.bounded(0.1, 0.6), total=1),
  "with_prior": Case(w.with_prior((5.0, 1.0, 2.0)), total=1),
  "rescale": Case(w.rescale(), total=1),
}
WRAPPED = {
  "every": Case(w.every(w.dynamic_memory_fusion("variance", **SHORT), 2), total=1),
  "every_mgda": Case(w.every(w.mgda(), 3), total=1),
  "per_epoch": Case(w.per_epoch(w.dynamic_weight_average(), 2), total=K),
  "warm_up": Case(w.warm_up(w.dynamic_memory_fusion("mad", **SHORT), 4), total=1),
  "chain": Case(
    w.chain(
      w.dynamic_memory_fusion("mad", capacity=6, min_history=2), w.ema(0.5), w.bounded(0.1, 0.7)
    ),
    total=1,
  ),
  "switch": Case(w.switch(w.dynamic_memory_fusion("variance", **SHORT), w.mgda(), w.fixed())),
  "chain_of_chains": Case(
    w.chain(w.chain(w.fixed((9.0, 1.0, 2.0)), w.bounded(0.2, 0.5)), w.ema()), total=12
  ),
}
# Those that take dicts alone: tests give them the same numbers under names.
ON_DICTS = {
  "with_auxiliary": Case(
    w.with_auxiliary(w.dynamic_memory_fusion("variance", **SHORT), "b", decay_every=2)
  ),
  "with_auxiliary_gram": Case(w.with_auxiliary(w.cagrad(), "b", decay_every=2)),
  "subset": Case(w.subset(w.dynamic_memory_fusion("mad", **SHORT), ("a", "c")), total=1),
  "subset_gram": Case(w.subset(w.cagrad(), ("a", "c"))),
}
CASES = {**BASES, **COMBINATORS, **WRAPPED, **ON_DICTS}
ALL = {name: case.weighting for name, case in CASES.items()}

DIRECTIONS = jnp.array(
  [[1.0, 2.0, -1.0, 0.5], [-0.5, -1.0, 2.0, 1.0], [0.3, -1.2, 0.4, 2.0]], jnp.float32
)


def assert_separate(state):
  """Asserts that no two arrays of a state are one, which could not be given away twice."""
  leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(state)]
  leaves = [leaf for leaf in leaves if leaf.size]
  assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


def as_losses(name, vector):
  """Returns the structure that the weighting takes: the array [K], or a dict."""
  return dict(zip("abc", vector, strict=True)) if name in ON_DICTS else vector


def gram_of_row(row):
  """Returns the Gram matrix of gradients that conflict and are as long as the losses are large."""
  rows = row[:, None] * DIRECTIONS.astype(row.dtype)
  return jnp.matmul(rows, rows.T, precision="highest")


def random_losses(seed=0, steps=9) -> jax.Array:
  """Returns losses [steps, K]."""
  return jnp.array(np.random.default_rng(seed).gamma(2.0, 1.0, [steps, K]), jnp.float32)


def update(name, row, state, gram=None, present=None):
  """Returns the weights [K] and the next state of a weighting for losses [K]."""
  weighting = ALL[name]
  gram = gram_of_row(row) if gram is None else gram
  weights, state = weighting.update(
    as_losses(name, row), state, gram=gram if weighting.needs_gram else None, present=present
  )
  return jnp.stack(jax.tree.leaves(weights)).reshape(K), state


def scan(name):
  """Returns the compiled function from rows [steps, K] to weights [steps, K] and the last state.

  It also takes Gram matrices [steps, K, K], which otherwise follow from the rows, and masks [steps,
  K] of the losses that are present, which otherwise are all.
  """

  def run(rows, grams=None, masks=None):
    def body(state, inputs):
      weights, state = update(name, inputs[0], state, *inputs[1:])
      return state, weights

    first = ALL[name].init(as_losses(name, rows[0]))
    state, weights = jax.lax.scan(body, first, (rows, grams, masks))
    return weights, state

  return jax.jit(run)
