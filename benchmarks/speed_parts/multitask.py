"""The part 'multitask': training masks and diagnoses on an encoder, in mlseg and in PyTorch."""

from typing import Any

from speed_parts import frameworks
from speed_parts import multitask_problem as problems
from speed_parts.frameworks import Frameworks
from speed_parts.workers import Settings

EAGER, COMPILED = {"compile": False}, {"compile": True}
FIRST, HUGE = {"channels_last": False}, {"huge_pages": True}
RUNS: dict[str, Any] = {"runs": ["many", "evaluate"]}
FRAMEWORKS: Frameworks = {
  frameworks.OWN: ("mlseg", "in_mlseg_multitask", RUNS),
  frameworks.ONEDNN: ("mlseg", "in_mlseg_multitask", RUNS | frameworks.WITH_ONEDNN),
  frameworks.ROUNDED: ("mlseg", "in_mlseg_multitask", RUNS | frameworks.WITH_BFLOAT16),
  "PyTorch, eager": ("torch", "in_torch_multitask", EAGER),
  "PyTorch, compiled": ("torch", "in_torch_multitask", COMPILED),
  # Which layout is faster depends on the library's implementation of depthwise convolutions.
  "PyTorch, eager, channels first": ("torch", "in_torch_multitask", EAGER | FIRST),
  "PyTorch, compiled, channels first": ("torch", "in_torch_multitask", COMPILED | FIRST),
  "PyTorch, eager, huge pages": ("torch", "in_torch_multitask", EAGER | HUGE),
  "PyTorch, compiled, huge pages": ("torch", "in_torch_multitask", COMPILED | HUGE),
}

ON_GPU: Frameworks = {
  frameworks.OWN: ("mlseg", "in_mlseg_multitask", RUNS),
  frameworks.EXACT: ("mlseg", "in_mlseg_multitask", RUNS | frameworks.WITHOUT_TF32),
  "PyTorch, eager": ("torch", "in_torch_multitask", EAGER),
  "PyTorch, compiled": ("torch", "in_torch_multitask", COMPILED),
}


def measure(
  settings: Settings, encoder: str = problems.MOBILENET, size: int = 0, batch: int = 0
) -> dict[str, Any]:
  """Returns the rows of the frameworks that can be imported, and the reasons why others cannot.

  Args:
    settings: how to measure.
    encoder: of the network.
    size: side of the images, for some of the rows; 0: that of the recipe, for all rows.
    batch: number of images; 0: that of the recipe.

  Raises:
    ValueError: a framework has another number of parameters, or its loss does not fall.
  """
  problem = problems.TOY if settings.small else problems.REFERENCE
  rows = FRAMEWORKS if settings.device == "cpu" else ON_GPU
  if size and not settings.small:
    problem = problem._replace(size=size, batch=batch or problem.batch)
  if size:
    rows = {name: row for name, row in rows.items()
            if name in frameworks.SHORT or settings.device == "gpu"}  # fmt: skip
  rows = {
    name: (python, module, options | {"encoder": encoder})
    for name, (python, module, options) in rows.items()
  }
  measured = frameworks.compare(settings, rows, problem, problems.num_params(problem, encoder))
  return {"network": problems.NAMES[encoder], **measured}
