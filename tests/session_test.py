"""A session keeps what it computes in a folder of its own, in every process of it."""

import os
import subprocess
import sys

import jax

from mlseg import files

CODE = """
import jax
from mlseg import files
from mlseg.devices import runtime
runtime.keep_compiled_programs()
print(files.cache_folder(), jax.config.jax_compilation_cache_dir)
"""


def test_nothing_is_written_to_the_users_own_cache(tmp_path):
  session = os.environ["MLSEG_TEST_SESSION"]
  here = [files.cache_folder(), jax.config.jax_compilation_cache_dir]
  environ = os.environ | {"HOME": str(tmp_path)}
  done = subprocess.run(
    [sys.executable, "-c", CODE], env=environ, capture_output=True, text=True, check=True
  )
  assert list(map(str, here)) == done.stdout.split() == [f"{session}/cache", f"{session}/compiled"]
  assert not any(tmp_path.iterdir())
