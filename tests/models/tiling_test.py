"""Tiles cover a picture, and their blend is the mean that a loop over pixels gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlseg.models import HistologyFCN, Outputs, from_linen
from mlseg.models.base import Model
from mlseg.models.tiling import FLOOR, SIGMA, tile_starts, tiled


@given(st.integers(1, 300), st.integers(1, 64), st.floats(0, 0.95))
def test_tiles_cover_the_axis_and_overlap(extra, size, overlap):
  length = size + extra
  starts = tile_starts(length, size, overlap)
  assert starts[0] == 0
  assert starts[-1] == length - size
  steps = np.diff(starts)
  assert (steps > 0).all()
  assert steps.max() <= max(1, np.ceil(size * (1 - overlap)))


def _local(images, size):
  """A network without a view beyond a pixel: untiled and tiled must agree."""
  regions = jnp.concatenate([images, images**2], -1)
  return Outputs(regions, images.mean((1, 2)), regions)


def _model(function):
  def apply(variables, images, train, *truth):
    return function(images, images.shape[1]), {}

  return Model(lambda key, images: {"params": {}}, apply)


@pytest.mark.parametrize("shape", [(23, 31), (8, 8), (8, 20), (5, 30), (3, 4)])
def test_a_network_of_single_pixels_gives_the_same_tiled(shape):
  images = jax.random.uniform(jax.random.key(0), (2, *shape, 3))
  model = tiled(_model(_local), 8, 0.5)
  outputs, state = jax.jit(lambda x: model.apply({"params": {}}, x, False))(images)
  np.testing.assert_allclose(outputs.logits, _local(images, 8).logits, rtol=1e-5, atol=1e-6)
  assert outputs.class_logits.shape == (2, 3)
  assert state == {}


def test_a_patch_in_training_is_given_what_the_network_is_given():
  def apply(variables, images, train, *truth, key=None):
    return Outputs(images), {"truth": truth, "key": key}

  model = tiled(Model(lambda key, images: {"params": {}}, apply), 8)
  _, state = model.apply({"params": {}}, jnp.zeros((1, 16, 16, 1)), True, 3, key=7)
  assert state == {"truth": (3,), "key": 7}


def test_a_constant_field_stays_one():
  model = tiled(_model(lambda x, size: Outputs(jnp.full((*x.shape[:3], 2), 0.7))), 16, 0.25)
  outputs, _ = model.apply({"params": {}}, jnp.zeros((1, 37, 50, 1)), False)
  np.testing.assert_allclose(outputs.logits, 0.7, rtol=1e-6)
  assert outputs.class_logits is None


def test_tiles_are_blended_by_gaussians():
  def corner(images, size):  # every tile scores its first pixel
    value = images[:, :1, :1, :]
    return Outputs(jnp.broadcast_to(value, (*images.shape[:3], 1)), value[:, 0, 0])

  images = jnp.arange(12 * 10, dtype=jnp.float32).reshape(1, 12, 10, 1)
  outputs, _ = tiled(_model(corner), 6, 0.5).apply({"params": {}}, images, False)
  middle = (np.arange(6) + 0.5 - 3) / 6
  line = np.exp(-(middle**2) / (2 * SIGMA**2))
  window = np.maximum(line[:, None] * line, FLOOR)
  sums, weights, values = np.zeros((12, 10)), np.zeros((12, 10)), []
  for row in tile_starts(12, 6, 0.5):
    for column in tile_starts(10, 6, 0.5):
      values.append(float(images[0, row, column, 0]))
      sums[row : row + 6, column : column + 6] += values[-1] * window
      weights[row : row + 6, column : column + 6] += window
  np.testing.assert_allclose(outputs.logits[0, ..., 0], sums / weights, rtol=1e-5)
  np.testing.assert_allclose(outputs.class_logits, [[np.mean(values)]], rtol=1e-5)


@pytest.mark.slow
def test_in_training_and_at_its_own_size_it_is_the_network_itself():
  net = from_linen(HistologyFCN(2, 2, depth=1, filters=2), HistologyFCN.classify)
  model = tiled(net, 12)
  variables = model.init(jax.random.key(0), jnp.zeros((1, 40, 30, 1)))
  images = jax.random.uniform(jax.random.key(1), (2, 12, 12, 1))
  for train in (False, True):
    actual, expected = (one.apply(variables, images, train) for one in (model, net))
    jax.tree.map(np.testing.assert_array_equal, actual, expected)
  larger = jax.random.uniform(jax.random.key(1), (2, 25, 18, 1))
  outputs, state = model.apply(variables, larger, False)
  assert outputs.logits.shape == (2, 25, 18, 2)
  assert outputs.features is None
  jax.tree.map(np.testing.assert_array_equal, state["batch_stats"], variables["batch_stats"])
  assert model.classify(variables, jnp.ones((1, 3, 3, 4))).shape == (1, 2)
