"""A process that holds one framework, and runs its training steps on request.

    python -m speed_parts.worker

The parent writes one JSON object per line and reads one answer for each. The first is
`{"module": NAME, "problem": {...}, "options": {...}}`: the module's `open_session` builds the
network, and the answer holds its facts. The others are `{"run": NAME, "steps": n}`: the answer
holds the seconds of n steps and the value that the run returned. Between two requests the process
waits for input and uses no core.
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
  """The result of a framework's `open_session(problem, options)`.

  Attributes:
    facts: versions, number of parameters, compile times; JSON values.
    runs: functions by name; each runs n steps, waits for the device, and returns the last loss or
      another JSON value that describes the run.
  """

  facts: dict[str, Any]
  runs: dict[str, Callable[[int], Any]]


def main() -> None:
  """Answers requests until the input ends."""
  answers = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)  # the output of libraries goes to stderr, away from the answers
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
  # Imported under its name, so that this module and those of the frameworks share one Session.
  importlib.import_module("speed_parts.worker").main()
