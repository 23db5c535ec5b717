"""A Flax NNX network with batch normalisation learns three classes under learned weights.

`nnx.split` splits the network into its structure, its parameters, which are differentiated, and its
running statistics, which the loss function takes as an argument and returns beside the losses. The
weights are learned too, as variances. Run it with `python examples/flax_nnx.py`.
"""

import jax
import numpy as np
import optax
from flax import nnx

from mlseg import losses, metrics
from mlseg import weighting as w

LOSSES = {"dice": losses.soft_dice, "entropy": losses.cross_entropy, "focal": losses.focal}


def make_pictures(seed, number):
  """Returns noisy discs with a thin rim: images [N, 32, 32, 1] and labels [N, 32, 32]."""
  rng = np.random.default_rng(seed)
  centers, radii = rng.uniform(10, 22, (2, number, 1, 1)), rng.uniform(4, 8, (number, 1, 1))
  distances = np.linalg.norm(np.mgrid[:32, :32][:, None] - centers, axis=0)
  labels = np.where(distances < radii, 1, np.where(distances < radii + 2, 2, 0))
  images = np.array([0.0, 0.6, 1.0])[labels] + rng.normal(0, 0.3, labels.shape)
  return images[..., None].astype(np.float32), labels


def loss_fn(params, statistics, images, labels):
  """Returns the losses of a batch, and the running statistics after it."""
  model = nnx.merge(structure, params, statistics, copy=True)
  logits, masks = model(images), jax.nn.one_hot(labels, 3)
  values = {name: losses.reduce(loss(logits, masks)) for name, loss in LOSSES.items()}
  return values, nnx.state(model, nnx.Not(nnx.Param))


@jax.jit
def step(params, statistics, opt_state, state, images, labels):
  """Returns the parameters, statistics and states after one more batch, and what was computed."""
  result, state = compute(params, state, statistics, images, labels)
  updates, opt_state = optimizer.update(result.gradients, opt_state, params)
  return optax.apply_updates(params, updates), result.aux, opt_state, state, result


rngs = nnx.Rngs(0)
first = nnx.Conv(1, 16, (3, 3), rngs=rngs), nnx.BatchNorm(16, momentum=0.9, rngs=rngs), nnx.relu
second = nnx.Conv(16, 16, (3, 3), rngs=rngs), nnx.BatchNorm(16, momentum=0.9, rngs=rngs), nnx.relu
network = nnx.Sequential(*first, *second, nnx.Conv(16, 3, (3, 3), rngs=rngs))
structure, params, statistics = nnx.split(network, nnx.Param, ...)
method, optimizer = w.revised_uncertainty(), optax.adam(1e-2)
compute = w.losses_and_gradients(loss_fn, method)
carry = params, statistics, optimizer.init(params), method.init(dict.fromkeys(LOSSES, 0.0))
for seed in range(100):
  *carry, result = step(*carry, *make_pictures(seed, 8))
print(*(f"{name} {result.losses[name]:.3f} × {result.weights[name]:.1f}" for name in LOSSES))
nnx.update(network, *carry[:2])
network.eval()  # it now normalises by its running statistics
images, labels = make_pictures(seed=1000, number=64)
counts = metrics.confusion_counts(nnx.jit(network)(images).argmax(-1), labels, 3)
print("Dice of disc and rim:", *(f"{dice:.3f}" for dice in metrics.dice(counts).mean(0)[1:]))
