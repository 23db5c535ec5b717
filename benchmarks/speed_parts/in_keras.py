"""The reference network in Keras on TensorFlow, with one `tf.function` as training step."""

import os
import time
from typing import Any

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import tensorflow as tf
from keras import layers

from speed_parts import problem as problems
from speed_parts.problem import Problem
from speed_parts.worker import Session


def make_network(problem: Problem) -> keras.Model:
  """Returns the U-Net, from images [B, H, W, 1] to logits [B, H, W, C]."""
  sizes = problems.level_sizes(problem)

  def block(activations: Any, filters: int) -> Any:
    for _ in range(2):
      activations = layers.Conv2D(filters, 3, padding="same", use_bias=False)(activations)
      norm = layers.BatchNormalization(
        momentum=problems.NORM_MOMENTUM, epsilon=problems.NORM_EPSILON
      )
      activations = layers.ReLU()(norm(activations))
    return activations

  images = activations = layers.Input((problem.size, problem.size, 1))
  skips = []
  for filters in sizes[:-1]:
    skips.append(block(activations, filters))
    activations = layers.MaxPooling2D(2)(skips[-1])
  activations = block(activations, sizes[-1])
  for filters, skip in zip(reversed(sizes[:-1]), reversed(skips), strict=True):
    activations = layers.Conv2DTranspose(filters, 2, 2)(activations)
    activations = block(layers.Concatenate()([activations, skip]), filters)
  return keras.Model(images, layers.Conv2D(problem.num_classes, 1)(activations))


def losses_of(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
  """Returns cross-entropy, soft IoU and soft Dice [3] of logits [B, H, W, C], labels [B, H, W]."""
  masks = tf.one_hot(labels, logits.shape[-1])
  probabilities = tf.nn.softmax(logits)
  overlap = tf.reduce_sum(probabilities * masks, (1, 2))
  both = tf.reduce_sum(probabilities, (1, 2)) + tf.reduce_sum(masks, (1, 2))
  smooth = problems.SMOOTH
  iou = 1 - tf.reduce_mean((overlap + smooth) / (both - overlap + smooth))
  dice = 1 - tf.reduce_mean((2 * overlap + smooth) / (both + smooth))
  entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
  return tf.stack([tf.reduce_mean(entropy), iou, dice])


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Builds the network; with `options['compile']` XLA compiles its functions."""
  tf.config.threading.set_intra_op_parallelism_threads(options["threads"])
  tf.config.threading.set_inter_op_parallelism_threads(options["threads"])
  if options["device"] == "cpu":
    tf.config.set_visible_devices([], "GPU")
  keras.utils.set_random_seed(problem.seed)
  network = make_network(problem)
  images, masks = problems.make_data(problem)
  x, y = tf.constant(images), tf.constant(masks, tf.int32)
  optimizer = keras.optimizers.Adam(problems.LEARNING_RATE)
  optimizer.build(network.trainable_variables)

  @tf.function(jit_compile=options["compile"])
  def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(losses_of(network(images, training=True), labels))
    gradients = tape.gradient(loss, network.trainable_variables)
    optimizer.apply(gradients)
    return loss

  @tf.function(jit_compile=options["compile"])
  def forward(images: tf.Tensor) -> tf.Tensor:
    return network(images, training=False)

  def train(steps: int) -> float:
    for _ in range(steps):
      loss = step(x, y)
    return float(loss)

  def evaluate(steps: int) -> float:
    for _ in range(steps):
      logits = forward(x)
    return float(tf.reduce_sum(logits))

  seconds = {}
  for name, run in (("train", train), ("evaluate", evaluate)):
    started = time.perf_counter()
    run(1)
    seconds[name] = time.perf_counter() - started
  gpus = tf.config.get_visible_devices("GPU")
  facts = {
    "params": sum(v.shape.num_elements() for v in network.trainable_variables),
    "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
    "device": gpus[0].name if gpus else "cpu",
    "first_step_seconds": seconds,
  }
  return Session(facts, {"train": train, "evaluate": evaluate})
