"""Settings made before JAX starts: memory allocator, compilation cache, number of CPU devices."""

import contextlib
import hashlib
import os
import pathlib
import platform
import sys
from collections.abc import MutableMapping, Sequence

from mlseg.devices import command
from mlseg.errors import UserError
from mlseg.process_pool import usable_cpus

# Use huge pages, and keep freed memory for the next step, whose arrays would otherwise be mapped
# and cleared again. In one comparison on two cores, training was 1.2 times as fast. There is one
# arena, since the arenas of other threads return memory whatever the thresholds are.
TUNABLES = ":".join(
  [
    "glibc.malloc.hugetlb=1",
    "glibc.malloc.arena_max=1",
    f"glibc.malloc.mmap_threshold={2**34}",
    f"glibc.malloc.trim_threshold={2**34}",
  ]
)
_LEAST_SECONDS = 0.2  # programs that compile faster are not cached


def use_huge_pages(argv: Sequence[str], environ: MutableMapping[str, str]) -> None:
  """Replaces this process by the same command with other settings of the memory allocator, once.

  The GNU C library reads these settings when a process starts. Nothing happens under another C
  library, or if `$GLIBC_TUNABLES` is set, even to an empty value.

  Args:
    argv: the command line of this process, the interpreter first.
    environ: the environment of this process.
  """
  if platform.libc_ver()[0] != "glibc" or "GLIBC_TUNABLES" in environ:
    return
  environ["GLIBC_TUNABLES"] = TUNABLES
  sys.stdout.flush()
  command.hold_interrupts()  # the new process has no handler yet
  os.execve(sys.executable, list(argv), environ)


def keep_compiled_programs() -> None:
  """Makes JAX cache compiled programs for later runs.

  The cache is in `$JAX_COMPILATION_CACHE_DIR` if that is set (an empty value: no cache), else below
  `$MLSEG_CACHE`, else below `~/.cache/mlseg`. There each kind of CPU has its own folder, since a
  program for one may not run on another.
  """
  if os.environ.get("JAX_COMPILATION_CACHE_DIR") is not None:
    return  # JAX reads it itself
  import jax

  from mlseg import files

  try:
    folder = files.cache_folder() / "compiled" / _cpu_kind()
    folder.mkdir(parents=True, exist_ok=True)
  except (OSError, UserError):
    return  # in a read-only home, or without one, everything works without the cache
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)


def _cpu_kind() -> str:
  """Returns a name that is the same for CPUs of the same model and instruction set."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    return "cpu"
  telling = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
  return hashlib.sha256("\n".join(sorted(telling)).encode()).hexdigest()[:8]


def share_cpu(strategy: str, num_models: int) -> None:
  """Makes JAX split the CPU into one device per core, if several models are to be spread over them.

  Nothing changes for a single model, for a strategy other than 'auto' and 'map', or if
  `$JAX_NUM_CPU_DEVICES` is set. Accelerators are not affected.

  Args:
    strategy: `config.seeds.strategy`.
    num_models: number of models to train.

  Raises:
    UserError: `$JAX_NUM_CPU_DEVICES` is not a positive integer.
  """
  import jax

  given = os.environ.get("JAX_NUM_CPU_DEVICES")  # JAX reads it itself
  if given is not None and (not given.isdecimal() or int(given) < 1):
    raise UserError(f"JAX_NUM_CPU_DEVICES must be a positive integer, not {given!r}")
  if given is not None or "host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
    return
  cores = usable_cpus()
  if strategy not in ("auto", "map") or min(cores, num_models) == 1:
    return
  # Once JAX has started, the number of devices cannot change.
  with contextlib.suppress(RuntimeError):
    jax.config.update("jax_num_cpu_devices", min(cores, num_models))
