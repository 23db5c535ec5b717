"""The tables of `docs/which_weighting.md` and their numbers as text."""

from collections.abc import Sequence

import methods
import numpy as np
from draw import TITLES
from ranking import STILL_FALLING, Study

from mlseg import files, weighting
from mlseg.metrics import format_mean_and_deviation
from mlseg.metrics.bootstrap import Interval
from mlseg.report.tables import Table, TableCell, to_markdown

# Of the scores, by problem: their name and the factor with which tables show them.
SCORES = {
  "regression_2": ("error, %", 100.0),
  "regression_10": ("error, %", 100.0),
  "toy": ("distance", 1.0),
  "pinn": ("error, %", 100.0),
}
SHORT = 3000  # steps of the trainings in `short.csv`


def of_problem(study: Study, problem: str, names: Sequence[str]) -> str:
  """Returns the table of a problem's methods, the best rank first.

  Args:
    study: the committed rows.
    problem: a key of `methods.PROBLEMS`.
    names: of the methods, among which they are ranked.
  """
  ranks = study.ranks(problem, names)
  rows = []
  for name in sorted(names, key=lambda name: ranks[name].mean()):
    cells = [code(name), score(study, problem, name)]
    if name == methods.TUNED:
      cells += ["", ""]
    else:
      found = study.compare(problem, name)
      cells += [interval(found.difference, SCORES[problem][1]), interval(found.ratio)]
    cells.append(interval(study.rank_interval(ranks[name])))
    if problem.startswith("regression"):
      cells.append("" if name == methods.TUNED else percent(study.delta_m(problem, name), "+"))
    if problem == "toy":
      cells.append(percent(study.reached(name)))
    gain = study.last_gain(problem, name)
    cells.append(percent(gain) + (" (still falling)" if gain > STILL_FALLING else ""))
    cells += _cost(study, problem, name)
    rows.append(tuple(TableCell(cell) for cell in cells))
  extra = {"toy": ("reach the front",), "pinn": ()}.get(problem, ("Δm",))
  cost = ("time of a step",) if study.costs else ()
  header = ("method", SCORES[problem][0], "difference", "ratio", "rank", *extra, "last third")
  return to_markdown(Table("", (*header, *cost), tuple(rows)))


def summary(study: Study, update_costs: Sequence[files.Row]) -> str:
  """Returns the table of mean ranks over the problems, the best first.

  Args:
    study: the committed rows.
    update_costs: rows of `docs/reference/costs.csv`.
  """
  names = study.common()
  means, counts = study.mean_ranks(names), study.counts(names)
  ranks = {problem: study.ranks(problem, names) for problem in methods.PROBLEMS}
  microseconds = {row["method"]: float(row["microseconds_3"]) for row in update_costs}
  rows = []
  for name in sorted(names, key=lambda name: means[name].estimate):
    of_each = (f"{ranks[problem][name].mean():.1f}" for problem in methods.PROBLEMS)
    better, worse = counts[name]
    factory = getattr(weighting, name, weighting.fixed)
    cost = microseconds.get(factory.__name__)
    passes = "K" if factory().needs_gram else "1"
    shown = "" if cost is None else number(cost)
    cells = (code(name), interval(means[name]), *of_each, f"{better} : {worse}", passes, shown)
    rows.append(tuple(TableCell(cell) for cell in cells))
  header = ("method", "mean rank", *TITLES.values(), "better : worse", "backward passes",
            "update, µs")  # fmt: skip
  return to_markdown(Table("", header, tuple(rows)))


def findings(study: Study) -> str:
  """Returns the table of how many methods are better and worse than the tuned sum."""
  rows = []
  for problem, title in TITLES.items():
    names = _adaptive(study, problem)
    found = {name: study.compare(problem, name) for name in names}
    better = [name for name in names if found[name].is_better]
    worse = sum(one.is_worse for one in found.values())
    than_plain = [n for n in names if study.compare(problem, n, methods.PLAIN).is_better]
    plain = interval(study.compare(problem, methods.PLAIN).ratio)
    cells = (title, str(len(names)), _counted(better), str(worse), _counted(than_plain), plain)
    rows.append(tuple(TableCell(cell) for cell in cells))
  header = ("problem", "methods", "better than the tuned sum", "worse", "better than the plain sum",
            "plain / tuned")  # fmt: skip
  return to_markdown(Table("", header, tuple(rows)))


def of_budget(study: Study, short: Study) -> str:
  """Returns the table of what longer trainings change.

  Args:
    study: the committed rows.
    short: rows of trainings of `SHORT` steps, of all problems but the toy.
  """
  rows = []
  for problem, title in TITLES.items():
    if problem == "toy":
      continue
    steps = methods.PROBLEMS[problem]().num_steps
    for own, number_of_steps in ((short, SHORT), (study, steps)):
      names = _adaptive(own, problem)
      counts = (
        str(sum(own.compare(problem, name, reference).is_better for name in names))
        for reference in (methods.PLAIN, methods.TUNED)
      )
      scores = (score(own, problem, name) for name in (methods.PLAIN, methods.TUNED))
      ratio = interval(own.compare(problem, methods.PLAIN).ratio)
      cells = (title, f"{number_of_steps:,}".replace(",", " "), *scores, ratio, *counts)
      rows.append(tuple(TableCell(cell) for cell in cells))
  header = ("problem", "steps", "plain sum, error in %", "tuned sum", "plain / tuned",
            "better than the plain sum", "than the tuned one")  # fmt: skip
  return to_markdown(Table("", header, tuple(rows)))


def better_by_difference(study: Study) -> list[int]:
  """Returns for each problem how many methods are better by the interval of the difference."""
  return [
    sum(study.compare(problem, n).difference.high < 0 for n in _adaptive(study, problem))
    for problem in TITLES
  ]


def _adaptive(study: Study, problem: str) -> list[str]:
  """Returns the methods of a problem without both sums."""
  return [n for n in study.methods(problem) if n not in (methods.PLAIN, methods.TUNED)]


def _counted(names: Sequence[str]) -> str:
  """Returns the number of methods, and the names of a few."""
  return f"{len(names)}: {names_of(names)}" if 0 < len(names) <= 6 else str(len(names))


def grid(study: Study) -> str:
  """Returns the weights of the fixed sums that were tried, with the chosen ones in bold."""
  rows = []
  for problem, title in TITLES.items():
    means = study.grid_means(problem)
    best = min(means, key=lambda exponent: means[exponent])
    for exponent, mean in means.items():
      weights = study.grid_weights(problem, exponent)
      shown = ", ".join(weights if len(weights) < 5 else (weights[0], "…", weights[-1]))
      cells = (title, exponent, shown, number(SCORES[problem][1] * mean))
      rows.append(tuple(TableCell(cell, best=exponent == best) for cell in cells))
  return to_markdown(Table("", ("problem", "p", "weights", "mean score"), tuple(rows)))


def _cost(study: Study, problem: str, name: str) -> list[str]:
  """Returns the time of a step relative to the plain sum, where it was measured."""
  if not study.costs:
    return []
  found = [r for r in study.costs if (r["problem"], r["method"]) == (problem, name)]
  return [f"{float(row['step_ratio']):.2f}" for row in found] or [""]


def names_of(found: Sequence[str]) -> str:
  """Returns the names of methods as a list in a sentence.

  Example:
    >>> names_of(["mgda", "cagrad", "plain sum"])
    '`mgda`, `cagrad` and plain sum'
  """
  *first, last = map(code, found)
  return f"{', '.join(first)} and {last}" if first else last


def score(study: Study, problem: str, name: str) -> str:
  """Returns the score of a method as mean ± standard deviation."""
  values = SCORES[problem][1] * study.values(problem, name)
  return format_mean_and_deviation(values, decimals=_decimals(values.mean()))


def _decimals(value: float) -> int:
  """Returns with how many decimals a value has about three digits."""
  return 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3


def number(value: float) -> str:
  """Returns a number with about three digits.

  Example:
    >>> number(0.01234), number(1.234), number(123.4)
    ('0.012', '1.23', '123')
  """
  return f"{value:.0f}" if abs(value) >= 100 else f"{value:.{_decimals(value)}f}"


def percent(share: float, sign: str = "") -> str:
  """Returns a share in percent.

  Args:
    share: 0.01 is one percent.
    sign: "+" where positive shares have a sign.

  Example:
    >>> percent(-0.001), percent(0.123, "+")
    ('0 %', '+12 %')
  """
  rounded = round(100 * share) if np.isfinite(share) else share
  return f"{rounded:{sign}} %"


def interval(found: Interval, factor: float = 1.0) -> str:
  """Returns an estimate with its interval in brackets."""
  estimate, low, high = (number(factor * value) for value in found[:3])
  return f"{estimate} [{low}, {high}]"


def code(name: str) -> str:
  """Returns the name of a method; those of functions look like code."""
  function, comma, rest = name.partition(",")
  return f"`{function}`{comma}{rest}" if "_" in function or hasattr(weighting, function) else name
