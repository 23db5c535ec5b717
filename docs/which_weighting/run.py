"""Trains every method on every problem, and writes `rows.csv` and `grid.csv`.

    python docs/which_weighting/run.py                   # what is not in the files yet
    python docs/which_weighting/run.py --problem=pinn    # one problem anew
    python docs/which_weighting/run.py --cost            # `cost.csv`: the time of a step

The grid of the tuned sum comes first, on seeds of its own. Then `make.py` writes the page.
"""

import argparse
import pathlib
import statistics
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

import cost  # beside this file
import methods
from training import Score, train_all

from mlseg import files

FILES = {"rows": HERE / "rows.csv", "grid": HERE / "grid.csv"}
FIELDS = ("problem", "method", "seed", "score", "score_two_thirds", "tasks")
GRID_FIELDS = ("problem", "exponent", "weights", "seed", "validation")


def main(argv: list[str]) -> None:
  """Trains what the command line asks for."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--problem", choices=methods.PROBLEMS, help="trains this problem anew")
  parser.add_argument("--cost", action="store_true", help="measures the time of a step instead")
  options = parser.parse_args(argv)
  if options.cost:
    cost.measure(HERE / "cost.csv")
    return
  for name in [options.problem] if options.problem else methods.PROBLEMS:
    if options.problem:
      for kind, path in FILES.items():
        _write(path, [row for row in _read(path) if row["problem"] != name], kind)
    _grid(name)
    _rows(name, best_exponent(_read(FILES["grid"]), name))


def best_exponent(grid: list[dict[str, str]], problem: str) -> float:
  """Returns the exponent with the least mean validation score; of equal ones, the first.

  Args:
    grid: rows of `grid.csv`.
    problem: a key of `methods.PROBLEMS`.
  """
  found: dict[float, list[float]] = {}
  for row in grid:
    if row["problem"] == problem:
      found.setdefault(float(row["exponent"]), []).append(float(row["validation"]))
  return min(found, key=lambda exponent: statistics.fmean(found[exponent]))


def _grid(name: str) -> None:
  """Adds to `grid.csv` the exponents of a problem that are not in it."""
  known = {float(row["exponent"]) for row in _read(FILES["grid"]) if row["problem"] == name}
  seeds = methods.seeds(name)[1]
  for exponent in methods.EXPONENTS[name]:
    if exponent not in known:
      score = _train(name, methods.fixed_sum(name, exponent), seeds, f"exponent {exponent}")
      weights = " ".join(f"{weight:.4g}" for weight in methods.weights(name, exponent))
      new = [
        dict(zip(GRID_FIELDS, (name, exponent, weights, seed, f"{value:.6g}"), strict=True))
        for seed, value in zip(seeds, score.validation[:, -1], strict=True)
      ]
      _write(FILES["grid"], [*_read(FILES["grid"]), *new], "grid")


def _rows(name: str, exponent: float) -> None:
  """Adds to `rows.csv` the methods of a problem that are not in it."""
  known = {row["method"] for row in _read(FILES["rows"]) if row["problem"] == name}
  seeds = methods.seeds(name)[0]
  for method, (problem, weighting) in methods.cases(name, exponent).items():
    if method not in known:
      score = _train(problem, weighting, seeds, method)
      new = []
      for seed, test, tasks in zip(seeds, score.test, score.tasks, strict=True):
        of_tasks = " ".join(f"{value:.6g}" for value in tasks[-1])
        values = (name, method, seed, f"{test[-1]:.6g}", f"{test[-2]:.6g}", of_tasks)
        new.append(dict(zip(FIELDS, values, strict=True)))
      _write(FILES["rows"], [*_read(FILES["rows"]), *new], "rows")


def _train(problem, weighting, seeds: list[int], title: str) -> Score:
  """Returns the scores of a method, and prints how long it took."""
  problem = methods.PROBLEMS[problem]() if isinstance(problem, str) else problem
  start = time.perf_counter()
  score = train_all(problem, weighting, seeds)
  seconds, mean = time.perf_counter() - start, score.test[:, -1].mean()
  print(f"{problem.name:14} {title:40} {mean:10.4g} {seconds:6.1f} s", flush=True)
  return score


def _read(path: pathlib.Path) -> list[dict[str, str]]:
  return files.read_csv(path) if path.exists() else []


def _write(path: pathlib.Path, rows: list[dict], kind: str) -> None:
  """Writes rows in the order of problems, and of methods as they were trained."""
  order = list(methods.PROBLEMS)
  rows = sorted(rows, key=lambda row: order.index(row["problem"]))
  files.write_file(path, files.to_csv(rows, FIELDS if kind == "rows" else GRID_FIELDS))


if __name__ == "__main__":
  main(sys.argv[1:])
