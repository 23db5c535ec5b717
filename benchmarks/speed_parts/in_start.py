"""Runs the main command, and writes when JAX traces, lowers, compiles and reads programs.

    python in_start.py FILE --config=configs/NAME.py …

FILE gets a line for each event as it ends, since the process may be killed.
"""

import json
import os
import runpy
import sys
import time
from typing import Any

from mlseg.devices import runtime

EVENTS = {
  "/jax/core/compile/jaxpr_trace_duration": "tracing",
  "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
  "/jax/core/compile/backend_compile_duration": "compiling",
  "/jax/compilation_cache/cache_retrieval_time_sec": "reading",
}


def main() -> None:
  """Starts the process again with huge pages, as the command does, before JAX is imported."""
  runtime.use_huge_pages(sys.orig_argv, os.environ)
  import jax

  path = sys.argv.pop(1)

  def note(event: str, seconds: float, **_: Any) -> None:
    if event in EVENTS:
      end = time.perf_counter()
      with open(path, "a") as file:
        file.write(json.dumps([EVENTS[event], end - seconds, end]) + "\n")

  jax.monitoring.register_event_duration_secs_listener(note)
  runpy.run_module("mlseg.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  main()
