"""The multi-task network of the benchmark is that of its recipe, and the same in PyTorch."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from speed_parts import in_mlseg_multitask, tables
from speed_parts import multitask_problem as problems
from speed_parts.problem import LEARNING_RATE, make_data

from mlseg import models
from mlseg.models.pretrained.layers import layers_of
from mlseg.recipe import model as recipe_model
from mlseg.recipe import parse

torch = pytest.importorskip("torch")

from speed_parts import in_torch_multitask  # noqa: E402

pytestmark = pytest.mark.slow

PROBLEM = problems.TOY
IMAGES, MASKS = make_data(PROBLEM)
NAMES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def _params(problem):
  training = in_mlseg_multitask.make_training(problem)
  return jax.eval_shape(training.init, jax.random.key(0)).variables["params"]


def test_the_reference_is_the_recipe():
  config, _ = parse.parse(["", f"--config={in_mlseg_multitask.RECIPE}"])
  assert in_mlseg_multitask.recipe(problems.REFERENCE).to_dict() == config.to_dict()
  assert dict(zip(config.losses, config.weighting.fixed, strict=True)) == problems.LOSS_WEIGHTS
  optimizer = dict(config.optimizer)
  assert (optimizer.pop("name"), optimizer.pop("learning_rate")) == ("adam", LEARNING_RATE)
  assert optimizer.pop("schedule") == "constant"
  assert set(optimizer.pop("stage_rates").values()) == {1.0}
  assert (optimizer["b1"], optimizer["b2"], optimizer["eps"]) == (0.9, 0.999, 1e-8)  # PyTorch's
  assert not optimizer["weight_decay"]
  assert not optimizer["clip_norm"]


@pytest.mark.parametrize("encoder", problems.NAMES)
def test_the_reference_has_the_parameters_that_its_table_is_about(encoder):
  training = in_mlseg_multitask.make_training(problems.REFERENCE, encoder)
  params = jax.eval_shape(training.init, jax.random.key(0)).variables["params"]
  theirs = in_torch_multitask.MultiTaskUNet(problems.REFERENCE, encoder).parameters()
  expected = problems.num_params(problems.REFERENCE, encoder)
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected
  assert sum(p.numel() for p in theirs) == expected


def _draw(shapes):
  """Returns variables in which every number is drawn, so that none can be swapped unnoticed."""
  rng = np.random.default_rng(0)

  def draw(leaf):
    if len(leaf.shape) == 1:
      return rng.uniform(0.5, 1.0, leaf.shape).astype(np.float32)
    fan_in = np.prod(leaf.shape[:-1])
    return (rng.standard_normal(leaf.shape) / np.sqrt(fan_in)).astype(np.float32)

  return jax.tree.map(draw, shapes)


def _layers(network):
  """Returns the layers in PyTorch by the path of ours."""
  encoder = models.make_encoder("mobilenet_v2", "torchvision")
  found = {
    ("encoder", *layer.path): network.encoder.get_submodule(layer.torch.removeprefix("features."))
    for layer in layers_of(encoder)
  }
  for index, level in enumerate(network.levels):
    own = {"UpConv_0": level.up}
    own |= {f"Conv_{n}": level.merge[3 * n] for n in (0, 1)}
    own |= {f"BatchNorm_{n}": level.merge[3 * n + 1] for n in (0, 1)}
    found |= {(f"levels_{index}", name): layer for name, layer in own.items()}
  heads = ("segmentation", network.segmentation), ("classification", network.classification)
  return found | {(name,): layer for name, layer in (*heads, ("hidden_0", network.hidden))}


def _pairs(tree, network):
  """Yields the path of each of our arrays, the array in PyTorch's layout, and its tensor there."""
  layers = _layers(network)
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    *names, name = (key.key for key in path)
    layer, array = layers[tuple(names)], np.asarray(leaf)
    if isinstance(layer, torch.nn.ConvTranspose2d) and array.ndim == 4:
      # PyTorch flips the kernel of a transposed convolution, Flax does not.
      array = array[::-1, ::-1].transpose(2, 3, 0, 1)
    elif array.ndim > 1:
      array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
    yield path, array, getattr(layer, NAMES.get(name, name))


@pytest.fixture(scope="module")
def both():
  """Returns (functions of mlseg, its state, the network in PyTorch) with the same variables."""
  training = in_mlseg_multitask.make_training(PROBLEM)
  key = jax.random.key(0)
  shapes = jax.eval_shape(training.init, key)._replace(key=None)
  variables = _draw(shapes.variables)
  network = in_torch_multitask.MultiTaskUNet(PROBLEM)
  given = set()
  for collection in variables.values():
    for path, array, tensor in _pairs(collection, network):
      assert array.shape == tuple(tensor.shape), path
      with torch.no_grad():
        tensor.copy_(torch.from_numpy(array.copy()))
      given.add(id(tensor))
  assert {id(p) for p in network.parameters()} <= given
  state = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
  return training, state._replace(key=key, variables=variables), network


def _compiled(function):
  options = {"xla_backend_optimization_level": 0}  # compiles sooner
  return jax.jit(function, compiler_options=options)


def _assert_close(actual, expected, tolerance, what=""):
  """Checks that the difference is small against the expected array's largest number."""
  actual, expected = np.asarray(actual), np.asarray(expected)
  assert actual.shape == expected.shape, what
  assert np.abs(actual - expected).max() <= tolerance * np.abs(expected).max(), what


def _forward(network):
  return network(torch.from_numpy(IMAGES).permute(0, 3, 1, 2))


def test_both_heads_agree_in_evaluation(both):
  training, state, network = both
  logits, class_logits = _compiled(training.forward)(state.variables, IMAGES)
  with torch.no_grad():
    their_logits, their_class_logits = _forward(network.eval())
  _assert_close(logits, their_logits.permute(0, 2, 3, 1), 1e-4)
  _assert_close(class_logits, their_class_logits, 1e-4)


def test_both_heads_and_losses_agree_in_training(both):
  """With batch norm over the batch; the encoder's running statistics agree too."""
  training, state, network = both
  config = in_mlseg_multitask.recipe(PROBLEM)
  model = recipe_model.make_model(config, PROBLEM.num_classes, problems.NUM_LABELS)

  @_compiled
  def forward(state, batch):
    outputs, new = model.apply(state.variables, batch.images, True)
    _, log = training.step(state, batch)
    return outputs._replace(features=None), new["batch_stats"], log

  outputs, statistics, log = forward(state, training.batch)
  with torch.no_grad():
    theirs = _forward(network.train())
  _assert_close(outputs.logits, theirs[0].permute(0, 2, 3, 1), 1e-4)
  _assert_close(outputs.class_logits, theirs[1], 1e-4)
  for path, value, tensor in _pairs({"encoder": statistics["encoder"]}, network):
    _assert_close(value, tensor, 1e-4, path)
  truth = [torch.from_numpy(x).long() for x in (MASKS, problems.make_labels(PROBLEM))]
  losses = in_torch_multitask.losses_of(theirs, *truth)
  np.testing.assert_allclose([log.losses[name] for name in config.losses], losses, rtol=1e-4)
  total = sum(log.weights[name] * log.losses[name] for name in config.losses)
  np.testing.assert_allclose(total, in_torch_multitask.total(theirs, *truth), rtol=1e-4)


def test_both_stand_in_the_table(benchmarks, tmp_path):
  names = ("mlseg", "PyTorch, eager")
  command = [sys.executable, str(benchmarks / "speed.py"), "--small", f"--out={tmp_path}"]
  options = ["--device=cpu", "--parts=multitask", f"--frameworks={';'.join(names)}"]
  done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
  measured = json.loads((tmp_path / "cpu-small.json").read_text())["parts"]["multitask"]
  assert not measured["skipped"]
  rows = [(row["run"], row["framework"]) for row in measured["rows"]]
  many = "mlseg, many steps in one program"
  assert rows == [("train", many), ("train", names[1]), *(("evaluate", name) for name in names)]
  ratios = [row.get("ratio_many", row.get("ratio")) for row in measured["rows"]]
  assert [ratio is None for ratio in ratios] == [True, False, True, False]
  assert done.stdout.strip() == tables.section("multitask", measured).strip()
  assert problems.NAMES[problems.MOBILENET] in done.stdout


def test_a_framework_that_a_part_has_not_is_refused(benchmarks, tmp_path):
  command = [sys.executable, str(benchmarks / "speed.py"), "--small", f"--out={tmp_path}"]
  options = ["--parts=multitask", "--frameworks=Keras, huge pages"]
  done = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
  assert done.returncode == 2
  assert "unknown frameworks ['Keras, huge pages'] of multitask" in done.stderr
  assert not list(tmp_path.iterdir())
