"""Layouts of devices, and where a state lies on them."""

from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from mlseg.devices import sharding
from mlseg.devices.sharding import AXES, Layout
from mlseg.errors import UserError


@pytest.mark.parametrize(
  ("devices", "models", "batch", "asked", "expected"),
  [
    (1, 8, 32, {}, (1, 1, 1)),
    (2, 8, 32, {}, (2, 1, 1)),
    (2, 3, 32, {}, (2, 1, 1)),
    (8, 10, 32, {}, (5, 1, 1)),  # two rounds, as on eight
    (8, 1, 32, {}, (1, 8, 1)),
    (8, 1, 12, {}, (1, 6, 1)),  # what divides the batch
    (8, 2, 32, {}, (2, 4, 1)),
    (8, 2, 32, {"data": 2}, (2, 2, 1)),
    (8, 4, 32, {"model": 4}, (2, 1, 4)),
    (8, 4, 32, {"seed": 1, "data": 2, "model": 2}, (1, 2, 2)),
  ],
)
def test_devices_go_to_the_models_first_then_to_the_batch(devices, models, batch, asked, expected):
  assert sharding.plan(devices, models, batch, **asked) == Layout(*expected)


@pytest.mark.parametrize(
  ("asked", "message"),
  [
    ({"seed": 4, "data": 4}, "config.mesh asks for 4 × 4 × 1 devices"),
    ({"data": 3}, "must divide the batch of 32"),
    ({"model": 0}, "config.mesh.model must be at least 1, not 0"),
    ({"data": -1}, "config.mesh.data must not be negative, not -1"),
  ],
)
def test_what_cannot_be_is_refused(asked, message):
  with pytest.raises(UserError, match=message):
    sharding.plan(8, 2, 32, **asked)


def test_large_arrays_are_split_over_model_where_they_divide():
  mesh = AbstractMesh((2, 1, 4), AXES)
  shapes = {
    "kernel": jax.ShapeDtypeStruct((6, 3, 3, 64, 128), jnp.float32),
    "odd": jax.ShapeDtypeStruct((6, 4097), jnp.float32),
    "bias": jax.ShapeDtypeStruct((6, 128), jnp.float32),
    "step": jax.ShapeDtypeStruct((6,), jnp.int32),
  }
  specs = {name: where.spec for name, where in sharding.state_shardings(shapes, mesh).items()}
  assert specs["kernel"] == PartitionSpec("seed", None, None, None, "model")
  assert specs["odd"] == PartitionSpec("seed", None)
  assert specs["bias"] == PartitionSpec("seed", None)
  assert specs["step"] == PartitionSpec("seed")


def test_outside_a_mesh_nothing_is_placed():
  batch = {"images": jnp.ones((4, 2))}
  assert sharding.split_batch(batch) is batch
  assert sharding.gather(batch) is batch


def test_host_arrays_are_put_on_the_mesh_unchanged():
  mesh = sharding.make_mesh(Layout(1, 1, 1))
  assert mesh.axis_names == AXES
  tree = {"a": np.arange(6.0).reshape(2, 3), "b": np.int32(4)}
  placed = sharding.place(tree, sharding.everywhere(mesh))
  assert placed["a"].sharding.is_equivalent_to(sharding.everywhere(mesh), 2)
  jax.tree.map(np.testing.assert_array_equal, placed, tree)
  by_model = sharding.place(tree["a"], sharding.by_model(mesh))
  assert by_model.sharding.spec == PartitionSpec("seed")


def test_alone_a_process_waits_for_nobody():
  assert sharding.is_main()
  assert sharding.largest(3) == 3
  sharding.wait_for_all("test")


class _Memory(NamedTuple):
  temp_size_in_bytes: int
  argument_size_in_bytes: int = 30
  output_size_in_bytes: int = 20
  alias_size_in_bytes: int = 10


@pytest.mark.parametrize(
  ("limit", "temporary", "expected"),
  [(100, 50, True), (100, 51, False), (None, 10**12, True)],
)
def test_a_program_fits_into_nine_tenths_of_the_memory(limit, temporary, expected):
  class Device:
    process_index = 0

    def memory_stats(self):
      return None if limit is None else {"bytes_limit": limit}

  mesh = SimpleNamespace(devices=np.array([Device()], object))
  compiled = SimpleNamespace(memory_analysis=lambda: _Memory(temporary))
  assert sharding.fits(compiled, mesh) == expected
  assert sharding.fits(SimpleNamespace(memory_analysis=lambda: None), mesh)
