"""A toy of what is trained: a few cases, a recipe, and a network of one linear layer."""

import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mlseg.data.cases import Cases
from mlseg.models import Model, Outputs
from mlseg.recipe import experiment, parse

SMOKE = pathlib.Path(__file__).parents[2] / "configs" / "smoke.py"
SIZE = 8
SETTINGS = (
  f"data.image_size={SIZE}", "model.depth=1", "batch_size=4", "num_epochs=2",
  "metrics.surface=False", "optimizer.name=sgd", "optimizer.learning_rate=0.1",
)  # fmt: skip


def make_cases(count: int = 24, num_labels: int = 2) -> Cases:
  """Returns cases with a bright rectangle on a dark ground."""
  rng = np.random.default_rng(0)
  masks = np.zeros((count, SIZE, SIZE), np.uint8)
  for mask in masks:
    top, left = rng.integers(0, SIZE - 3, 2)
    mask[top : top + 3, left : left + 3] = 1
  images = (80 + 90 * masks + rng.integers(0, 60, masks.shape))[..., None].astype(np.uint8)
  return Cases(
    images=images,
    masks=masks,
    labels=np.arange(count, dtype=np.int32) % num_labels,
    hashes=rng.integers(0, 2, (count, 256)).astype(bool),
    ids=tuple(f"case {n}" for n in range(count)),
    class_names=("background", "lesion"),
    label_names=("benign", "malignant", "normal")[:num_labels],
    fingerprint="made",
  )


def make_experiment(
  *settings: str,
  classifies: bool = False,
  keys: Mapping[str, Any] | None = None,
  **prediction: Any,
) -> experiment.Experiment:
  """Returns the smoke recipe at the size of these cases, with a linear network.

  Args:
    settings: more of it, as `key=value`.
    classifies: whether the network says diagnoses too.
    keys: values of keys that its file has not, by their dotted names.
    prediction: keys of `config.prediction`, which the recipe has not.
  """
  flags = [f"--config.{setting}" for setting in (*SETTINGS, *settings)]
  content = parse.content(["", f"--config={SMOKE}", *flags])
  content["prediction"] |= prediction
  for path, value in (keys or {}).items():
    section, _, name = path.rpartition(".")
    (content[section] if section else content)[name] = value
  recipe = experiment.read(content)
  heads = recipe.network.heads | ({"classification"} if classifies else set())
  network = recipe.network._replace(
    heads=frozenset(heads),
    make=lambda num_classes, num_labels: linear(num_classes, num_labels * classifies),
  )
  return recipe._replace(network=network)


def linear(num_classes: int, num_labels: int = 0) -> Model:
  """Returns a network that sees one pixel at a time, and the mean of an image for its diagnosis.

  Its state is a running mean of the images, as that of batch normalisation is.
  """

  def init(key: jax.Array, images: jax.Array) -> dict:
    first, second = jax.random.split(key)
    channels = images.shape[-1]
    params = {
      "pixels": 0.1 * jax.random.normal(first, (channels, num_classes)),
      "bias": jnp.zeros(num_classes),
    }
    if num_labels:
      params["labels"] = 0.1 * jax.random.normal(second, (channels, num_labels))
    return {"params": params, "batch_stats": {"mean": jnp.zeros(())}}

  def classify(variables: dict, features: jax.Array) -> jax.Array:
    return features.mean((1, 2)) @ variables["params"]["labels"]

  def apply(variables: dict, images: jax.Array, train: bool) -> tuple[Outputs, dict]:
    params, mean = variables["params"], variables["batch_stats"]["mean"]
    mean = 0.9 * mean + 0.1 * images.mean() if train else mean
    logits = images @ params["pixels"] + params["bias"]
    class_logits = classify(variables, images) if num_labels else None
    outputs = Outputs(logits=logits, class_logits=class_logits, features=images)
    return outputs, {"batch_stats": {"mean": mean}}

  return Model(init, apply, classify if num_labels else None)
