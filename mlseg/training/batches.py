"""The arrays that a step reads, from the device or in chunks from the host."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mlseg.data import augmentation, padding, partial, pipeline
from mlseg.data.cases import Cases
from mlseg.devices import sharding
from mlseg.recipe.experiment import Experiment


class Batch(NamedTuple):
  """The cases of a step: all that a network and its losses may read.

  The same fields, without augmentation, hold a whole data set (N cases instead of B) and a chunk of
  steps ([S, B] instead of B); images are uint8 there.
  """

  images: Any  # [B, H, W, I] float32 in [0, 1]
  masks: Any  # [B, H, W] uint8, classes
  labels: Any = None  # [B] int32, diagnoses; or [B, L] int32, 0 or 1, findings
  distances: Any = None  # [B, H, W, C] float32, to the boundaries, where a loss reads them
  instances: Any = None  # [B, H, W] integers, the number of an object, where a loss reads them
  textures: Any = None  # [B] float32, statistic of a lesion's texture, where a loss reads it
  covariates: Any = None  # [B, K] float32, NaN: not known; where the network reads them
  valid: Any = None  # [B, H, W] bool, which pixels count; None: all
  keys: Any = None  # [B] typed keys, of which a network that draws numbers in training takes one


# Folded into the key of a step's batch for `Batch.keys`: far from the small numbers of others.
_OF_NETWORK = 2**31 - 1


class Data(NamedTuple):
  """A whole data set on the device, and the cases that a model is trained on."""

  cases: Batch  # N cases
  train: Any = None  # [n] int32
  groups: Any = None  # [n] int32, of `sampling.groups`, where these are equally frequent
  hidden: Any = None  # of `partial.Hidden`, what the model is not shown; None: it sees all


class Chunk(NamedTuple):
  """The batches of some steps, brought from the host where the device cannot hold the data."""

  batches: Batch  # [S, B] cases
  start: Any  # [] int32, the step of the first batch


def cases_of(cases: Cases) -> Batch:
  """Returns the arrays of a data set."""
  found = {name: getattr(cases, name) for name in Batch._fields if hasattr(cases, name)}
  return Batch(**(found | {"labels": cases.diagnoses, "covariates": cases.network_covariates}))


def hidden_from(batch: Batch, hidden: partial.Hidden) -> Batch:
  """Returns a batch without the masks and diagnoses that are hidden of its cases."""
  masks, labels = partial.without(batch.masks, batch.labels, hidden.masks, hidden.labels)
  return batch._replace(masks=masks, labels=labels)


def order_key(key: jax.Array) -> jax.Array:
  """Returns the key of the order of the cases, from the key that `batch_at` gets."""
  return jax.random.split(key)[0]


def make_batch_at(
  experiment: Experiment,
  has_unlabelled: bool = False,
) -> Callable[[Data | Chunk, jax.Array, jax.Array], Batch]:
  """Returns `batch_at(data, key, step) -> Batch`, augmented, for the compiled step.

  A data set on the device and chunks from the host give the same batches.

  Args:
    experiment: the recipe.
    has_unlabelled: whether masks have pixels whose class is not known.
  """
  recipe = experiment.data
  options: dict[str, Any] = dict(
    experiment.augmentation, patch=recipe.patch_size, slices=recipe.num_slices
  )
  flips = {name: options[name] for name in ("flip_horizontal", "flip_vertical")}

  def batch_at(data: Data | Chunk, key: jax.Array, step: jax.Array) -> Batch:
    if isinstance(data, Chunk):
      index, source = step - data.start, data.batches
    else:
      size = experiment.batch_size
      index = pipeline.batch_indices(data.train, order_key(key), step, size, data.groups)
      source = data.cases
    chosen: Batch = jax.tree.map(lambda array: array[index], source)
    if isinstance(data, Data) and data.hidden is not None:
      own = jax.tree.map(lambda array: array[index], data.hidden)
      chosen = hidden_from(chosen, own)
    key = jax.random.fold_in(jax.random.split(key)[1], step)
    images, masks, instances, distances = (
      chosen.images, chosen.masks, chosen.instances, chosen.distances
    )  # fmt: skip
    if instances is None:
      images, masks = augmentation.augment(key, images, masks, **options)
    else:  # one map of both numbers, so that they stay together
      both = instances.astype(jnp.int32) * 256 + masks
      images, both = augmentation.augment(key, images, both, **options)
      instances, masks = both // 256, (both % 256).astype(jnp.uint8)
    if distances is not None:
      (distances,) = augmentation.flip(key, distances, **flips)
    batch = chosen._replace(
      images=images,
      masks=masks,
      instances=instances,
      distances=distances,
      valid=padding.counted(masks) if recipe.has_volumes or has_unlabelled else None,
      keys=_network_keys(key, len(masks)) if experiment.network.is_random else None,
    )
    return sharding.split_batch(batch)

  return batch_at


def _network_keys(key: jax.Array, count: int) -> jax.Array:
  """Returns [count] keys: one for every case, so that each part of a batch has its own."""
  return jax.random.split(jax.random.fold_in(key, _OF_NETWORK), count)
