"""The decision table of `docs/which_weighting.md`: its numbers, and its choices, from the rows."""

from collections.abc import Iterable

import methods
import pinn
import tables
from pages import wrapped
from ranking import Study

from mlseg import weighting
from mlseg.report.tables import Table, TableCell, to_markdown

REGRESSIONS = ("regression_2", "regression_10")
LEAST_GAIN = 0.9  # of the ratio to the plain sum, below which a method is worth its trouble
_TUNE = "a fixed sum with tuned weights"
_NONE = "no such method is better than the plain sum by the rule below. The best:"
_SUMS = (methods.TUNED, methods.PLAIN)


def advice(study: Study) -> str:
  """Returns the section with the decision table."""
  rows = [*_measured(study), *_NOT_MEASURED]
  table = to_markdown(
    Table(
      "",
      ("situation", "try first", "why"),
      tuple(tuple(TableCell(cell) for cell in row) for row in rows),
    )
  )
  table = table.replace("---:", "---")  # its cells are words
  words = f"""\
    *Try first* is the method with the best mean rank on the problems that are named, among those
    that the situation allows; where the interval of its ratio to the plain sum is not below
    {LEAST_GAIN}, the advice is to tune a fixed sum. On the toy it is, by the same rule, every
    method with which the most starts reach the front. Scores are means ± standard deviations; less
    is better."""
  return f"## What to try first\n\n{table}\n{wrapped(words)}\n"


def _measured(study: Study) -> Iterable[tuple[str, str, str]]:
  """Yields the rows of situations that the problems are examples of."""
  adaptive = [name for name in study.common() if name not in _SUMS]
  comparing = [name for name in adaptive if getattr(weighting, name)().needs_gram]
  free = [name for name in adaptive if name not in comparing]
  yield ("time for seven trainings before the one that counts", _TUNE, _beaten(study))
  yield (
    "losses whose scales differ, and K backward passes a step are affordable",
    *_best(study, REGRESSIONS, comparing),
  )
  for problem, number in zip(REGRESSIONS, ("two", "ten"), strict=True):
    situation = f"{number} losses whose scales differ, one backward pass a step"
    yield (situation, *_best(study, (problem,), free))
  yield (
    "gradients in conflict that stop the plain sum far from the front; K backward passes",
    *_reaching(study, comparing),
  )
  yield ("the same with one backward pass a step", *_reaching(study, free))
  yield (
    "an equation and its boundary, K backward passes a step",
    *_best(study, ("pinn",), comparing),
  )
  yield (
    f"the same, one backward pass a step, and traces of kernels every {pinn.EVERY} steps",
    *_best(study, ("pinn",), [*free, methods.TRACES]),
  )
  yield (
    "an equation and its boundary, whose weights can be tuned first",
    *_best(study, ("pinn",), [methods.POINTS_TUNED, methods.TUNED]),
  )


def _best(study: Study, problems: tuple[str, ...], names: list[str]) -> tuple[str, str]:
  """Returns the method with the best mean rank, and its scores in words.

  Where that is not better than the plain sum on one of the problems, the advice is to tune.
  """
  ranks = [study.ranks(problem, names) for problem in problems]
  best = min(names, key=lambda name: sum(own[name].mean() for own in ranks))
  words = "; ".join(_words(study, problem, best) for problem in problems)
  if all(_gains(study, problem, best) for problem in problems):
    return tables.code(best), words
  return _TUNE, f"{_NONE} {words}"


def _gains(study: Study, problem: str, name: str) -> bool:
  """Returns whether a method's score is at least a tenth below the plain sum's, by its interval."""
  return study.compare(problem, name, methods.PLAIN).ratio.high < LEAST_GAIN


def _words(study: Study, problem: str, name: str) -> str:
  """Returns the score of a method beside those of the tuned and the plain sum."""
  others = [n for n in (methods.TUNED, methods.PLAIN) if n != name]
  shown = ", ".join(f"{tables.code(n)} {tables.score(study, problem, n)}" for n in (name, *others))
  return f"{tables.TITLES[problem]}, {tables.SCORES[problem][0]}: {shown}"


def _reaching(study: Study, names: list[str]) -> tuple[str, str]:
  """Returns the methods by which most starts of the toy reach the front, and how many do."""
  most = max(map(study.reached, names))
  best = [name for name in names if study.reached(name) == most]
  gaining = [name for name in best if _gains(study, "toy", name)]
  shares = (tables.percent(share) for share in (most, *map(study.reached, _SUMS)))
  ours, tuned, plain = shares
  words = (
    f"toy of two losses, starts that reach the front: {ours}, tuned sum {tuned}, plain sum {plain}"
  )
  if gaining:
    return tables.names_of(gaining), words
  return _TUNE, f"{_NONE} {tables.names_of(best)}, {words}"


def _beaten(study: Study) -> str:
  """Returns how many methods are better than the tuned sum on each problem."""
  found = []
  for problem, title in tables.TITLES.items():
    names = [n for n in study.methods(problem) if n not in _SUMS]
    better = sum(study.compare(problem, name).is_better for name in names)
    found.append(f"{better} of {len(names)} ({title})")
  return f"methods that are better: {', '.join(found)}"


_NOT_MEASURED = (
  (
    "several losses of one segmentation, such as cross-entropy and Dice",
    "equal weights",
    "not measured here; in [the study on breast ultrasound](dmf_study.md) no weighting differs"
    " significantly from equal weights over the seeds",
  ),
  (
    "losses that may be negative",
    "a method that reads gradients alone, as `nash_mtl`",
    "not measured here: the toy's losses were shifted; the docstrings say what a method does with"
    " a negative loss",
  ),
  (
    "one task matters, the others should help it",
    "`auto_lambda`",
    "not measured here; Liu et al. 2022, arXiv 2202.03091",
  ),
  (
    "examples of one task differ in noise",
    "`predicted_uncertainty`",
    "not measured here; Kendall & Gal 2017, arXiv 1703.04977",
  ),
  (
    "steps that lack the labels of some tasks",
    "any, with `present=`",
    "not measured here; [the guide](guides/library.md#losses-that-a-batch-lacks) says how",
  ),
  (
    "hundreds of losses",
    "a method that needs one backward pass",
    "not measured here beyond ten; [all weightings](reference/weighting.md) has the costs",
  ),
)
