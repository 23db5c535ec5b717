"""A process that holds one framework: it builds, says so, and then runs what it is told to.

    python -m speed_parts.worker

The parent writes one JSON object a line and reads one for each. First
`{"module": NAME, "problem": {...}, "options": {...}}`: the module's `open_session` builds, and the
answer holds its facts. Then `{"run": NAME, "steps": n}`: the answer holds the seconds of n steps
and what the run returned. Between two lines the process waits in a read and uses no core.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from speed_parts.problem import Problem


class Session(NamedTuple):
  """What a framework's `open_session(problem, options)` returns.

  Attributes:
    facts: of its versions, its parameters, its compilation; JSON.
    runs: by name, a function of n that runs n steps, waits for the device, and returns a number,
      the last loss, or another JSON value that describes the run.
  """

  facts: dict[str, Any]
  runs: dict[str, Callable[[int], Any]]


def main() -> None:
  """Answers until the input ends."""
  answers = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)  # whatever a library prints is not an answer
  runs: dict[str, Callable[[int], Any]] = {}
  for line in sys.stdin:
    request = json.loads(line)
    if "module" in request:
      cpus = sorted(os.sched_getaffinity(0))
      os.sched_setaffinity(0, cpus[: request["options"]["threads"]])  # before libraries count them
      module = importlib.import_module(f"speed_parts.{request['module']}")
      session = module.open_session(Problem(**request["problem"]), request["options"])
      runs = session.runs
      answer = {"facts": session.facts, "runs": list(runs)}
    else:
      started = time.perf_counter()
      value = runs[request["run"]](request["steps"])
      answer = {"seconds": time.perf_counter() - started, "value": value}
    print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
  # Under the name that the frameworks' modules import, there is one Session.
  importlib.import_module("speed_parts.worker").main()
