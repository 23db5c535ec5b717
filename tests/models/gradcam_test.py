"""Grad-CAM and Grad-CAM++ of networks whose maps can be worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.models import gradcam


def _made(seed):
  rng = np.random.default_rng(seed)
  features = rng.normal(size=(3, 4, 5, 6)).astype(np.float32)
  weights = rng.normal(size=(6, 2)).astype(np.float32)
  return features, weights, np.array([1, 0, 1])


def test_of_a_linear_head_it_is_the_class_activation_map_over_the_number_of_positions():
  features, weights, labels = _made(0)
  found = gradcam.saliency(lambda a: a.mean((1, 2)) @ weights, jnp.asarray(features), labels)
  # The score is sum_k w_k mean(A_k), so every gradient is w_k / 20, and so is their mean.
  expected = np.maximum(np.einsum("bhwf,bf->bhw", features, weights[:, labels].T / 20), 0)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_the_second_method_equals_its_formula_written_as_loops():
  features, weights, labels = _made(1)
  features = np.abs(features)
  found = gradcam.saliency(
    lambda a: a.mean((1, 2)) @ weights, jnp.asarray(features), labels, "gradcam++"
  )
  expected = np.zeros(features.shape[:3])
  for example, label in enumerate(labels):
    for k in range(6):
      g = weights[k, label] / 20
      alpha = g**2 / (2 * g**2 + features[example, :, :, k].sum() * g**3)
      weight = sum(alpha * max(g, 0) for _ in range(20))
      expected[example] += weight * features[example, :, :, k]
  np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4, atol=1e-6)


def test_an_example_does_not_see_the_others():
  features, weights, labels = _made(2)

  def head(a):
    return jnp.tanh(a).mean((1, 2)) @ weights

  whole = gradcam.saliency(head, jnp.asarray(features), labels, "gradcam++")
  alone = gradcam.saliency(head, jnp.asarray(features[1:2]), labels[1:2], "gradcam++")
  np.testing.assert_allclose(whole[1:2], alone, rtol=1e-5)


@pytest.mark.parametrize("method", gradcam.METHODS)
def test_features_without_influence_give_zeros(method):
  maps = gradcam.saliency(
    lambda a: 0 * a.mean((1, 2)), jnp.ones((2, 3, 3, 4)), np.array([0, 1]), method
  )
  np.testing.assert_array_equal(maps, np.zeros((2, 3, 3)))
  np.testing.assert_array_equal(gradcam.normalised(maps, (8, 8)), np.zeros((2, 8, 8)))


def test_a_map_is_brought_to_the_images_size_with_its_largest_value_1():
  maps = jnp.zeros((2, 4, 4)).at[0, 1, 2].set(5.0).at[1, 0, 0].set(1e-3)
  large = np.asarray(jax.jit(gradcam.normalised, static_argnums=1)(maps, (16, 16)))
  assert large.shape == (2, 16, 16)
  np.testing.assert_allclose(large.max((1, 2)), 1.0)
  rows, columns = np.nonzero(large[0] == large[0].max())
  assert set(rows // 4) == {1}
  assert set(columns // 4) == {2}


def test_an_unknown_method_is_refused():
  with pytest.raises(UserError, match="unknown saliency 'cam': choose from gradcam"):
    gradcam.saliency(lambda a: a.mean((1, 2)), jnp.ones((1, 2, 2, 2)), np.array([0]), "cam")


def test_slices_of_a_volume_are_enlarged_by_themselves():
  maps = np.random.default_rng(3).random((2, 6, 2)).astype(np.float32)  # three slices of 2×2
  large = np.asarray(gradcam.normalised(jnp.asarray(maps), (24, 8), 3))
  single = np.asarray(gradcam.normalised(jnp.asarray(maps.reshape(6, 2, 2)), (8, 8)))
  # The largest value of a whole volume is 1, that of each single map too.
  peaks = jax.image.resize(maps.reshape(6, 2, 2), (6, 8, 8), "bilinear").max((1, 2))
  expected = single * np.asarray(peaks)[:, None, None]
  expected = expected.reshape(2, 24, 8)
  np.testing.assert_allclose(large, expected / expected.max((1, 2), keepdims=True), rtol=1e-5)
