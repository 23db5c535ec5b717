"""The learning rate over a run: `config.optimizer.schedule`, with its warm-up and its end."""

import math

import optax

from mlseg.errors import unknown

CONSTANT = "constant"
SCHEDULES = (CONSTANT, "cosine", "polynomial")


def rate_schedule(
  name: str,
  peak: float,
  num_steps: int,
  warm_up: int = 0,
  power: float = 0.9,
  end_rate: float = 0.0,
) -> optax.Schedule:
  """Returns the learning rate of each step: a linear warm-up, and then a decay.

  With W = `warm_up`, T = `num_steps`, e = `end_rate` and r = `peak`, the rate is r t / W in the
  steps t < W, so that of step 0 is 0. From step W on, with s = min(1, (t - W) / (T - W)), it is

  - 'constant': r;
  - 'cosine': r (e + (1 - e) (1 + cos(π s)) / 2), of Loshchilov & Hutter, ICLR 2017, without
    restarts;
  - 'polynomial': r (e + (1 - e) (1 - s)^p) with p = `power`; nnU-Net has 0.9 (Isensee et al.,
    Nature Methods 18 (2021)).

  The linear warm-up is that of Goyal et al., arXiv 1706.02677.

  Args:
    name: one of SCHEDULES.
    peak: the rate after the warm-up; a negative one scales updates for a descent.
    num_steps: of the run, more than `warm_up`.
    warm_up: steps.
    power: of 'polynomial'.
    end_rate: share of `peak` at the end of 'cosine' and 'polynomial'.

  Returns:
    A function of the step, which may be traced.

  Raises:
    UserError: there is no such schedule.

  Example:
    >>> rates = rate_schedule("polynomial", 1.0, num_steps=6, warm_up=2, power=1.0, end_rate=0.5)
    >>> [float(rates(step)) for step in range(7)]
    [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5]
  """
  rest = num_steps - warm_up
  if name == CONSTANT:
    decay = optax.constant_schedule(peak)
  elif name == "cosine":
    decay = optax.cosine_decay_schedule(peak, rest, end_rate)
  elif name == "polynomial":
    decay = optax.polynomial_schedule(peak, peak * end_rate, power, rest)
  else:
    raise unknown("config.optimizer.schedule", name, SCHEDULES)
  if not warm_up:
    return decay
  return optax.join_schedules([optax.linear_schedule(0.0, peak, warm_up), decay], [warm_up])


def warm_up_steps(epochs: float, num_epochs: int, num_steps: int) -> int:
  """Returns the steps of a warm-up, which leaves at least one step of the run.

  A warm-up that is shorter than a step takes one.

  Args:
    epochs: of the warm-up.
    num_epochs: of the run.
    num_steps: of the run.

  Example:
    >>> warm_up_steps(2.5, 10, 100), warm_up_steps(0.0, 10, 100), warm_up_steps(9.9, 10, 10)
    (25, 0, 9)
  """
  if not epochs:
    return 0
  return min(max(1, math.floor(epochs * num_steps / num_epochs + 0.5)), num_steps - 1)
