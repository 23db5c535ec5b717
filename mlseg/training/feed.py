"""The source of a group's batches: the devices' memory, or in chunks the host's."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mlseg.data import pipeline, sampling
from mlseg.data.cases import Cases
from mlseg.data.splits.grouped import Split
from mlseg.devices import sharding
from mlseg.recipe.experiment import Experiment
from mlseg.recipe.split import hidden_of
from mlseg.training.batches import Batch, Chunk, Data, cases_of, hidden_from, order_key

_BATCHES = PartitionSpec("seed", None, ("data", "model"))


def make_feed(
  experiment: Experiment, cases: Cases, splits: Sequence[Split], keys: jax.Array, mesh: Mesh
) -> "Resident | Stream":
  """Returns the source of a group's batches, as `config.data.placement` asks for.

  Args:
    experiment: the recipe.
    cases: the data set.
    splits: of each model.
    keys: [M] typed keys of the models' states; models beyond the splits only fill up the mesh.
    mesh: of the devices.
  """
  if experiment.data.placement == "device":
    return Resident(cases, mesh)
  chosen = [splits[min(n, len(splits) - 1)] for n in range(keys.shape[0])]
  return Stream(cases, chosen, keys, mesh, experiment)


def shapes(
  experiment: Experiment, cases: Cases, split: Split, mesh: Mesh, num_models: int
) -> tuple[Any, Any]:
  """Returns shapes, types and shardings of what `batches` and `validation` of the feed return.

  Args:
    experiment: the recipe.
    cases: the data set.
    split: for the sizes of its parts.
    mesh: of the devices.
    num_models: models, those that only fill up the mesh included.
  """
  if experiment.data.placement == "device":
    data = Data(cases_of(cases))
    whole = jax.tree.map(lambda x: _shape((), x, sharding.everywhere(mesh), 0), data)
    return whole, whole
  by_model, where = sharding.by_model(mesh), NamedSharding(mesh, _BATCHES)
  size = num_models, experiment.log_every, experiment.batch_size
  starts = jax.ShapeDtypeStruct((num_models,), np.int32, sharding=by_model)
  chunk = Chunk(jax.tree.map(lambda x: _shape(size, x, where), cases_of(cases)), starts)
  count = num_models, len(split.validation)
  part = jax.tree.map(lambda x: _shape(count, x, by_model), _validation_part(cases))
  return chunk, Data(part)


def _validation_part(cases: Cases) -> Batch:
  """Returns the arrays of a data set that a validation reads."""
  return cases_of(cases)._replace(distances=None)


def _shape(
  leading: tuple[int, ...], like: np.ndarray, where: NamedSharding, skip: int = 1
) -> jax.ShapeDtypeStruct:
  """Returns the shape of entries of an array, with other axes in front of them."""
  return jax.ShapeDtypeStruct((*leading, *like.shape[skip:]), like.dtype, sharding=where)


class Resident:
  """A data set that every device holds whole; the compiled program gathers its batches."""

  def __init__(self, cases: Cases, mesh: Mesh):
    self._data = sharding.place(Data(cases_of(cases)), sharding.everywhere(mesh))

  def batches(self, step: int) -> Data:
    """Returns the data that the steps from this one on read."""
    del step
    return self._data

  def prepare(self, step: int) -> None:
    """Does nothing: all data are on the devices."""

  def validation(self) -> Data:
    """Returns the data that a validation reads."""
    return self._data


class Stream:
  """Chunks of batches from the host, the same batches as those of `Resident`.

  A process reads and sends only the examples that its devices work on.

  Args:
    cases: the data set, in the host's memory.
    splits: of each model, those included that only fill up the mesh.
    keys: [M] typed keys, of the models' states.
    mesh: of the devices.
    experiment: the recipe, for the size of a batch, that of a chunk (`log_every` batches), how
      cases are drawn, and what is hidden of them.
  """

  def __init__(
    self,
    cases: Cases,
    splits: Sequence[Split],
    keys: jax.Array,
    mesh: Mesh,
    experiment: Experiment,
  ):
    self._arrays, self._part, self._mesh = cases_of(cases), _validation_part(cases), mesh
    self._batch_size, self._chunk = experiment.batch_size, experiment.log_every
    recipe, parts = experiment.data, [split.train for split in splits]
    self._train = np.stack(parts).astype(np.int32)
    self._groups = _stacked([sampling.groups(recipe.sampling, cases, own) for own in parts])
    self._hidden = _stacked([hidden_of(recipe, cases, own) for own in parts])
    self._validation = np.stack([split.validation for split in splits])
    self._keys = np.asarray(jax.random.key_data(keys))
    self._order = jax.jit(jax.vmap(_order_of_epoch, (0, 0, 0, None)))
    self._orders: tuple[int, np.ndarray] = -1, np.zeros(0)
    self._hide = jax.jit(hidden_from)
    self._ready: tuple[int, Chunk | None] = -1, None

  def batches(self, step: int) -> Chunk:
    """Returns the batches of the steps from this one on, up to the end of its epoch."""
    self.prepare(step)
    chunk = self._ready[1]
    assert chunk is not None
    return chunk

  def prepare(self, step: int) -> None:
    """Reads and sends a chunk ahead of its use, while the devices are at work."""
    if self._ready[0] == step:
      return
    per_epoch = self._train.shape[1] // self._batch_size
    epoch, first = divmod(step, per_epoch)
    if self._orders[0] != epoch:
      order = self._order(self._keys, self._train, self._groups, np.int32(epoch))
      self._orders = epoch, np.asarray(order)
    steps = np.minimum(first + np.arange(self._chunk), per_epoch - 1)  # beyond the end: not used
    positions = steps[:, None] * self._batch_size + np.arange(self._batch_size)
    index = self._orders[1][:, positions]  # [M, S, B]
    starts = np.full(len(index), step, np.int32)
    where = NamedSharding(self._mesh, _BATCHES)
    batches = jax.tree.map(lambda array: self._gather(array, index, where), self._arrays)
    if self._hidden is not None:
      models = np.arange(len(index))[:, None, None]
      hidden = jax.tree.map(lambda array: array[models, index], self._hidden)
      batches = self._hide(batches, sharding.place(hidden, where))
    chunk = Chunk(batches, sharding.place(starts, sharding.by_model(self._mesh)))
    self._ready = step, chunk

  def validation(self) -> Data:
    """Returns the validation parts of all models, [M, v, ...]."""
    where = sharding.by_model(self._mesh)
    return Data(
      jax.tree.map(lambda array: self._gather(array, self._validation, where), self._part)
    )

  def _gather(self, source: np.ndarray, index: np.ndarray, where: NamedSharding) -> jax.Array:
    """Returns source[index] on the devices, of which each gets its part only."""
    shape = index.shape + source.shape[1:]
    ndim = index.ndim

    def read(part: Any) -> np.ndarray:
      return source[index[part[:ndim]]]

    return jax.make_array_from_callback(shape, where, read)


def _stacked(of_models: Sequence[Any]) -> Any:
  """Returns what each model has of its own as arrays [M, ...]; None where none has any."""
  known = [own for own in of_models if own is not None]  # of all models or of none
  return jax.tree.map(lambda *leaves: np.stack(leaves), *known) if known else None


def _order_of_epoch(
  key: jax.Array, train: jax.Array, groups: jax.Array | None, epoch: jax.Array
) -> jax.Array:
  state_key = jax.random.wrap_key_data(key)
  data_key = jax.random.split(state_key)[0]  # as `train_step.make_run` takes it
  return pipeline.epoch_order(train, order_key(data_key), epoch, groups)
