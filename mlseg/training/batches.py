"""What a step reads, on the device or in chunks from the host; sees the config, as `builders`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mlseg.data import augmentation, padding, pipeline
from mlseg.devices import sharding
from mlseg.recipe.properties import has_volumes, num_slices


class Data(NamedTuple):
  """What the compiled program reads: the whole data set, arrays of the host or the device."""

  images: Any  # [N, H, W, I] uint8
  masks: Any  # [N, H, W] uint8, classes
  labels: Any = None  # [N] int32, diagnoses
  train: Any = None  # [n] int32, which cases to train on
  distances: Any = None  # [N, H, W, C] float32, where a loss reads them
  instances: Any = None  # [N, H, W] uint8, the number of an object, where a loss reads them
  textures: Any = None  # [N] float32, how rough a lesion is, where a loss reads it


class Batch(NamedTuple):
  """What the losses of a step read."""

  images: jax.Array  # [B, H, W, I] float32 in [0, 1]
  masks: jax.Array  # [B, H, W] uint8, classes
  labels: jax.Array | None = None  # [B] int32, diagnoses
  distances: jax.Array | None = None  # [B, H, W, C] float32, where a loss reads them
  instances: jax.Array | None = None  # [B, H, W] integers, where a loss reads them
  valid: jax.Array | None = None  # [B, H, W] bool, which pixels count; None: all
  textures: jax.Array | None = None  # [B] float32, where a loss reads them


class Chunk(NamedTuple):
  """The batches of some steps, brought from the host; what `Data` is where that does not fit."""

  images: Any  # [S, B, H, W, I] uint8
  masks: Any  # [S, B, H, W] uint8, classes
  labels: Any  # [S, B] int32
  start: Any  # [] int32, the step of the first batch
  distances: Any = None  # [S, B, H, W, C] float32, where a loss reads them
  instances: Any = None  # [S, B, H, W] uint8, where a loss reads them
  textures: Any = None  # [S, B] float32, where a loss reads them


def order_key(key: jax.Array) -> jax.Array:
  """Returns the key of the order of the cases, from the one that `batch_at` gets."""
  return jax.random.split(key)[0]


def make_batch_at(
  config: ConfigDict,
) -> Callable[[Data | Chunk, jax.Array, jax.Array], Batch]:
  """Returns `batch_at(data, key, step) -> Batch`, augmented, for the compiled step.

  A data set on the device and chunks from the host give the same batches.
  """
  options: dict[str, Any] = dict(
    config.augmentation, patch=config.data.patch_size, slices=num_slices(config)
  )
  flips = {name: options[name] for name in ("flip_horizontal", "flip_vertical")}

  def batch_at(data: Data | Chunk, key: jax.Array, step: jax.Array) -> Batch:
    if isinstance(data, Chunk):
      index = step - data.start
    else:
      index = pipeline.batch_indices(data.train, order_key(key), step, config.batch_size)
    images, masks = data.images[index], data.masks[index]
    labels, textures = (
      None if array is None else array[index] for array in (data.labels, data.textures)
    )
    key = jax.random.fold_in(jax.random.split(key)[1], step)
    instances, maps = None, None
    if data.instances is None:
      images, masks = augmentation.augment(key, images, masks, **options)
    else:  # one map of both numbers, so that they stay together
      both = data.instances[index].astype(jnp.int32) * 256 + masks
      images, both = augmentation.augment(key, images, both, **options)
      instances, masks = both // 256, (both % 256).astype(jnp.uint8)
    if data.distances is not None:
      (maps,) = augmentation.flip(key, data.distances[index], **flips)
    valid = masks != padding.IGNORED if has_volumes(config) else None
    batch = Batch(images, masks, labels, maps, instances, valid, textures)
    return sharding.split_batch(batch)

  return batch_at
