"""The graph of a run gives its probabilities, in plain operations alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mlseg
from mlseg import export as command
from mlseg.errors import UserError
from mlseg.models.layers.depthwise import depthwise, depthwise_formulation
from mlseg.prediction import graph, trained
from tests.prediction.made import write_run


@pytest.mark.parametrize("views", ["one", "horizontal", "flips"])
def test_a_graph_gives_the_probabilities_of_the_interface(tmp_path, views):
  run = write_run(tmp_path, "data.diameter=0")
  images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 1)).astype(np.uint8)
  outputs = jax.jit(graph.make_graph(trained.load(run, views)))(images)
  assert list(outputs) == ["probabilities"]
  model = mlseg.load(run, views=views)
  expected = [found.probabilities for found in model.predict(list(images[..., 0]))]
  np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)


def test_a_temperature_is_in_the_graph(tmp_path):
  run = trained.load(write_run(tmp_path))
  images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 1)).astype(np.uint8)
  plain = graph.make_graph(run)(images)["probabilities"]
  manner = run.manner._replace(temperatures=run.manner.temperatures._replace(pixels=2.0))
  found = graph.make_graph(run._replace(manner=manner))(images)["probabilities"]
  np.testing.assert_allclose(found, jax.nn.softmax(jnp.log(plain) / 2, -1), atol=1e-6)


def test_a_network_that_reads_covariates_is_refused_before_anything_is_written(
  tmp_path, monkeypatch, capsys
):
  run = trained.load(write_run(tmp_path))
  run = run._replace(network=run.network._replace(covariates=("age", "volume")))
  monkeypatch.setattr(trained, "load", lambda *_: run)
  words = [f"--workdir={tmp_path}", f"--out={tmp_path / 'out'}", "--format=stablehlo"]
  assert command.main(["mlseg", *words]) == 2
  message = (
    f"mlseg: the network of {run.name} reads covariates (age, volume), and a graph reads images"
    " alone: python -m mlseg.predict predicts with it\n"
  )
  assert capsys.readouterr().err == message
  assert not (tmp_path / "out").exists()


def test_a_plain_function_has_no_calls_and_the_same_values():
  @jax.custom_vjp
  def inner(x):
    return jnp.sin(x)

  inner.defvjp(lambda x: (inner(x), x), lambda x, g: (g,))

  def function(x, y):
    return {"a": inner(x) * jax.jit(jnp.cos)(y), "b": jax.checkpoint(jnp.exp)(x)}

  found = graph.plain(function)
  np.testing.assert_allclose(found(1.0, 2.0)["a"], function(1.0, 2.0)["a"])
  names = {equation.primitive.name for equation in jax.make_jaxpr(found)(1.0, 2.0).eqns}
  assert names == {"sin", "cos", "mul", "exp"}


def test_depthwise_convolutions_are_one_operation_in_a_graph():
  images, kernel = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 1, 4))

  def convolve():
    program = jax.make_jaxpr(lambda: depthwise(images, kernel, 1, ((1, 1), (1, 1))))()
    return [equation.primitive.name for equation in program.eqns]

  assert "conv_general_dilated" not in convolve()
  with graph.grouped():
    assert convolve() == ["conv_general_dilated"]
    grouped = depthwise(images, kernel, 1, ((1, 1), (1, 1)))
  assert depthwise_formulation() == "shifts"
  np.testing.assert_allclose(grouped, depthwise(images, kernel, 1, ((1, 1), (1, 1))), rtol=1e-6)


def test_a_detector_has_no_graph(tmp_path):
  run = trained.load(write_run(tmp_path))
  heads = run.network.heads | {"detection"}
  with pytest.raises(UserError, match="finds objects one by one, which no graph can hold"):
    graph.make_graph(run._replace(network=run.network._replace(heads=heads)))
