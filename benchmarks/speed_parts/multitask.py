"""The part 'multitask': training masks and diagnoses on a MobileNetV2, in mlseg and in PyTorch."""

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


def measure(settings: Settings) -> dict[str, Any]:
  """Returns the rows of the frameworks that can be imported, and the reasons why others cannot.

  Raises:
    ValueError: a framework has another number of parameters, or its loss does not fall.
  """
  problem = problems.TOY if settings.small else problems.REFERENCE
  measured = frameworks.compare(settings, FRAMEWORKS, problem, problems.num_params(problem))
  return {"network": problems.NAME, **measured}
