"""A plain loop of jax and optax trains a network under three losses, which a weighting balances.

`losses_and_gradients` computes the losses, their weights, and the gradient of the weighted sum in
one backward pass; what follows is an ordinary optax step, with a schedule and clipping. Where a
step has the gradients of all losses anyway, `optax.chain(w.combine_gradients(method, K), adam)`
makes the method a part of the optimiser. Run it with `python examples/optax_loop.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mlseg import losses, metrics
from mlseg import weighting as w

LOSSES = {"dice": losses.soft_dice, "entropy": losses.cross_entropy, "iou": losses.soft_iou}
SHAPES = (3, 3, 1, 16), (3, 3, 16, 16), (3, 3, 16, 2)  # of the kernels


def make_pictures(seed, number):
  """Returns dark ellipses in speckle: images [N, 32, 32, 1] and labels [N, 32, 32]."""
  rng = np.random.default_rng(seed)
  centers, radii = rng.uniform(10, 22, (2, number, 1, 1)), rng.uniform(3, 8, (2, number, 1, 1))
  offsets = (np.mgrid[:32, :32][:, None] - centers) / radii
  labels = ((offsets**2).sum(0) < 1).astype(np.int32)
  speckle = rng.gamma(3.0, 1 / 3.0, labels.shape) * np.where(labels, 0.5, 1.0)
  return speckle[..., None].astype(np.float32), labels


def init(key):
  """Returns the parameters: a kernel and a bias for each layer."""
  he = jax.nn.initializers.he_normal()
  return [(he(jax.random.fold_in(key, k), s), jnp.zeros(s[-1])) for k, s in enumerate(SHAPES)]


def apply(params, x):
  """Returns logits [B, H, W, 2] of images [B, H, W, 1], which are positive."""
  for (kernel, bias), gap in zip(params, (1, 3, 1), strict=True):
    layout = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "rhs_dilation": (gap, gap)}
    x = jax.lax.conv_general_dilated(jax.nn.relu(x), kernel, (1, 1), "SAME", **layout) + bias
  return x


def loss_fn(params, images, labels):
  """Returns the losses of a batch, and nothing beside them."""
  logits, masks = apply(params, images), jax.nn.one_hot(labels, 2)
  return {name: losses.reduce(loss(logits, masks)) for name, loss in LOSSES.items()}, None


@jax.jit
def step(params, opt_state, state, images, labels):
  """Returns the next parameters, the next states of optimiser and weighting, and the losses."""
  result, state = compute(params, state, images, labels)
  updates, opt_state = optimizer.update(result.gradients, opt_state, params)
  return optax.apply_updates(params, updates), opt_state, state, result


method = w.chain(w.dynamic_memory_fusion("mad", min_history=20), w.ema(0.9))
compute = w.losses_and_gradients(loss_fn, method)
rate = optax.warmup_cosine_decay_schedule(0.0, 1e-2, warmup_steps=20, decay_steps=200)
optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
(images, labels), params = make_pictures(seed=0, number=256), init(jax.random.key(0))
carry = params, optimizer.init(params), method.init(dict.fromkeys(LOSSES, 0.0))
for number in range(200):
  batch = np.random.default_rng(number).choice(256, 16, replace=False)
  *carry, result = step(*carry, images[batch], labels[batch])
  if number in (0, 49, 199):
    terms = (f"{name} {result.losses[name]:.3f} × {result.weights[name]:.2f}" for name in LOSSES)
    print(f"step {number + 1:3}:", ", ".join(terms))
images, labels = make_pictures(seed=1, number=64)
counts = metrics.confusion_counts(jax.jit(apply)(carry[0], images).argmax(-1), labels, 2)
print(f"Dice on 64 new pictures: {metrics.summarize(counts)['dice']:.3f}")
