"""The page of this package, `README.md`, made from the docstrings and the measured costs.

python -m mlseg.weighting.catalogue     # writes the page anew
"""

import csv
import inspect
import pathlib
import re
from collections.abc import Callable

import mlseg.weighting as weighting
from mlseg.weighting.registry import COMBINATORS, GROUPS

FOLDER = pathlib.Path(__file__).parent
COSTS = FOLDER / "costs.csv"  # written by benchmarks/weighting.py
LABELS = ("Formula", "Needs", "Use when", "Source")
TITLE = """# Loss weighting

This page is made from the docstrings: `python -m mlseg.weighting.catalogue`."""
FIGURE = """![Shares of the weights of each method over one run](weights.png)

The shares of the weights that each method gives, w_k / Σ_j |w_j|, on one recorded run: 20 epochs on
BUSI with equal weights, Gram matrices at the logits. The methods only watch, so the figure shows
how they judge the same course of events, not where each would lead. It is drawn by
`python benchmarks/weights_over_a_run.py draw`."""
COST_NOTE = """*Cost* is what a method adds to a step of the BUSI U-Net with K = 3 losses, in per
cent of the step's one backward pass on two CPU cores, and the time of its update alone. Gram
matrices are taken at the logits there, at one price for all; in parameter space they cost K
backward passes whatever the method. From `costs.csv`, with the measured ratios of whole steps,
which `python benchmarks/weighting.py --csv=mlseg/weighting/costs.csv` writes."""


def paragraphs(factory: Callable) -> dict[str, list[str]]:
  """Returns the labelled paragraphs of a docstring, each as one line, and its first line.

  Args:
    factory: a function whose docstring has paragraphs such as 'Formula: ...'.

  Example:
    >>> paragraphs(weighting.ema)["Needs"]
    ['weights of a chain']
  """
  text = inspect.getdoc(factory) or ""
  found: dict[str, list[str]] = {"": [text.partition("\n")[0]]}
  for paragraph in re.split(r"\n\s*\n", text):
    label, colon, rest = paragraph.partition(":")
    if colon and label in (*LABELS, "Differs"):
      found.setdefault(label, []).append(" ".join(rest.split()))
  return found


def defaults(factory: Callable) -> str:
  """Returns the public arguments with their defaults.

  Args:
    factory: a function.

  Example:
    >>> defaults(weighting.bounded)
    'lower=0.0, upper=1.0'
  """
  shown = []
  for name, parameter in inspect.signature(factory).parameters.items():
    value = parameter.default
    if name.startswith("_"):
      continue
    if parameter.kind is parameter.VAR_POSITIONAL:
      shown.append(f"*{name}")
    elif value is parameter.empty:
      shown.append(name)
    else:
      shown.append(f"{name}={_literal(value)}")
  return ", ".join(shown)


def _literal(value: object) -> str:
  """Returns how a default reads in code; optax optimisers have no name, so they are 'optax'."""
  return "optax optimiser" if hasattr(value, "update") else repr(value)


def render() -> str:
  """Returns the page."""
  costs = _costs()
  parts = [TITLE, _fenced(inspect.getdoc(weighting) or ""), FIGURE]
  for title, names in GROUPS.items():
    parts += [f"## {title}", _methods_table(names, costs)]
  parts += [COST_NOTE, "## Combinators", _combinators_table()]
  parts += ["## Where paper and reference code disagree", _disagreements()]
  return "\n\n".join(part.strip() for part in parts) + "\n"


def _fenced(text: str) -> str:
  """Returns a docstring with its examples as blocks of code."""
  blocks = re.split(r"\n\s*\n", text)
  return "\n\n".join(f"```python\n{b}\n```" if b.startswith(">>>") else b for b in blocks)


def _costs() -> dict[str, dict[str, str]]:
  if not COSTS.exists():
    return {}
  with COSTS.open(newline="", encoding="utf-8") as file:
    return {row["method"]: row for row in csv.DictReader(file)}


def _methods_table(names: tuple[str, ...], costs: dict[str, dict[str, str]]) -> str:
  rows = []
  for name in names:
    factory = getattr(weighting, name)
    found = paragraphs(factory)
    formula, needs, use, source = (found[label][0] for label in LABELS)
    cells = [f"`{name}`", source, _code(formula), needs, _code(defaults(factory)), use]
    rows.append([*cells[:5], _cost(costs.get(name)), cells[5]])
  return _table(["method", "paper", "formula", "needs", "defaults", "cost", "use when"], rows)


def _cost(row: dict[str, str] | None) -> str:
  if row is None:
    return ""
  share = 100 * float(row["backward_share"])
  shown = f"{share:.1f} %" if share >= 0.05 else "< 0.05 %"
  microseconds = float(row["microseconds_3"])
  return f"{shown}, {microseconds:.{2 if microseconds < 10 else 3}g} µs"


def _combinators_table() -> str:
  rows = []
  for name in COMBINATORS:
    factory = getattr(weighting, name)
    found = paragraphs(factory)
    rows.append(
      [f"`{name}`", _code(found["Formula"][0]), _code(defaults(factory)), found["Use when"][0]]
    )
  return _table(["combinator", "formula", "arguments", "use when"], rows)


def _disagreements() -> str:
  lines = []
  for names in (*GROUPS.values(), COMBINATORS):
    for name in names:
      differs = paragraphs(getattr(weighting, name)).get("Differs", [])
      lines += [f"- `{name}`: {text}" for text in differs]
  return "\n".join(lines)


def _table(header: list[str], rows: list[list[str]]) -> str:
  lines = [header, ["---"] * len(header), *rows]
  return "\n".join(
    "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines
  )


def _code(text: str) -> str:
  """Returns a text as a span of code, which may hold spans of its own."""
  if "`" in text:
    return f"`` {text} ``"
  return f"`{text}`" if text else ""


if __name__ == "__main__":
  (FOLDER / "README.md").write_text(render(), encoding="utf-8")
