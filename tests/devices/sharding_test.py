"""Layouts of devices, and where a state lies on them."""

import jax
import jax.numpy as jnp
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
  ("asked", "said"),
  [
    ({"seed": 4, "data": 4}, "config.mesh asks for 4 × 4 × 1 devices"),
    ({"data": 3}, "must divide the batch of 32"),
    ({"model": 0}, "config.mesh.model must be at least 1, not 0"),
    ({"data": -1}, "config.mesh.data must not be negative, not -1"),
  ],
)
def test_what_cannot_be_is_refused(asked, said):
  with pytest.raises(UserError, match=said):
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
