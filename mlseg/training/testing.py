"""The compiled programs that test models: of one, of the mean of several, and saliency maps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from mlseg.devices import compiler, sharding
from mlseg.training.evaluation import Evaluation
from mlseg.training.model_functions import Functions

PyTree = Any


class Testing(NamedTuple):
  """What runs on the devices while models are tested, on arrays of the host.

  Attributes:
    test: `test(variables, images, masks, covariates=None) -> Evaluation`.
    test_ensemble: `test_ensemble(variables of each model, images, masks, covariates=None) ->
      Evaluation`.
    explain: `explain(variables, images, covariates=None) -> [methods, N, H, W]`, or None without a
      head of classes.
  """

  test: Callable[..., Evaluation]
  test_ensemble: Callable[..., Evaluation]
  explain: Callable[..., jax.Array] | None


def make_testing(functions: Functions, mesh: Mesh) -> Testing:
  """Returns the programs, each compiled at its first call.

  Args:
    functions: of one model.
    mesh: from `sharding.make_mesh`.
  """
  options, everywhere = compiler.compiler_options(), sharding.everywhere(mesh)

  def on_host_arrays(function: Callable) -> Callable:
    compiled = jax.jit(function, out_shardings=everywhere, compiler_options=options)

    def call(
      variables: PyTree, *arrays: np.ndarray, covariates: np.ndarray | None = None
    ) -> PyTree:
      placed, own = sharding.place((arrays, covariates), everywhere)
      with jax.set_mesh(mesh):
        return compiled(variables, *placed, covariates=own)

    return call

  return Testing(
    on_host_arrays(functions.test),
    on_host_arrays(functions.test_ensemble),
    None if functions.explain is None else on_host_arrays(functions.explain),
  )
