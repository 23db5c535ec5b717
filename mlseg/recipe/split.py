"""The parts of a data set that a seed trains on, validates on and is tested on."""

import pathlib
from collections.abc import Iterable

import numpy as np

from mlseg.data import multilabel, partial, sampling
from mlseg.data.cases import Cases
from mlseg.data.splits import cross_validation, grouped, split_table
from mlseg.errors import UserError, require
from mlseg.recipe.data import FILE, LEAVE_OUT, PUBLISHED, DataRecipe
from mlseg.recipe.loss_table import LOSSES


def make_split(
  recipe: DataRecipe, batch_size: int, data: Cases, groups: np.ndarray | None, seed: int
) -> grouped.Split:
  """Returns the cases that a seed trains on, validates on and is tested on.

  Cases without a mask or a diagnosis are for training alone: those whose group has a case to
  validate or to test are left out.

  Args:
    recipe: the data.
    batch_size: of the training.
    data: from `load_cases`.
    groups: [N], the same number for cases that must stay together; None: every case is its own.
    seed: of the model.

  Raises:
    UserError: the training part is smaller than a batch.
  """
  kept = np.flatnonzero(partial.is_complete(data.masks, data.diagnoses))
  split = _split(recipe, _only(data, kept), None if groups is None else groups[kept], seed)
  split = grouped.Split(*(kept[part].astype(np.int32) for part in split))
  if recipe.partly_labelled == LEAVE_OUT:
    hidden = _hidden(recipe, data, split.train)
    split = split._replace(train=split.train[~(hidden.masks | hidden.labels)[split.train]])
  else:
    useful = np.flatnonzero(partial.is_useful(data.masks, data.diagnoses))
    split = split._replace(train=_with_partial(split, kept, useful, groups))
  if len(split.train) < batch_size:
    raise UserError(
      f"config.batch_size {batch_size} is larger than the training set of {len(split.train)} cases"
    )
  return split


def hidden_of(recipe: DataRecipe, data: Cases, train: np.ndarray) -> partial.Hidden | None:
  """Returns what a model is not shown of its training cases; None: it sees all there is.

  Args:
    recipe: the data.
    data: from `load_cases`.
    train: [n], the training cases.
  """
  if not recipe.hides or recipe.partly_labelled == LEAVE_OUT:
    return None
  return _hidden(recipe, data, train)


def _hidden(recipe: DataRecipe, data: Cases, train: np.ndarray) -> partial.Hidden:
  """Returns the masks and diagnoses to hide, of training cases that have both."""
  complete = train[partial.is_complete(data.masks, data.diagnoses)[train]]
  return partial.hide(complete, len(data.ids), recipe.hide_masks, recipe.hide_diagnoses)


def _split(recipe: DataRecipe, data: Cases, groups: np.ndarray | None, seed: int) -> grouped.Split:
  """Returns the parts of cases that all have a mask and a diagnosis."""
  if data.findings is not None:
    least = multilabel.least_cases(recipe.fractions, recipe.num_folds)
    data = data._replace(labels=multilabel.strata(data.findings, least))
  split_seed = recipe.split_seed + (seed if recipe.resplit else 0)
  if recipe.split == PUBLISHED:
    return _published(recipe, data, split_seed)
  if recipe.split == FILE:
    return _of_file(recipe, data, groups, seed, split_seed)
  if recipe.num_folds:
    return _fold(recipe, data, groups, seed, split_seed)
  return grouped.split(
    data.labels,
    groups,
    fractions=recipe.fractions,
    seed=split_seed,
    method=recipe.split,
  )


def _only(data: Cases, kept: np.ndarray) -> Cases:
  """Returns the cases of some indices, as far as a split reads them."""
  if len(kept) == len(data.ids):
    return data
  return data._replace(
    ids=tuple(data.ids[n] for n in kept),
    labels=data.labels[kept],
    findings=None if data.findings is None else data.findings[kept],
    is_test=None if data.is_test is None else data.is_test[kept],
    patient_names=tuple(data.patient_names[n] for n in kept) if data.patient_names else (),
  )


def _with_partial(
  split: grouped.Split, complete: np.ndarray, useful: np.ndarray, groups: np.ndarray | None
) -> np.ndarray:
  """Returns the training cases and those that lack something, in ascending order."""
  lacking = np.setdiff1d(useful, complete)
  if groups is not None:
    held_out = groups[np.concatenate([split.validation, split.test])]
    lacking = lacking[~np.isin(groups[lacking], held_out)]
  return np.sort(np.concatenate([split.train, lacking])).astype(np.int32)


def _published(recipe: DataRecipe, data: Cases, split_seed: int) -> grouped.Split:
  """Returns the parts of a data set that was published with a test part."""
  if data.is_test is None:
    raise UserError(
      f"config.data.split {PUBLISHED!r}: the data set {recipe.name!r} has no published test part"
    )
  part = _validation_share(recipe)
  return cross_validation.published(
    data.labels, None, data.is_test, seed=split_seed, validation=part
  )


def _of_file(
  recipe: DataRecipe, data: Cases, groups: np.ndarray | None, seed: int, split_seed: int
) -> grouped.Split:
  """Returns the parts of a table; of folds, `config.data.fold` or the seed's is tested."""
  division = split_table.read(pathlib.Path(recipe.split_file), data.ids, data.patient_names)
  fold = recipe.fold
  if division.column == "fold" and fold == -1:  # validation parts must be of one drawing
    fold, split_seed = seed % len(division.folds), recipe.split_seed
  return split_table.split(
    division,
    data.labels,
    groups,
    fold=fold,
    seed=split_seed,
    validation=_validation_share(recipe),
  )


def _validation_share(recipe: DataRecipe) -> float:
  """Returns the share of the cases outside the test part that validates."""
  train, validation, _ = recipe.fractions
  return validation / (train + validation)


def _fold(
  recipe: DataRecipe, data: Cases, groups: np.ndarray | None, seed: int, split_seed: int
) -> grouped.Split:
  """Returns the parts of one fold of a cross-validation: `config.data.fold`, or the seed's."""
  fold = recipe.fold
  if fold == -1:  # all folds must be of one division
    fold, split_seed = seed % recipe.num_folds, recipe.split_seed
  kept = groups if recipe.split == "grouped" else None
  part = _validation_share(recipe)
  folds = cross_validation.folds(
    data.labels, kept, recipe.num_folds, seed=split_seed, validation=part
  )
  return folds[fold]


def check_partial(recipe: DataRecipe, losses: Iterable[str], num_microbatches: int) -> None:
  """Raises a UserError where a recipe cannot be trained on cases that lack a mask or a diagnosis.

  Args:
    recipe: the data.
    losses: names.
    num_microbatches: of the training.
  """
  set_keys = [name for name in ("hide_masks", "hide_diagnoses") if getattr(recipe, name)]
  set_keys += ["folder.missing"] if getattr(recipe.options, "missing", False) else []
  if not set_keys:
    return
  key = set_keys[0]
  for name in losses:
    if LOSSES[name].reads in ("embeddings", "detections", "texture"):
      raise UserError(f"config.losses: {name!r} needs the masks and diagnoses of all cases, which"
                      f" config.data.{key} does not give")  # fmt: skip
  rule = f"config.data.sampling must be 'shuffle' with config.data.{key}: it reads what is missing"
  require(recipe.sampling == sampling.SHUFFLE, rule, recipe.sampling)
  rule = f"config.num_microbatches must be 1 with config.data.{key}: a mean is over labelled cases"
  require(num_microbatches == 1, rule, num_microbatches)
