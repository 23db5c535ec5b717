"""The weightings over which the laws are tested; a new factory is one line here."""

import jax
import jax.numpy as jnp
import numpy as np

from mlseg import weighting as w

K = 3
SHORT = {"capacity": 6, "min_history": 3}

BASES = {
  "fixed": w.fixed(),
  "fixed_values": w.fixed((0.5, 2.0, 1.0)),
  "variance": w.dynamic_memory_fusion("variance", **SHORT),
  "mad": w.dynamic_memory_fusion("mad", **SHORT),
  "bayesian": w.dynamic_memory_fusion("bayesian", **SHORT),
  "bayesian_forgetting": w.dynamic_memory_fusion("bayesian", **SHORT, forgetting=0.2),
  "softadapt": w.softadapt(),
  "softadapt_normalized": w.softadapt("normalized"),
  "softadapt_loss_weighted": w.softadapt("loss_weighted"),
  "dynamic_weight_average": w.dynamic_weight_average(),
  "coefficient_of_variation": w.coefficient_of_variation(),
  "coefficient_of_variation_decay": w.coefficient_of_variation("decay"),
  "geometric": w.geometric(),
  "smooth_tchebycheff": w.smooth_tchebycheff(),
  "soft_optimal_uncertainty": w.soft_optimal_uncertainty(),
  "cosmos": w.cosmos(),
  "penalty_boundary_intersection": w.penalty_boundary_intersection(),
  "random_weighting": w.random_weighting(),
  "random_weighting_dirichlet": w.random_weighting("dirichlet"),
  "relobralo": w.relobralo(),
  "famo": w.famo(),
  "uncertainty": w.uncertainty(),
  "revised_uncertainty": w.revised_uncertainty(),
  "impartial_losses": w.impartial_losses(),
  "robust": w.robust(),
  "gradnorm": w.gradnorm(),
  "mgda": w.mgda(),
  "pcgrad": w.pcgrad(),
  "gradvac": w.gradvac(),
  "cagrad": w.cagrad(),
  "impartial_gradients": w.impartial_gradients(),
  "nash_mtl": w.nash_mtl(),
  "fairgrad": w.fairgrad(),
  "aligned_mtl": w.aligned_mtl(),
  "upgrad": w.upgrad(),
  "dual_projection": w.dual_projection(),
  "config": w.config(),
  "modo": w.modo(),
  "sdmgrad": w.sdmgrad(),
}
COMBINATORS = {
  "ema": w.ema(0.8),
  "bounded": w.bounded(0.1, 0.6),
  "with_prior": w.with_prior((5.0, 1.0, 2.0)),
  "rescale": w.rescale(),
}
WRAPPED = {
  "every": w.every(w.dynamic_memory_fusion("variance", **SHORT), 2),
  "every_mgda": w.every(w.mgda(), 3),
  "per_epoch": w.per_epoch(w.dynamic_weight_average(), 2),
  "warm_up": w.warm_up(w.dynamic_memory_fusion("mad", **SHORT), 4),
  "chain": w.chain(
    w.dynamic_memory_fusion("mad", capacity=6, min_history=2), w.ema(0.5), w.bounded(0.1, 0.7)
  ),
  "switch": w.switch(w.dynamic_memory_fusion("variance", **SHORT), w.mgda(), w.fixed()),
  "chain_of_chains": w.chain(w.chain(w.fixed((9.0, 1.0, 2.0)), w.bounded(0.2, 0.5)), w.ema()),
}
WEIGHTINGS = {**BASES, **COMBINATORS, **WRAPPED}
# Those that act on dicts alone: tests give them the same numbers under names.
ON_DICTS = {
  "with_auxiliary": w.with_auxiliary(
    w.dynamic_memory_fusion("variance", **SHORT), "b", decay_every=2
  ),
  "with_auxiliary_gram": w.with_auxiliary(w.cagrad(), "b", decay_every=2),
  "subset": w.subset(w.dynamic_memory_fusion("mad", **SHORT), ("a", "c")),
  "subset_gram": w.subset(w.cagrad(), ("a", "c")),
}
ALL = {**WEIGHTINGS, **ON_DICTS}
MAY_BE_NEGATIVE = {
  "aligned_mtl",
  "cosmos",
  "penalty_boundary_intersection",
  "impartial_gradients",
  "config",
}
SUM_TO_ONE = {
  "variance", "mad", "bayesian", "bayesian_forgetting", "coefficient_of_variation",
  "coefficient_of_variation_decay", "soft_optimal_uncertainty", "random_weighting",
  "random_weighting_dirichlet", "famo", "mgda", "impartial_gradients", "ema", "bounded",
  "with_prior", "rescale", "every", "every_mgda", "warm_up", "chain",
}  # fmt: skip

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


def update(name, row, state, gram=None):
  """Returns the weights [K] and the next state of a weighting for losses [K]."""
  weighting = ALL[name]
  gram = gram_of_row(row) if gram is None else gram
  weights, state = weighting.update(
    as_losses(name, row), state, gram=gram if weighting.needs_gram else None
  )
  return jnp.stack(jax.tree.leaves(weights)).reshape(K), state


def scan(name, with_gram=False):
  """Returns the compiled function from rows [steps, K] to weights [steps, K] and the last state.

  With `with_gram` it takes Gram matrices [steps, K, K] too; otherwise they follow from the rows.
  """

  def run(rows, grams=None):
    def body(state, inputs):
      weights, state = update(name, inputs[0], state, inputs[1] if with_gram else None)
      return state, weights

    xs = (rows, grams) if with_gram else (rows,)
    state, weights = jax.lax.scan(body, ALL[name].init(as_losses(name, rows[0])), xs)
    return weights, state

  return jax.jit(run)
