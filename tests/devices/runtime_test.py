"""Settings of JAX and of the memory allocator before a run."""

import os
import pathlib
import subprocess
import sys

import jax
import pytest

from mlseg.devices import runtime
from mlseg.errors import UserError


def test_the_command_starts_again_once_with_huge_pages(monkeypatch):
  calls = []
  monkeypatch.setattr(os, "execve", lambda *args: calls.append(args))
  monkeypatch.setattr(runtime.platform, "libc_ver", lambda: ("glibc", "2.36"))
  environ = {"PATH": "/bin"}
  argv = ["python", "-m", "mlseg.main", "--config=a b"]
  runtime.use_huge_pages(argv, environ)
  assert calls == [(sys.executable, argv, environ)]
  assert "glibc.malloc.hugetlb=1" in environ["GLIBC_TUNABLES"].split(":")
  runtime.use_huge_pages(argv, environ)  # as the process that was started so
  runtime.use_huge_pages(argv, {"GLIBC_TUNABLES": ""})
  monkeypatch.setattr(runtime.platform, "libc_ver", lambda: ("", ""))
  runtime.use_huge_pages(argv, {})
  assert len(calls) == 1


def _in_a_fresh_process(code, **environ):
  unset = ("JAX_COMPILATION_CACHE_DIR", "JAX_NUM_CPU_DEVICES", "XLA_FLAGS")
  clean = {name: value for name, value in os.environ.items() if name not in unset}
  command = [sys.executable, "-c", f"import jax\nfrom mlseg.devices import runtime\n{code}"]
  done = subprocess.run(
    command, env=clean | environ, capture_output=True, text=True, check=True, timeout=120
  )
  return done.stdout.split()


@pytest.mark.slow
def test_compiled_programs_are_kept_and_found_again(tmp_path):
  code = (
    "runtime.keep_compiled_programs()\n"
    "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)\n"
    "jax.jit(lambda x: x * 3.0)(1.0)\n"
    "print(jax.config.jax_compilation_cache_dir)"
  )
  (folder,) = _in_a_fresh_process(code, MLSEG_CACHE=str(tmp_path))
  assert folder.startswith(str(tmp_path / "compiled"))
  kept = sorted(path.name for path in tmp_path.rglob("*-cache"))
  assert kept
  _in_a_fresh_process(code, MLSEG_CACHE=str(tmp_path))
  assert sorted(path.name for path in tmp_path.rglob("*-cache")) == kept
  (given,) = _in_a_fresh_process(code, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
  assert given == str(tmp_path / "own")


def test_without_a_folder_to_write_to_nothing_is_kept(tmp_path, monkeypatch):
  (tmp_path / "file").touch()
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
  monkeypatch.setenv("MLSEG_CACHE", str(tmp_path / "file"))
  before = jax.config.jax_compilation_cache_dir
  runtime.keep_compiled_programs()
  assert jax.config.jax_compilation_cache_dir == before


def test_each_kind_of_cpu_has_a_folder(monkeypatch):
  def kind(text):
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path: text)
    return runtime._cpu_kind()

  text = "processor : 0\nmodel name : A\nflags : fpu avx\n"
  first = kind(text)
  assert kind(text.replace("processor : 0", "processor : 1")) == first
  assert kind(text.replace("avx", "avx avx512")) != first


def test_without_a_description_all_cpus_are_of_one_kind(monkeypatch):
  def missing(path):
    raise FileNotFoundError

  monkeypatch.setattr(pathlib.Path, "read_text", missing)
  assert runtime._cpu_kind() == "cpu"


@pytest.mark.slow
def test_a_cpu_counts_for_its_cores_where_models_are_spread():
  cores = len(os.sched_getaffinity(0))
  code = "\n".join(
    [
      "runtime.share_cpu('loop', 8)",
      "runtime.share_cpu('auto', 1)",
      "runtime.share_cpu('map', 8)",
      "print(jax.device_count())",
      "runtime.share_cpu('map', 2)",  # JAX has started: nothing happens
      "print(jax.device_count())",
    ]
  )
  assert _in_a_fresh_process(code) == [str(min(cores, 8))] * 2
  assert _in_a_fresh_process(code, JAX_NUM_CPU_DEVICES="3") == ["3", "3"]


def test_a_number_of_devices_that_is_none_is_refused(monkeypatch):
  monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "two")
  with pytest.raises(UserError, match="JAX_NUM_CPU_DEVICES must be a positive integer, not 'two'"):
    runtime.share_cpu("map", 2)
