"""A trained run as one function of images, made of plain operations, for formats without JAX."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from mlseg.data import pipeline
from mlseg.errors import UserError
from mlseg.models import class_probabilities
from mlseg.models.averaging import VIEWS
from mlseg.models.layers import depthwise, onednn
from mlseg.postprocessing.temperature import NEAREST_TO_ONE
from mlseg.prediction.trained import Trained
from mlseg.recipe.networks import DETECTION

Graph = Callable[[jax.Array], dict[str, jax.Array]]
# Calls of other programs, by the name of the parameter that has the program.
_CALLS = {
  "custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr", "custom_vmap_call": "call",
  "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "checkpoint": "jaxpr",
  "remat2": "jaxpr",
}  # fmt: skip


def make_graph(run: Trained) -> Graph:
  """Returns `graph(images) -> outputs`, the mean of a run's models with its views and temperatures.

  Args:
    run: on images or volumes.

  Returns:
    A function of images [B, H, W, channels] uint8, prepared as for the network. Its outputs are
    'probabilities' [B, H, W, C] of the classes of each pixel and 'diagnoses' [B, L], or 'findings'
    [B, L], as far as the network gives them, float32.

  Raises:
    UserError: the run is a detector, or reads covariates.
  """
  if DETECTION in run.network.heads:
    raise UserError(f"{run.network.name} finds objects one by one, which no graph can hold")
  if run.network.covariates:
    raise UserError(
      f"the network of {run.name} reads covariates ({', '.join(run.network.covariates)}), and a"
      " graph reads images alone: python -m mlseg.predict predicts with it"
    )
  models = [jax.tree.map(lambda leaf, n=n: jnp.asarray(leaf[n]), run.variables)
            for n in range(len(run.seeds))]  # fmt: skip
  temperatures = run.manner.temperatures

  @onednn.unused()
  def graph(images: jax.Array) -> dict[str, jax.Array]:
    batch = pipeline.to_float(images)
    pixels: list[jax.Array] = []
    diagnoses: list[jax.Array] = []
    for variables in models:
      for axes in VIEWS[run.views]:
        view = jnp.flip(batch, axes) if axes else batch
        outputs = run.model.predict(variables, view)
        if outputs.logits is not None:
          found = jax.nn.softmax(outputs.logits, axis=-1)
          pixels.append(jnp.flip(found, axes) if axes else found)
        if outputs.class_logits is not None:
          diagnoses.append(class_probabilities(outputs.class_logits, run.model.has_findings))
    named = {"probabilities": _mean(pixels, temperatures.pixels)} if pixels else {}
    if diagnoses and run.model.has_findings:
      named["findings"] = _mean_of_findings(diagnoses, temperatures.diagnoses)
    elif diagnoses:
      named["diagnoses"] = _mean(diagnoses, temperatures.diagnoses)
    return named

  return graph


def _mean(probabilities: Sequence[jax.Array], temperature: float) -> jax.Array:
  """Returns the mean of probabilities [..., C], at a temperature."""
  mean = sum(probabilities[1:], probabilities[0]) / len(probabilities)
  if temperature == 1.0:
    return mean
  smallest = float(jnp.finfo(jnp.float32).tiny)
  return jax.nn.softmax(jnp.log(jnp.maximum(mean, smallest)) / temperature, axis=-1)


def _mean_of_findings(probabilities: Sequence[jax.Array], temperature: float) -> jax.Array:
  """Returns the mean of probabilities [B, L], each of a finding by itself, at a temperature."""
  mean = _mean(probabilities, 1.0)
  if temperature == 1.0:
    return mean
  return _mean([jnp.stack([jnp.maximum(1 - mean, NEAREST_TO_ONE), mean], -1)], temperature)[..., 1]


@contextmanager
def grouped() -> Iterator[None]:
  """Has depthwise convolutions be one operation of XLA each while a program is traced."""
  token = depthwise.FORMULATION.set("grouped")
  try:
    with onednn.unused():
      yield
  finally:
    depthwise.FORMULATION.reset(token)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
  """Returns the same function without calls inside: of custom derivatives and batching rules.

  Converters do not know such calls, and derivatives do not matter for them.

  Example:
    >>> @jax.custom_jvp
    ... def double(x):
    ...   return 2 * x
    >>> double.defjvps(lambda t, ans, x: t)
    >>> jax.make_jaxpr(plain(lambda x: {"y": double(x)}))(1.0).eqns[0].primitive.name
    'mul'
  """

  def call(*arguments: jax.Array) -> Any:
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
    outputs = _run(program.jaxpr, program.consts, arguments)
    return jax.tree.unflatten(jax.tree.structure(shapes), outputs)

  return call


def _run(program: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
  """Returns the outputs of a program, whose calls are gone through instead of called."""
  values: dict[Any, Any] = dict(zip(program.constvars, constants, strict=True))
  values |= dict(zip(program.invars, arguments, strict=True))

  def read(name: Any) -> Any:
    return name.val if isinstance(name, core.Literal) else values[name]

  for equation in program.eqns:
    inputs, parameter = list(map(read, equation.invars)), _CALLS.get(equation.primitive.name)
    if parameter is None:
      outputs = equation.primitive.bind(*inputs, **equation.params)
      outputs = outputs if equation.primitive.multiple_results else [outputs]
    else:
      inner = equation.params[parameter]
      outputs = _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
    values |= dict(zip(equation.outvars, outputs, strict=True))
  return list(map(read, program.outvars))
