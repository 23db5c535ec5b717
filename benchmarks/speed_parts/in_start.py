"""Runs the main command, and writes how long JAX traces, lowers, compiles and reads programs.

python in_start.py FILE --config=configs/NAME.py …
"""

import json
import os
import runpy
import sys
from typing import Any

# Compiling contains reading from the cache; one function's tracing can contain another's.
EVENTS = {
  "/jax/core/compile/jaxpr_trace_duration": "tracing",
  "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowering",
  "/jax/core/compile/backend_compile_duration": "compiling",
  "/jax/compilation_cache/cache_retrieval_time_sec": "reading",
}


def main() -> None:
  """Leaves a line for each event, as the process may be killed."""
  path = sys.argv.pop(1)
  if "GLIBC_TUNABLES" in os.environ:  # the command starts itself again with these
    import jax

    def note(event: str, seconds: float, **_: Any) -> None:
      if event in EVENTS:
        with open(path, "a") as file:
          file.write(json.dumps({EVENTS[event]: seconds}) + "\n")

    jax.monitoring.register_event_duration_secs_listener(note)
  runpy.run_module("mlseg.main", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
  main()
