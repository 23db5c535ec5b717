"""The part 'frameworks': training and evaluation of one network in several frameworks."""

from collections.abc import Mapping
from typing import Any

from speed_parts import problem as problems
from speed_parts import workers
from speed_parts.problem import Problem
from speed_parts.workers import Cell, Settings, Worker

# By name in the table: the interpreter, the module and its options.
Frameworks = Mapping[str, tuple[str, str, dict[str, Any]]]
OWN = "mlseg"
MANY = "mlseg, many steps in one program"
ONEDNN, ROUNDED = "mlseg, oneDNN", "mlseg, oneDNN, products of bfloat16"
EXACT, BFLOAT16 = "mlseg, float32 without TF32", "mlseg, bfloat16"  # on GPUs
# The column of mlseg's speed relative to another framework, by the row of mlseg.
RATIOS = {
  OWN: "ratio",
  MANY: "ratio_many",
  ONEDNN: "ratio_onednn",
  ROUNDED: "ratio_bfloat16",
  EXACT: "ratio_exact",
  BFLOAT16: "ratio_bfloat16",
}
WITH_ONEDNN = {"environment": {"MLSEG_ONEDNN": "1"}}
WITH_BFLOAT16 = {"environment": {"MLSEG_ONEDNN": "1", "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"}}
FRAMEWORKS: Frameworks = {
  OWN: ("mlseg", "in_mlseg", {}),
  ONEDNN: ("mlseg", "in_mlseg", WITH_ONEDNN),
  ROUNDED: ("mlseg", "in_mlseg", WITH_BFLOAT16),
  "Flax as one writes it": ("mlseg", "in_flax", {"huge_pages": False}),
  "PyTorch, eager": ("torch", "in_torch", {"compile": False}),
  "PyTorch, compiled": ("torch", "in_torch", {"compile": True}),
  "Keras on TensorFlow": ("tensorflow", "in_keras", {"compile": False}),
  "PyTorch, eager, huge pages": ("torch", "in_torch", {"compile": False, "huge_pages": True}),
  "PyTorch, compiled, huge pages": ("torch", "in_torch", {"compile": True, "huge_pages": True}),
  "Keras, huge pages": ("tensorflow", "in_keras", {"compile": False, "huge_pages": True}),
}

# Of the part 'frameworks' at another size, where all rows would take too long.
SHORT = (OWN, ONEDNN, ROUNDED, "PyTorch, eager", "PyTorch, compiled")
WITHOUT_TF32 = {"environment": {"JAX_DEFAULT_MATMUL_PRECISION": "float32"}}
ON_GPU: Frameworks = {
  OWN: ("mlseg", "in_mlseg", {}),
  EXACT: ("mlseg", "in_mlseg", WITHOUT_TF32),
  BFLOAT16: ("mlseg", "in_mlseg", {"dtype": "bfloat16"}),
  "Flax as one writes it": ("mlseg", "in_flax", {}),
  "PyTorch, eager": ("torch", "in_torch", {"compile": False}),
  "PyTorch, compiled": ("torch", "in_torch", {"compile": True}),
  "PyTorch, compiled, bfloat16": ("torch", "in_torch", {"compile": True, "autocast": True}),
}


def measure(settings: Settings, size: int = 0) -> dict[str, Any]:
  """Returns the rows of the frameworks that can be imported, and the reasons why others cannot.

  Args:
    settings: how to measure.
    size: side of the images, for some of the rows; 0: that of the reference, for all rows.

  Raises:
    ValueError: a framework has another number of parameters, or its loss does not fall.
  """
  problem = problems.TOY if settings.small else problems.REFERENCE
  rows = FRAMEWORKS if settings.device == "cpu" else ON_GPU
  if size and not settings.small:
    problem = problem._replace(size=size)
  if size:
    rows = {name: row for name, row in rows.items() if name in SHORT or settings.device == "gpu"}
  return compare(settings, rows, problem, problems.num_params(problem))


def compare(
  settings: Settings, frameworks: Frameworks, problem: Problem, num_params: int
) -> dict[str, Any]:
  """Returns the rows of a network in several frameworks.

  Args:
    settings: how to measure; `settings.frameworks` names the rows to measure.
    frameworks: the frameworks by the name of their row.
    problem: network and input, the same for all.
    num_params: the number of parameters that each network must have.

  Raises:
    ValueError: a framework has another number of parameters, or its loss does not fall.
  """
  rows, raw = [], {}
  with workers.opened(settings, plans(settings, frameworks, problem), alone=True) as opened:
    with workers.machine(settings, alone=False):
      for name, worker in opened.workers.items():
        check(name, worker, num_params)
    facts = {name: worker.facts for name, worker in opened.workers.items()}
    for run in ("train", "evaluate"):
      raw[run] = workers.time_cells(settings, cells_of(run, opened.workers))
      rows += make_rows(run, raw[run], problem.batch, facts)
  return {
    "problem": problem._asdict(),
    "params": num_params,
    "rows": rows,
    "rounds": raw,
    "facts": facts,
    "skipped": opened.failed,
  }


def plans(settings: Settings, frameworks: Frameworks, problem: Problem) -> workers.Plans:
  """Returns the workers to open: the frameworks that are asked for, by default all."""
  chosen = {}
  for name in [name for name in settings.frameworks or frameworks if name in frameworks]:
    python, module, options = frameworks[name]
    slow = options.get("compile") or options.get("huge_pages")
    if settings.small and slow and not settings.frameworks:
      continue  # at toy size, their compilation takes longer than everything else
    chosen[name] = (python, module, problem, options)
  return chosen


def cells_of(run: str, opened: Mapping[str, Worker]) -> list[Cell]:
  """Returns the timings of a run; mlseg is also timed with many steps in one program."""
  cells = []
  for name, worker in opened.items():
    if run in worker.runs:
      cells.append(Cell(name, worker, run))
    if run == "train" and "many" in worker.runs:
      if name == OWN:
        cells.append(Cell(MANY, worker, "many"))
      elif "train" not in worker.runs:
        cells.append(Cell(name, worker, "many"))
  return cells


def check(name: str, worker: Worker, num_params: int) -> None:
  """Checks that a framework has the expected number of parameters, and that its loss falls."""
  if worker.facts["params"] != num_params:
    raise ValueError(f"{name} has {worker.facts['params']} parameters instead of {num_params}")
  run = "train" if "train" in worker.runs else "many"
  losses = [worker.run(run, 1)["value"] for _ in range(4)]
  worker.facts["first_losses"] = [round(loss, 4) for loss in losses]
  if not losses[-1] < losses[0]:
    raise ValueError(f"{name} does not learn: its losses are {losses}")


def make_rows(
  run: str, times: dict[str, dict[str, Any]], images: int, facts: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
  """Returns a row for each framework, with quartiles of mlseg's speed relative to it."""
  rows = []
  for name, timed in times.items():
    row = {"run": run, "framework": name}
    seconds = timed["seconds"]
    _, middle, _ = workers.quartiles(seconds)
    row |= {"images_per_second": images / middle, "best": images / min(seconds)}
    for own, column in RATIOS.items():
      if own in times and name not in RATIOS:
        pairs = zip(seconds, times[own]["seconds"], strict=True)
        row[column] = workers.quartiles([theirs / ours for theirs, ours in pairs])
    known = facts[OWN if name == MANY else name]
    compiled = known.get("compile_seconds") or known.get("first_step_seconds") or {}
    is_many = name == MANY or (run == "train" and run not in compiled)
    program = "many" if is_many else run
    if program in compiled:
      row["compile_seconds"] = compiled[program]
    rows.append(row)
  return rows
