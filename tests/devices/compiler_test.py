"""Options of XLA: those that this version knows are given, others are left out."""

import jax
import jax.numpy as jnp
import pytest

from mlseg.devices import compiler


@pytest.fixture(autouse=True)
def forget():
  """Lets each test, and what follows, find the options anew."""
  compiler.compiler_options.cache_clear()
  yield
  compiler.compiler_options.cache_clear()


@pytest.mark.parametrize("options", [compiler.compiler_options, compiler.init_options])
def test_a_program_compiles_with_the_options_and_gives_the_same(options):
  x = jnp.arange(12.0).reshape(3, 4)
  compiled = jax.jit(lambda x: x @ x.T + 1, compiler_options=options())
  assert compiled(x).tolist() == (x @ x.T + 1).tolist()


def test_options_that_this_version_does_not_know_are_left_out(monkeypatch):
  assert not compiler._compiles_with({"xla_no_such_option": True})
  monkeypatch.setattr(compiler, "_compiles_with", lambda options: "hlo" in next(iter(options)))
  assert list(compiler.compiler_options()) == ["xla_disable_hlo_passes"]


def test_accelerators_need_no_options(monkeypatch):
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  assert compiler.compiler_options() == {}
  assert compiler.init_options() == {}
