"""The text of `docs/which_weighting.md`, every number of it from the rows."""

from collections.abc import Sequence

import medical
import methods
import pinn
import regression
import tables
import toy
from advice import advice
from draw import TITLES
from pages import wrapped
from ranking import STILL_FALLING, Study

from mlseg import files

OF_PINN = (
  methods.PLAIN,
  methods.TUNED,
  "relobralo",
  "nash_mtl",
  "gradient_norm_balance",
  methods.TRACES,
  methods.POINTS,
  methods.POINTS_TUNED,
)


def text(study: Study, short: Study, update_costs: Sequence[files.Row]) -> str:
  """Returns the page.

  Args:
    study: the committed rows.
    short: those of shorter trainings.
    update_costs: rows of `docs/reference/costs.csv`.
  """
  count = len(study.common()) - 2
  parts = [
    _HEAD.format(count=count),
    _findings(study),
    advice(study),
    _summary(study, update_costs),
    _budget(study, short),
    _setting(study),
  ]
  parts += [_problem(study, problem) for problem in methods.PROBLEMS]
  return "\n".join((*parts, medical.section(), _LIMITS))


_HEAD = """\
# Which weighting should I use?

{count} weightings of `mlseg.weighting` with their default arguments, beside a fixed sum whose
weights were *tuned*, on three small public problems: regressions whose targets differ in scale (two
tasks, and ten), the toy of two losses on which CAGrad and Nash-MTL show their paths, and Poisson's
equation solved by a physics-informed network. A section looks at the [studies of medical
images](#on-medical-images) with the same eyes. These commands make everything again; the first took
40 minutes on one CPU core, without the toy.

```sh
python docs/which_weighting/run.py      # writes the rows
python docs/which_weighting/draw.py     # writes the figure
python docs/which_weighting/make.py     # writes this page
```

![Scores of all methods relative to the tuned sum, with 95 % intervals, on four
problems](which_weighting/ratios.png)

A dot is the geometric mean over the seeds of a method's score divided by that of the tuned sum;
less is better. Lines are 95 % intervals, a bootstrap over the seeds. Blue: the interval is below 1.
Orange: it is above 1. An arrow stands for a ratio beyond the axis. The methods are ordered by their
mean rank.
"""

_LIMITS = """\
## What this does not show

The three public problems are small, with networks of fewer than ten thousand parameters, and the
studies of medical images have few weightings in common. A method that is good on the one may be
poor on the other. On the public problems all methods have their default arguments, and only the
fixed sum was tuned: that is the comparison for somebody who would rather not tune, and it says
nothing about how good a method is when its own arguments are tuned. The intervals are not corrected
for the number of comparisons: of twenty methods that were all like the tuned sum, about one would
be outside on each problem by chance. And bootstrap intervals of ten seeds are somewhat too narrow.
"""


def _findings(study: Study) -> str:
  """Returns what the numbers say at once."""
  names, ranks = study.common(), study.mean_ranks(study.common())
  best = sorted(names, key=lambda name: ranks[name].estimate)
  told = [f"{tables.code(name)} {tables.interval(ranks[name])}" for name in best[:3]]
  places = [best.index(name) + 1 for name in (methods.TUNED, methods.PLAIN, "random_weighting")]
  falling, count = study.num_falling()
  differing = ", ".join(map(str, tables.better_by_difference(study)))
  words = f"""\
    A method is called better than another one where the 95 % interval of the ratio of their scores
    is below 1, and worse where it is above. By the interval of the difference of the scores
    instead, {differing} are better than the tuned sum on the four problems, in this order. Plain /
    tuned: the ratio of these two sums."""
  more = f"""\
    Over all four problems the best mean ranks of {len(best)} are {", ".join(told)}. In this order
    the tuned sum is number {places[0]}, the plain sum number {places[1]}, and random weights are
    number {places[2]}. {falling} of {count} rows still fell by more than
    {100 * STILL_FALLING:.0f} % in the last third of training; the tables mark them."""
  table = tables.findings(study)
  return f"## What was found\n\n{table}\n{wrapped(words)}\n\n{wrapped(more)}\n"


def _summary(study: Study, update_costs: Sequence[files.Row]) -> str:
  """Returns the section of mean ranks."""
  count = len(study.common())
  words = f"""\
    Ranks among the {count} methods that all problems have, 1 to {count}: the mean over the seeds,
    and over the four columns with its 95 % interval by a bootstrap over the seeds. Better : worse:
    on how many of the four the method is better and worse than the tuned sum by the interval of the
    figure. Backward passes: of a step, for K losses, where gradients are compared in parameter
    space. Update: the time of the method itself for K = 3 on two CPU cores, from the
    [costs of all weightings](reference/weighting.md), where it was measured."""
  return f"## All methods\n\n{tables.summary(study, update_costs)}\n{wrapped(words)}\n"


def _budget(study: Study, short: Study) -> str:
  """Returns the section on longer trainings."""
  words = """\
    The same with fewer steps, of all problems but the toy, and with the same grid of the tuned sum.
    On Poisson's equation most of the distance between the two sums is a matter of time; on the
    regressions it is not. The last two columns count methods whose interval is below 1, as
    above."""
  table = tables.of_budget(study, short)
  return f"## Longer trainings\n\n{wrapped(words)}\n\n{table}"


def _setting(study: Study) -> str:
  """Returns how everything was trained, and what the tuned sum is."""
  words = """\
    All methods have their default arguments, are asked at every step, and share the optimiser
    (Adam), its learning rate and the number of steps of a problem. Adam divides by the size of the
    gradients, so a constant factor of all weights has no effect beyond its small ε, while one that
    changes from step to step has. Methods that compare gradients do so in parameter space, in the
    regressions over the layers that the tasks share. `dynamic_weight_average` and `softadapt` were
    made for means over epochs, and get the losses of single steps here. The seeds decide data,
    first parameters and batches; the same seeds are used for every method, so comparisons are
    within seeds."""
  grid = """\
    The grid of the tuned sum. Its scores are means over seeds that are not tested: of validation
    points in the regressions, of other starts in the toy, and of other first parameters for the
    equation. The best of each, in bold, is the tuned sum, and was then trained on the tested seeds.
    In the regressions w_k = σ_k^(-2p), with p = 1 for standardised targets (in practice σ_k is the
    standard deviation of the training targets); in the toy the weights
    are 10^p and 1; for the equation 1, and 10^p for each end."""
  head = f"## How it was trained\n\n{wrapped(words)}\n\n### The tuned sum\n"
  return f"{head}\n{wrapped(grid)}\n\n{tables.grid(study)}"


_WORDS = {
  "regression_2": """\
    GradNorm's toy (Chen et al. 2018): f_k(x) = σ_k tanh((B + ε_k) x) with σ = 1 and 100, one
    network of two hidden layers of 50 units, and a head per task, {steps} steps of Adam with a
    cosine from 0.003. 1000 training points, as many for validation and for test, and noise of 10 %
    of σ_k. Error: the test error divided by the variance of the task's targets, the mean over
    tasks; the noise alone gives {noise}. Some methods leave one of the two tasks behind: the errors
    of the first and the second task are {tchebycheff} under `smooth_tchebycheff`, which without its
    option `log` compares the losses as they are, {mgda} under `mgda` and {go4align} under
    `go4align`; under the tuned sum they are {tuned}.""",
  "regression_10": """\
    The same with ten tasks, whose σ goes from 1 to 100 in equal ratios.""",
  "toy": """\
    Two losses of two numbers, the first scaled by 0.1, with the five published starts and ten that
    were drawn in the square [-10, 10]²; a start takes the place of a seed. 36 000 steps of Adam
    with the rate 0.001 (published: 35 000). Distance: of the final losses, before they are scaled,
    to the Pareto front, which was computed on a grid of 4001 × 1001 points and is about 20 long.
    Distances up to {tolerance} count as equal, and as having reached the front. To both losses
    their lower bound, 20, was added before scaling, since many methods need losses that are not
    negative; gradients do not change. Δm is not given, since all points of the front are equally
    good here, and one loss is near 0 at the tuned sum's.""",
  "pinn": """\
    u'' = f on [0, 1] with both ends given, whose solution is u = x + sin(4πx): the network, points
    and optimiser of [`examples/pinn.py`](../examples/pinn.py), with {steps_pinn} instead of its
    3000 steps. Error:
    |u - exact| / |exact| at 500 points. `neural_tangent_kernel` gets new traces at every hundredth
    step. `residual_based_attention` weights the 64 points of the equation, and each end has the
    weight 1, or that of the tuned sum.""",
}


def _problem(study: Study, problem: str) -> str:
  """Returns the section of a problem."""
  words = _WORDS[problem].format(**_numbers(study))
  table = tables.of_problem(study, problem, study.methods(problem))
  title = TITLES[problem]
  delta = (
    " Δm: the mean relative gain of the tasks' scores over the tuned sum; more is better."
    if problem.startswith("regression")
    else ""
  )
  unit = "starts" if problem == "toy" else "seeds"
  cost = " Time of a step: relative to the plain sum, a median of rounds." if study.costs else ""
  note = f"""\
    {tables.SCORES[problem][0].capitalize()}: mean ± standard deviation over
    {len(study.values(problem, methods.TUNED))} {unit}. Difference and ratio: from and to the tuned
    sum, of the same {unit}, with 95 % bootstrap intervals; the ratio is a geometric mean. Rank: the
    mean over the {unit}.{delta} Last third: by how much the score fell in the last third of
    training (geometric mean); from {100 * STILL_FALLING:.0f} % it is marked as still
    falling.{cost}"""
  return f"## {title[0].upper()}{title[1:]}\n\n{wrapped(words)}\n\n{table}\n{wrapped(note)}\n"


def _numbers(study: Study) -> dict[str, str]:
  """Returns the numbers in the words about the problems."""
  steps = {"steps": f"{regression.NUM_STEPS:,}", "steps_pinn": f"{pinn.NUM_STEPS:,}"}
  found = {key: value.replace(",", " ") for key, value in steps.items()}
  found |= {"tolerance": str(toy.TOLERANCE), "noise": f"{100 * regression.noise_share():.1f} %"}
  names = {"tchebycheff": "smooth_tchebycheff", "tuned": methods.TUNED}
  names |= {"mgda": "mgda", "go4align": "go4align"}
  for key, name in names.items():
    first, second = 100 * study.tasks("regression_2", name)
    found[key] = f"{tables.number(first)} % and {tables.number(second)} %"
  return found


def of_pinn(study: Study) -> str:
  """Returns the table of the guide to the library, with how to read it."""
  means = study.grid_means("pinn")
  weights = study.grid_weights("pinn", min(means, key=lambda exponent: means[exponent]))
  words = f"""\
    Error: mean ± standard deviation over {len(study.values("pinn", methods.TUNED))} seeds.
    Difference and ratio: from and to the tuned sum, which gives each end
    {float(weights[1]):g} times the weight of the equation, with 95 % intervals. The rank is
    among these {len(OF_PINN)}. Last third: by how much the error fell in the last third of
    training."""
  return f"{tables.of_problem(study, 'pinn', OF_PINN)}\n{wrapped(words)}\n"
