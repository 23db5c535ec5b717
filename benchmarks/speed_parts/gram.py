"""The part 'gram': the Gram matrix of eight losses' gradients, in mlseg and in TorchJD."""

from typing import Any

from speed_parts import gram_problem, workers
from speed_parts import multitask_problem as problems
from speed_parts.workers import Cell, Settings

VARIANTS: dict[str, tuple[str, str, dict[str, Any]]] = {
  "mlseg, one backward pass of the sum": ("mlseg", "in_mlseg_gram", {"keep": "sum"}),
  "mlseg, keep='all'": ("mlseg", "in_mlseg_gram", {"keep": "all"}),
  "mlseg, keep='gradients'": ("mlseg", "in_mlseg_gram", {"keep": "gradients"}),
  "mlseg, keep='activations'": ("mlseg", "in_mlseg_gram", {"keep": "activations"}),
  "PyTorch, one backward pass of the sum": ("torch", "in_torch_gram", {"engine": "sum"}),
  "TorchJD, autojac": ("torch", "in_torch_gram", {"engine": "autojac"}),
  "TorchJD, autogram": ("torch", "in_torch_gram", {"engine": "autogram"}),
}
SINGLE = {"mlseg": "mlseg, one backward pass of the sum"}
SINGLE["torch"] = "PyTorch, one backward pass of the sum"
SMALL = ("mlseg, one backward pass of the sum", "mlseg, keep='gradients'")


def measure(settings: Settings) -> dict[str, Any]:
  """Returns a row for each variant, with its time beside one backward pass of its framework."""
  problem = gram_problem.TOY if settings.small else gram_problem.REFERENCE
  names = settings.frameworks or (SMALL if settings.small else tuple(VARIANTS))
  plans = {
    name: (python, module, problem, options)
    for name, (python, module, options) in VARIANTS.items()
    if name in names
  }
  with workers.opened(settings, plans, alone=True) as opened:
    cells = [Cell(name, worker, "train") for name, worker in opened.workers.items()]
    raw = workers.time_cells(settings, cells)
    rows = []
    for name, worker in opened.workers.items():
      single, times = SINGLE[VARIANTS[name][0]], raw[name]["seconds"]
      row = {"variant": name, "milliseconds": 1000 * workers.quartiles(times)[1]}
      if single in raw and name != single:
        pairs = zip(times, raw[single]["seconds"], strict=True)
        row["ratio"] = workers.quartiles([mine / one for mine, one in pairs])
      row |= worker.facts.get("memory", {}) | worker.run("resident", 0)["value"]
      row["compile_seconds"] = worker.facts.get("compile_seconds")
      row["squared_gradient"] = worker.run("train", 1)["value"][0]
      rows.append(row)
    facts = {name: worker.facts for name, worker in opened.workers.items()}
  return {
    "network": problems.NAMES[problems.MOBILENET],
    "problem": problem._asdict(),
    "params": problems.num_params(problem),
    "rows": rows,
    "rounds": raw,
    "facts": facts,
    "skipped": opened.failed,
  }
