"""The weightings that are compared, and the grids of weights from which the tuned sum is chosen."""

import functools
from collections.abc import Mapping

import numpy as np
import pinn
import regression
import toy
from training import Problem

from mlseg import weighting as w

PLAIN, TUNED = "plain sum", "tuned sum"
NAMES = (  # factories of `mlseg.weighting`, whose default arguments are taken
  "uncertainty",
  "dynamic_weight_average",
  "dynamic_memory_fusion",
  "softadapt",
  "relobralo",
  "random_weighting",
  "geometric",
  "smooth_tchebycheff",
  "famo",
  "go4align",
  "gradnorm",
  "gradient_norm_balance",
  "mgda",
  "pcgrad",
  "cagrad",
  "impartial_gradients",
  "nash_mtl",
  "upgrad",
  "aligned_mtl",
)
TRACES, POINTS = "neural_tangent_kernel", "residual_based_attention"
POINTS_TUNED = f"{POINTS}, tuned ends"
PROBLEMS = {  # made once, when they are asked for
  "regression_2": functools.cache(lambda: regression.problem(2)),
  "regression_10": functools.cache(lambda: regression.problem(10)),
  "toy": functools.cache(toy.problem),
  "pinn": functools.cache(pinn.problem),
}
# Exponents of the variance, of the scale and of ten, from which the tuned weights are made.
EXPONENTS = {
  "regression_2": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
  "regression_10": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5),
  "toy": (-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0),
  "pinn": (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
}
_NUM_SEEDS, _NUM_TUNING, _FIRST_TUNING = 10, 5, 1000


def weights(problem: str, exponent: float) -> list[float]:
  """Returns the weights of the fixed sum that an exponent of the grid stands for.

  Args:
    problem: a key of `PROBLEMS`.
    exponent: p. A regression has w_k = σ_k^(-2p), so that p = 1 is what standardised targets give;
      the toy has 10^p and 1, and the network 1 for the equation and 10^p for each end.
  """
  if problem == "toy":
    return [10.0**exponent, 1.0]
  if problem == "pinn":
    return [1.0, 10.0**exponent, 10.0**exponent]
  scales = regression.SCALES[int(problem.removeprefix("regression_"))]
  return [float(weight) for weight in np.array(scales) ** (-2 * exponent)]


def fixed_sum(problem: str, exponent: float) -> w.LossWeighting:
  """Returns the weighting of `weights`."""
  return w.fixed(np.array(weights(problem, exponent)))


def seeds(problem: str) -> tuple[list[int], list[int]]:
  """Returns the seeds that are tested, and those on which the tuned sum is chosen."""
  if problem == "toy":
    number = len(toy.STARTS) - toy.NUM_DRAWN
    return list(range(number)), list(range(number, len(toy.STARTS)))
  return list(range(_NUM_SEEDS)), list(range(_FIRST_TUNING, _FIRST_TUNING + _NUM_TUNING))


def cases(problem: str, exponent: float) -> Mapping[str, tuple[Problem, w.LossWeighting]]:
  """Returns what is trained under each method, by the method's name.

  Args:
    problem: a key of `PROBLEMS`.
    exponent: that of the tuned sum.
  """
  own = PROBLEMS[problem]()
  found = {PLAIN: (own, w.fixed()), TUNED: (own, fixed_sum(problem, exponent))}
  found |= {name: (own, getattr(w, name)()) for name in NAMES}
  if problem == "pinn":
    attention = w.residual_based_attention()
    ends = weights(problem, exponent)[1]
    found[TRACES] = pinn.with_traces(), w.neural_tangent_kernel()
    found[POINTS] = pinn.with_points(), pinn.of_points(attention, 1.0)
    found[POINTS_TUNED] = pinn.with_points(), pinn.of_points(attention, ends)
  return found
