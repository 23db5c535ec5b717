"""TODO mlseg.recipe.data."""

from collections.abc import Sequence

import numpy as np
from ml_collections import ConfigDict

from mlseg.data import cases, targets
from mlseg.data.splits import cross_validation, grouped
from mlseg.errors import UserError, require, unknown, user_errors
from mlseg.recipe import properties
from mlseg.recipe.properties import TEXTURE, max_objects, uses_distances, uses_textures


def make_cases(configs: Sequence[ConfigDict]) -> cases.Cases:
  """Returns the preprocessed data set, with distances or objects where a loss reads them.

  Args:
    configs: the recipes, of one data set.
  """
  options = configs[0].data
  rule = "config.data.patch_size must be 0, or at least 8"
  require(options.patch_size == 0 or options.patch_size >= 8, rule, options.patch_size)
  own = None
  if options.name in cases.OPTIONS:
    with user_errors(f"config.data.{options.name}"):
      own = cases.OPTIONS[options.name](**dict(options.get(options.name, {})))
  loaded = cases.load(
    options.name,
    root=options.root,
    image_size=0 if options.patch_size else options.image_size,
    diameter=options.diameter,
    sigma_space=options.sigma_space,
    sigma_intensity=options.sigma_intensity,
    options=own,
  )
  if count := max(map(max_objects, configs)):
    numbers = targets.number_objects(loaded.masks, count, loaded.objects)
    loaded = loaded._replace(instances=numbers)
  if any(map(uses_textures, configs)):
    statistic = configs[0].loss_options[TEXTURE].statistic
    with user_errors(f"config.loss_options.{TEXTURE}"):
      slices = properties.num_slices(configs[0])
      values = targets.statistics(loaded.images, loaded.masks, statistic, slices)
    loaded = loaded._replace(textures=values)
  if not any(map(uses_distances, configs)):
    return loaded
  maps = targets.signed_distances(loaded.masks, len(loaded.class_names))
  return loaded._replace(distances=maps)


PUBLISHED = "published"  # a split whose test part came with the data


SPLITS = (*grouped.METHODS, PUBLISHED)


def find_near_duplicates(config: ConfigDict, data: cases.Cases) -> list[tuple[int, int, int]]:
  """Returns the pairs of pictures that a split keeps together, and in how many bits they differ."""
  if config.data.name != cases.FOLDER:
    return grouped.near_duplicates(data.hashes, data.duplicate_bits)
  bits, most = config.data.folder.duplicate_bits, data.hashes.shape[1]
  require(-1 <= bits <= most, f"config.data.folder.duplicate_bits must be -1 to {most}", bits)
  return grouped.near_duplicates(data.hashes, bits)


def make_split(
  config: ConfigDict, data: cases.Cases, groups: np.ndarray | None, seed: int
) -> grouped.Split:
  """Returns which cases a seed trains on, validates on and is tested on.

  Raises:
    UserError: the training part is smaller than a batch.
  """
  options = config.data
  if options.split not in SPLITS:
    raise unknown("split", options.split, SPLITS)
  split_seed = options.split_seed + (seed if options.resplit else 0)
  if options.split == PUBLISHED:
    split = _published(options, data, split_seed)
  elif options.num_folds:
    split = _fold(options, data, groups, seed, split_seed)
  else:
    split = grouped.split(
      data.labels,
      groups,
      fractions=tuple(options.fractions),
      seed=split_seed,
      method=options.split,
    )
  if len(split.train) < config.batch_size:
    raise UserError(
      f"config.batch_size {config.batch_size} is larger than the training set"
      f" of {len(split.train)} cases"
    )
  return split


def _published(options: ConfigDict, data: cases.Cases, split_seed: int) -> grouped.Split:
  """Returns the parts of a data set that was published with a test part."""
  if data.is_test is None:
    raise UserError(
      f"config.data.split {PUBLISHED!r}: the data set {options.name!r} has no published test part"
    )
  require(not options.num_folds, f"config.data.num_folds must be 0 with split={PUBLISHED!r}",
          options.num_folds)  # fmt: skip
  part = _validation(options)
  return cross_validation.published(
    data.labels, None, data.is_test, seed=split_seed, validation=part
  )


def _validation(options: ConfigDict) -> float:
  """Returns the part of what is not tested that validates."""
  train, validation, _ = options.fractions
  return validation / (train + validation)


def _fold(
  options: ConfigDict, data: cases.Cases, groups: np.ndarray | None, seed: int, split_seed: int
) -> grouped.Split:
  """Returns the parts of a fold of a cross-validation: `config.data.fold`, or the seed's."""
  count, fold = options.num_folds, options.fold
  require(count >= 2, "config.data.num_folds must be 0 or at least 2", count)
  require(-1 <= fold < count, f"config.data.fold must be -1 to {count - 1}", fold)
  if fold == -1:  # all folds must be of one division
    fold, split_seed = seed % count, options.split_seed
  kept = groups if options.split == "grouped" else None
  part = _validation(options)
  return cross_validation.folds(data.labels, kept, count, seed=split_seed, validation=part)[fold]
