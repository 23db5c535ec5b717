"""Values and gradients of losses, weightings and networks, to be compared between devices."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlseg import weighting
from mlseg.devices import compiler
from mlseg.recipe import loss_table, parse
from mlseg.recipe import model as recipe_model
from speed_parts.problem import Problem, make_data
from speed_parts.worker import Session

NUMBERS = 500  # of an array that are compared
SIDE = 64
NETWORKS = {
  "unet": ("configs/dmf_busi.py",),
  "attention_unet": ("configs/dmf_busi.py", "--config.model.name=attention_unet"),
  "histology_fcn": ("configs/glands.py",),
  "MobileNetV2": ("configs/multitask_busi.py",),
  "VGG16": ("configs/strong.py:busi+vgg16",),
  "EfficientNet-Lite0": ("configs/strong.py:busi+efficientnet_lite0",),
  "ResNet-18": ("configs/strong.py:busi+resnet18",),
  "ConvNeXt-T": ("configs/strong.py:busi+convnext_tiny",),
}
WEIGHTINGS: dict[str, Callable[[], Any]] = {
  "dynamic_memory_fusion": lambda: weighting.dynamic_memory_fusion(
    "variance", capacity=6, min_history=3
  ),
  "uncertainty": weighting.uncertainty,
  "famo": weighting.famo,
  "softadapt": weighting.softadapt,
}


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Computes everything; the facts hold the numbers by kind and name."""
  del problem
  small = options["small"]
  found = {
    "losses": dict(_losses()),
    "weightings": dict(_weightings()),
    "networks": dict(_networks(list(NETWORKS)[:1] if small else list(NETWORKS))),
  }
  return Session({"numbers": found, "device": jax.devices()[0].device_kind}, {"none": lambda n: 0})


def _losses() -> Iterator[tuple[str, list[float]]]:
  """Yields the values and the gradients of all losses that read pixels alone."""
  keys = jax.random.split(jax.random.key(0), 2)
  logits = 2 * jax.random.normal(keys[0], (2, 32, 32, 3))
  targets = jax.nn.one_hot(jax.random.randint(keys[1], (2, 32, 32), 0, 3), 3)
  for name, loss in loss_table.LOSSES.items():
    if loss.reads == "pixels":
      both = jax.jit(jax.value_and_grad(lambda x, f=loss.function: f(x, targets).sum()))
      value, gradient = both(logits)
      yield name, [float(value), *_some(gradient)]


def _weightings() -> Iterator[tuple[str, list[float]]]:
  """Yields the weights of ten steps."""
  for name, make in WEIGHTINGS.items():
    method = make()
    state = method.init({"a": 0.0, "b": 0.0, "c": 0.0})
    update, weights = jax.jit(method.update), []
    for step in range(10):
      losses = {n: (1 + k) * 0.9**step for k, n in enumerate("abc")}
      found, state = update({n: jnp.float32(v) for n, v in losses.items()}, state)
      weights += jax.tree.leaves(found)
    yield name, _some(jnp.stack(weights))


def _networks(names: list[str]) -> Iterator[tuple[str, list[float]]]:
  """Yields the logits and the gradients of the parameters of networks."""
  images, _ = make_data(Problem(size=SIDE, batch=2))
  for name in names:
    file, *more = NETWORKS[name]
    config, _ = parse.parse(["", f"--config={file}", *more])
    config.data.image_size, config.data.patch_size = SIDE, 0
    if "pretrained" in config.model:
      config.model.pretrained = ""
    model = recipe_model.make_model(config, 2, 2)
    init = jax.jit(model.init, compiler_options=compiler.init_options())
    variables = init(jax.random.key(0), images[:1])

    def loss(params: Any, rest: Any, model: Any = model) -> tuple[jax.Array, jax.Array]:
      outputs, _ = model.apply({**rest, "params": params}, images, True)
      return (outputs.logits**2).mean(), outputs.logits

    rest = {key: value for key, value in variables.items() if key != "params"}
    gradient = jax.jit(jax.grad(loss, has_aux=True), compiler_options=compiler.compiler_options())
    found, logits = gradient(variables["params"], rest)
    norms = [jnp.linalg.norm(leaf) for leaf in jax.tree.leaves(found)]
    yield name, _some(logits) + _some(jnp.stack(norms))


def _some(array: jax.Array) -> list[float]:
  """Returns numbers of an array at even distances."""
  flat = np.asarray(array, np.float32).ravel()
  return flat[:: max(1, len(flat) // NUMBERS)].tolist()
