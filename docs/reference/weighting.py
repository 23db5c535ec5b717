"""Makes `docs/reference/weighting.md`: every weighting, from its docstring and its measured cost.

    python docs/reference/weighting.py

The costs are those of `costs.csv`, the figure is `weights.png`.
"""

import csv
import inspect
import pathlib
import re
from collections.abc import Callable

from mlseg import weighting
from mlseg.weighting.registry import REGISTRY

FOLDER = pathlib.Path(__file__).resolve().parent
PAGE = FOLDER / "weighting.md"
COSTS = FOLDER / "costs.csv"  # written by benchmarks/weighting.py
LABELS = ("Formula", "Needs", "Use when", "Source")
TITLES = {
  "from_losses": "From the values of the losses",
  "learned": "Learned beside the network",
  "from_gram": "From gradients, through their Gram matrix",
  "from_gradients": "From the gradients of each loss, as optax transformations",
}
HEAD = """# Loss weighting

This page is made from the docstrings by `python docs/reference/weighting.py`."""
FIGURE = """![Shares of the weights of each method over one run](weights.png)

The figure shows the shares w_k / Σ_j |w_j| of the weights that each method gives on one recorded
run: 20 epochs on BUSI with equal weights, with Gram matrices taken at the logits. The methods see
the losses of this run and do not change it. So the figure compares what the methods decide from the
same losses, not the trainings that they would lead to. `python benchmarks/weights_over_a_run.py
draw` draws it."""
COST_NOTE = """The column *cost* has two numbers: what a method adds to a training step of the BUSI
U-Net with K = 3 losses, in per cent of the step's backward pass on two CPU cores, and the time of
the method's update alone. Gram matrices are taken at the logits, which costs the same for every
method; in parameter space they cost K backward passes. The numbers are those of `costs.csv`, which
`python benchmarks/weighting.py --csv=docs/reference/costs.csv` writes, with the measured ratios of
whole steps; seven methods were measured later than the others, on another machine: `scheduled`,
`go4align`, `residual_based_attention`, `self_adaptive`, `gradient_norm_balance`,
`priority_constrained` and `krum`."""


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
  parts = [HEAD, _fenced(inspect.getdoc(weighting) or ""), FIGURE]
  for family, title in TITLES.items():
    parts += [f"## {title}", _methods_table(REGISTRY[family], costs)]
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


def _methods_table(factories: dict[str, Callable], costs: dict[str, dict[str, str]]) -> str:
  rows = []
  for name, factory in factories.items():
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
  for name, factory in REGISTRY["combinators"].items():
    found = paragraphs(factory)
    rows.append(
      [f"`{name}`", _code(found["Formula"][0]), _code(defaults(factory)), found["Use when"][0]]
    )
  return _table(["combinator", "formula", "arguments", "use when"], rows)


def _disagreements() -> str:
  lines = []
  for factories in REGISTRY.values():
    for name, factory in factories.items():
      differs = paragraphs(factory).get("Differs", [])
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
  PAGE.write_text(render(), encoding="utf-8")
