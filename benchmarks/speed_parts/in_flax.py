"""The reference network and its training step in plain Flax."""

import time
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from speed_parts import problem as problems
from speed_parts.problem import Problem
from speed_parts.worker import Session


class UNet(nn.Module):
  """Maps images [B, H, W, 1] to logits [B, H, W, C]."""

  problem: Problem

  @nn.compact
  def __call__(self, images: jax.Array, train: bool) -> jax.Array:
    """Returns the logits."""
    sizes = problems.level_sizes(self.problem)
    skips = []
    activations = images
    for filters in sizes[:-1]:
      skips.append(self._block(activations, filters, train))
      activations = nn.max_pool(skips[-1], (2, 2), (2, 2))
    activations = self._block(activations, sizes[-1], train)
    for filters, skip in zip(reversed(sizes[:-1]), reversed(skips), strict=True):
      activations = nn.ConvTranspose(filters, (2, 2), (2, 2))(activations)
      activations = self._block(jnp.concatenate([activations, skip], axis=-1), filters, train)
    return nn.Conv(self.problem.num_classes, (1, 1))(activations)

  def _block(self, activations: jax.Array, filters: int, train: bool) -> jax.Array:
    momentum, epsilon = problems.NORM_MOMENTUM, problems.NORM_EPSILON
    for _ in range(2):
      activations = nn.Conv(filters, (3, 3), use_bias=False)(activations)
      activations = nn.BatchNorm(not train, momentum=momentum, epsilon=epsilon)(activations)
      activations = nn.relu(activations)
    return activations


def losses_of(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Returns cross-entropy, soft IoU and soft Dice [3] of logits [B, H, W, C], labels [B, H, W]."""
  masks = jax.nn.one_hot(labels, logits.shape[-1])
  probabilities = jax.nn.softmax(logits)
  overlap = (probabilities * masks).sum((1, 2))
  both = probabilities.sum((1, 2)) + masks.sum((1, 2))
  smooth = problems.SMOOTH
  iou = 1 - ((overlap + smooth) / (both - overlap + smooth)).mean()
  dice = 1 - ((2 * overlap + smooth) / (both + smooth)).mean()
  entropy = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
  return jnp.stack([entropy, iou, dice])


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Builds and compiles the network; no options are used."""
  del options
  network = UNet(problem)
  x, y = jax.tree.map(jnp.asarray, problems.make_data(problem))
  variables = network.init(jax.random.key(problem.seed), x, False)
  optimizer = optax.adam(problems.LEARNING_RATE)

  def loss_fn(params: Any, batch_stats: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Any]:
    variables = {"params": params, "batch_stats": batch_stats}
    logits, state = network.apply(variables, x, True, mutable=["batch_stats"])
    return losses_of(logits, y).sum(), state["batch_stats"]

  def step(state: Any, x: jax.Array, y: jax.Array) -> tuple[Any, jax.Array]:
    params, batch_stats, moments = state
    compute = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, batch_stats), gradients = compute(params, batch_stats, x, y)
    updates, moments = optimizer.update(gradients, moments, params)
    return (optax.apply_updates(params, updates), batch_stats, moments), loss

  params, batch_stats = variables["params"], variables["batch_stats"]
  held = [(params, batch_stats, optimizer.init(params))]
  started = time.perf_counter()
  compiled_step = jax.jit(step, donate_argnums=0).lower(held[0], x, y).compile()
  train_seconds = time.perf_counter() - started

  def forward(params: Any, batch_stats: Any, x: jax.Array) -> jax.Array:
    return network.apply({"params": params, "batch_stats": batch_stats}, x, False)

  started = time.perf_counter()
  compiled_forward = jax.jit(forward).lower(*held[0][:2], x).compile()
  evaluate_seconds = time.perf_counter() - started

  def train(steps: int) -> float:
    for _ in range(steps):
      held[0], loss = compiled_step(held[0], x, y)
    jax.block_until_ready(held[0])
    return float(loss)

  def evaluate(steps: int) -> float:
    for _ in range(steps):
      logits = compiled_forward(*held[0][:2], x)
    return float(logits.sum())

  facts = {
    "params": sum(leaf.size for leaf in jax.tree.leaves(params)),
    "versions": {"jax": jax.__version__, "flax": flax.__version__},
    "device": jax.devices()[0].device_kind,
    "compile_seconds": {"train": train_seconds, "evaluate": evaluate_seconds},
  }
  return Session(facts, {"train": train, "evaluate": evaluate})
