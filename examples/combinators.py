"""A chain of combinators changes the weights of a method: later, by a prior, smoother, in bounds.

A linear classifier of pixels trains under the whole chain. Every beginning of a chain is a
weighting too: given the same losses afterwards, in one `jax.lax.scan`, each shows what its last
link does to the weights. Run it with `python examples/combinators.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import ndimage

from mlseg import losses
from mlseg import weighting as w

LOSSES = {"dice": losses.soft_dice, "entropy": losses.cross_entropy, "tversky": losses.tversky}
LINKS = {
  "warm_up": w.warm_up(w.dynamic_memory_fusion("mad", min_history=10), steps=40),
  "with_prior": w.with_prior({"dice": 1.0, "entropy": 3.0, "tversky": 1.0}),
  "ema": w.ema(0.95),  # over about 20 steps
  "bounded": w.bounded(0.1, 0.65),  # shares of the sum
}


def make_features(seed, number):
  """Returns four blurred copies of pictures of noisy ellipses [N, 32, 32, 4], and labels."""
  rng = np.random.default_rng(seed)
  centers, radii = rng.uniform(10, 22, (2, number, 1, 1)), rng.uniform(3, 9, (2, number, 1, 1))
  labels = ((((np.mgrid[:32, :32][:, None] - centers) / radii) ** 2).sum(0) < 1).astype(np.int32)
  noisy = labels + rng.normal(0, 1.0, labels.shape)
  copies = [ndimage.gaussian_filter(noisy, (0, sigma, sigma)) for sigma in (0.5, 1, 2, 4)]
  return np.stack(copies, -1).astype(np.float32), labels


def loss_fn(params, features, labels):
  """Returns the losses of a batch, and nothing beside them."""
  logits, masks = features @ params["matrix"] + params["bias"], jax.nn.one_hot(labels, 2)
  return {name: losses.reduce(loss(logits, masks)) for name, loss in LOSSES.items()}, None


method, optimizer = w.chain(*LINKS.values()), optax.adam(0.05)
compute, update = jax.jit(w.losses_and_gradients(loss_fn, method)), jax.jit(optimizer.update)
params, course = {"matrix": jnp.zeros((4, 2)), "bias": jnp.zeros(2)}, []
opt_state, state = optimizer.init(params), method.init(dict.fromkeys(LOSSES, 0.0))
for seed in range(200):
  result, state = compute(params, state, *make_features(seed, 8))
  updates, opt_state = update(result.gradients, opt_state)
  params = optax.apply_updates(params, updates)
  course.append(result.losses)
course = jax.tree.map(lambda *values: jnp.stack(values), *course)  # of each loss [steps]
print(*(f"{name} {course[name][0]:.2f} to {course[name][-1]:.2f}" for name in LOSSES), sep=", ")
print("weights of", *LOSSES, "at steps 20, 60 and 200")
for number, name in enumerate(LINKS, start=1):
  chain = w.chain(*list(LINKS.values())[:number])
  state = chain.init(result.losses)  # which reads their structure alone
  _, weights = jax.lax.scan(lambda s, v, c=chain: c.update(v, s)[::-1], state, course)
  shown = ("  ".join(f"{weights[loss][step]:.2f}" for loss in LOSSES) for step in (19, 59, 199))
  print(f"to {name:10}", *shown, sep="   |   ")
