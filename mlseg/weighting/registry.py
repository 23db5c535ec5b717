"""TODO mlseg.weighting.registry."""

import mlseg.weighting as weighting
from mlseg.weighting.base import LossWeighting

VALUES = (
  "fixed",
  "dynamic_memory_fusion",
  "softadapt",
  "dynamic_weight_average",
  "coefficient_of_variation",
  "relobralo",
  "random_weighting",
  "geometric",
  "smooth_tchebycheff",
  "soft_optimal_uncertainty",
  "cosmos",
  "penalty_boundary_intersection",
  "famo",
)


LEARNED = ("uncertainty", "revised_uncertainty", "impartial_losses", "robust")


GRAM = (
  "gradnorm",
  "mgda",
  "pcgrad",
  "gradvac",
  "cagrad",
  "impartial_gradients",
  "nash_mtl",
  "fairgrad",
  "aligned_mtl",
  "dual_projection",
  "upgrad",
  "config",
  "modo",
  "sdmgrad",
)


METHODS = (*VALUES, *LEARNED, *GRAM)


STACKED = ("graddrop", "moco", "db_mtl", "excess_mtl", "learning_rate_annealing")


COMBINATORS = (
  "chain",
  "ema",
  "bounded",
  "every",
  "per_epoch",
  "warm_up",
  "with_prior",
  "rescale",
  "with_auxiliary",
  "switch",
  "subset",
)


GROUPS = {
  "From loss values": VALUES,
  "Learned": LEARNED,
  "From gradients, through their Gram matrix": GRAM,
  "From per-loss gradients, as optax transformations": STACKED,
}


def examples() -> dict[str, LossWeighting]:
  """Returns one weighting of each method that decides weights, with its default options.

  Example:
    >>> sorted(examples())[:2]
    ['aligned_mtl', 'cagrad']
  """
  return {name: getattr(weighting, name)() for name in METHODS}
