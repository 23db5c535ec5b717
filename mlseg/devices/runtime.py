"""What JAX is told before it looks at its devices: where programs are kept, what CPUs count for."""

import contextlib
import hashlib
import os
import pathlib
import platform
import sys
from collections.abc import MutableMapping, Sequence

from mlseg.errors import UserError

# Huge pages, and memory that is kept for the next step: the arrays of a step are otherwise mapped
# and cleared anew each time. In one comparison on two cores, 1.2 times the speed of training. One
# arena, for what other threads allocate in theirs is given back whatever the thresholds are.
TUNABLES = ":".join(
  [
    "glibc.malloc.hugetlb=1",
    "glibc.malloc.arena_max=1",
    f"glibc.malloc.mmap_threshold={2**34}",
    f"glibc.malloc.trim_threshold={2**34}",
  ]
)
# Shorter compilations are not worth a file.
_LEAST_SECONDS = 0.2


def use_huge_pages(argv: Sequence[str], environ: MutableMapping[str, str]) -> None:
  """Starts this very command again with other settings of the memory allocator, once.

  The GNU C library reads them when a process starts. Nothing happens under another library, or
  where `$GLIBC_TUNABLES` is set already, be it to nothing.

  Args:
    argv: of this process, the interpreter first.
    environ: of this process.
  """
  if platform.libc_ver()[0] != "glibc" or "GLIBC_TUNABLES" in environ:
    return
  environ["GLIBC_TUNABLES"] = TUNABLES
  sys.stdout.flush()
  os.execve(sys.executable, list(argv), environ)


def keep_compiled_programs() -> None:
  """Has JAX keep what it compiles, for the next run of the same program.

  In `$JAX_COMPILATION_CACHE_DIR`, or below `$MLSEG_CACHE`, or below `~/.cache/mlseg`; a folder for
  each kind of CPU, since programs for one may not run on another. Empty: nothing is kept.
  """
  if os.environ.get("JAX_COMPILATION_CACHE_DIR") is not None:
    return  # JAX reads it itself
  import jax

  root = pathlib.Path(os.environ.get("MLSEG_CACHE") or pathlib.Path.home() / ".cache" / "mlseg")
  folder = root / "compiled" / _cpu_kind()
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError:
    return  # a read-only home: everything works, and compiles anew
  jax.config.update("jax_compilation_cache_dir", str(folder))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)


def _cpu_kind() -> str:
  """Returns a name that is the same for CPUs with the same instructions."""
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    return "cpu"
  telling = {line for line in lines if line.startswith(("model name", "flags", "Features"))}
  return hashlib.sha256("\n".join(sorted(telling)).encode()).hexdigest()[:8]


def share_cpu(strategy: str, num_models: int) -> None:
  """Has the CPU taken for as many devices as there are cores, where models are spread over them.

  Nothing changes where there is one model, where models are trained in another way, or where
  `$JAX_NUM_CPU_DEVICES` says how many there are. Accelerators are not concerned.

  Args:
    strategy: `config.seeds.strategy`.
    num_models: that are trained.

  Raises:
    UserError: `$JAX_NUM_CPU_DEVICES` is not a number of devices.
  """
  import jax

  given = os.environ.get("JAX_NUM_CPU_DEVICES")  # JAX reads it itself
  if given is not None and (not given.isdecimal() or int(given) < 1):
    raise UserError(f"JAX_NUM_CPU_DEVICES must be a positive integer, not {given!r}")
  if given is not None or "host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
    return
  cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
  if strategy not in ("auto", "map") or min(cores, num_models) == 1:
    return
  # Where JAX has started, the devices are what they are.
  with contextlib.suppress(RuntimeError):
    jax.config.update("jax_num_cpu_devices", min(cores, num_models))
