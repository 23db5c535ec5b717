"""A Flax NNX network with batch normalisation and dropout learns three classes under two losses.

`nnx.split` splits the network into its structure, its parameters, which are differentiated, and the
rest: running statistics, and keys and counters of the dropout. The loss function takes the rest as
an argument and returns it beside the losses, so that it is pure. A batch goes through the network
in two halves, which takes the memory of one: running statistics are the means of both, counters are
those of the second, and both halves have the same dropout. The weights are learned too, as
variances. Run it with `python examples/flax_nnx.py`.
"""

import jax
import numpy as np
import optax
from flax import nnx

from mlseg import losses, metrics
from mlseg import weighting as w

LOSSES = {"dice": losses.soft_dice, "entropy": losses.cross_entropy}


def make_pictures(seed, number):
  """Returns noisy discs with a thin rim: images [N, 32, 32, 1] and labels [N, 32, 32]."""
  rng = np.random.default_rng(seed)
  centers, radii = rng.uniform(10, 22, (2, number, 1, 1)), rng.uniform(4, 8, (number, 1, 1))
  distances = np.linalg.norm(np.mgrid[:32, :32][:, None] - centers, axis=0)
  labels = np.where(distances < radii, 1, np.where(distances < radii + 2, 2, 0))
  images = np.array([0.0, 0.6, 1.0])[labels] + rng.normal(0, 0.3, labels.shape)
  return images[..., None].astype(np.float32), labels


def make_network(rngs):
  """Returns the network; it drops whole channels."""
  layers, channels = [], 1
  for _ in range(2):
    norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)
    layers, channels = [*layers, nnx.Conv(channels, 16, (3, 3), rngs=rngs), norm, nnx.relu], 16
  dropout = nnx.Dropout(0.1, broadcast_dims=(1, 2), rngs=rngs)
  return nnx.Sequential(*layers, dropout, nnx.Conv(16, 3, (3, 3), rngs=rngs))


def loss_fn(params, rest, batch):
  """Returns the losses of a batch, and the statistics, keys and counters after it."""
  model, (images, labels) = nnx.merge(structure, params, rest, copy=True), batch
  logits, masks = model(images), jax.nn.one_hot(labels, 3)
  values = {name: losses.reduce(loss(logits, masks)) for name, loss in LOSSES.items()}
  return values, nnx.state(model, nnx.Not(nnx.Param))


@jax.jit
def step(params, rest, opt_state, state, batch):
  """Returns the parameters, the rest and states after one more batch, and what was computed."""
  result, state = compute(params, state, rest, batch)
  updates, opt_state = optimizer.update(result.gradients, opt_state, params)
  return optax.apply_updates(params, updates), result.aux, opt_state, state, result


network = make_network(nnx.Rngs(0))
structure, params, rest = nnx.split(network, nnx.Param, ...)
method, optimizer = w.revised_uncertainty(), optax.adam(1e-2)
compute = w.losses_and_gradients(loss_fn, method, num_microbatches=2)
carry = params, rest, optimizer.init(params), method.init(dict.fromkeys(LOSSES, 0.0))
for seed in range(100):
  *carry, result = step(*carry, make_pictures(seed, 8))
print(*(f"{name} {result.losses[name]:.3f} × {result.weights[name]:.1f}" for name in LOSSES))
nnx.update(network, *carry[:2])
network.eval()  # it drops nothing now, and normalises by its running statistics
images, labels = make_pictures(seed=1000, number=64)
counts = metrics.confusion_counts(nnx.jit(network)(images).argmax(-1), labels, 3)
print("Dice of disc and rim:", *(f"{dice:.3f}" for dice in metrics.dice(counts).mean(0)[1:]))
