"""A Keras 3 network on JAX has two heads, for a mask and a diameter, whose losses are balanced.

`model.stateless_call` returns the outputs, and the variables that are not trained (statistics of
the batch normalisation, the seed of the dropout) as they are then, so that the loss function is
pure; `optimizer.stateless_apply` does the same for an optimiser of Keras. The loss of the diameter
is in pixels squared, and begins 200 times larger than that of the mask; `geometric` weighs each
loss by the inverse of its value. Run it with `python examples/keras_on_jax.py`; Keras comes with
`pip install keras`.
"""

import os

os.environ["KERAS_BACKEND"] = "jax"
import jax
import keras
import numpy as np

from mlseg import losses, metrics
from mlseg import weighting as w


def make_pictures(seed, number):
  """Returns noisy discs: images [N, 32, 32, 1], labels [N, 32, 32] and diameters [N, 1]."""
  rng = np.random.default_rng(seed)
  centers, radii = rng.uniform(10, 22, (2, number, 1, 1)), rng.uniform(3, 9, (number, 1, 1))
  labels = (np.linalg.norm(np.mgrid[:32, :32][:, None] - centers, axis=0) < radii).astype(np.int32)
  images = labels + rng.normal(0, 0.5, labels.shape)
  return images[..., None].astype(np.float32), labels, 2 * radii[..., 0].astype(np.float32)


def make_network():
  """Returns a functional model with two outputs, by name."""
  layers, images = keras.layers, keras.Input((32, 32, 1))
  x = layers.BatchNormalization(momentum=0.9)(layers.Conv2D(16, 5, padding="same")(images))
  x = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.ReLU()(x))
  pooled = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
  diameter = layers.Dense(1)(layers.Dense(32, activation="relu")(pooled))
  return keras.Model(images, {"mask": layers.Conv2D(2, 1)(x), "diameter": diameter})


def loss_fn(trained, others, images, labels, diameters):
  """Returns the losses of both heads, and the variables that are not trained after the batch."""
  outputs, others = model.stateless_call(trained, others, images, training=True)
  mask = losses.soft_dice(outputs["mask"], jax.nn.one_hot(labels, 2))
  squared = keras.losses.mean_squared_error(diameters, outputs["diameter"])
  return {"mask": mask.mean(), "diameter": squared.mean()}, others


@jax.jit
def step(trained, others, opt_state, state, batch):
  """Returns the variables and states after one more batch."""
  result, state = compute(trained, state, others, *batch)
  trained, opt_state = optimizer.stateless_apply(opt_state, result.gradients, trained)
  return trained, result.aux, opt_state, state


keras.utils.set_random_seed(0)
rate = keras.optimizers.schedules.CosineDecay(1e-2, decay_steps=150)
model, optimizer, method = make_network(), keras.optimizers.Adam(rate), w.geometric()
optimizer.build(model.trainable_variables)
compute = w.losses_and_gradients(loss_fn, method)
variables = model.trainable_variables, model.non_trainable_variables, optimizer.variables
carry = [[v.value for v in some] for some in variables] + [method.init({"mask": 0, "diameter": 0})]
for seed in range(150):
  carry = step(*carry, make_pictures(seed, 16))
for some, values in zip(variables, carry, strict=False):
  jax.tree.map(lambda v, value: v.assign(value), some, values)  # Keras can now save the model
images, labels, diameters = make_pictures(seed=1000, number=64)
found = model.predict(images, verbose=0)
counts = metrics.confusion_counts(found["mask"].argmax(-1), labels, 2)
error = np.abs(found["diameter"] - diameters).mean()
print(f"Dice {metrics.summarize(counts)['dice']:.3f}, diameter off by {error:.2f} pixels")
