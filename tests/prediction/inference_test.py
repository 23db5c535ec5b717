"""Spreads, flips and sizes of predictions, with networks whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.data import preprocessing
from mlseg.models import Model, Outputs
from mlseg.postprocessing.decision import Decision
from mlseg.prediction import enlarge, inference

SIZE = 8


def _network(rule):
  """Returns a network without parameters but one, whose foreground's logit is a rule."""

  def apply(variables, images, train):
    del train
    score = rule(images[..., 0], variables["params"]["shift"])
    return Outputs(logits=jnp.stack([jnp.zeros_like(score), score], -1)), {}

  return Model(lambda key, images: {"params": {"shift": jnp.zeros(())}}, apply)


def _predict(rule, images, shifts=(0.0,), flips=True, views="one"):
  predict = jax.jit(inference.make_predict(_network(rule), flips, views=views))
  return predict({"params": {"shift": jnp.array(shifts)}}, jnp.asarray(images))


def _images(count=3):
  return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 1), np.uint8)


def test_a_network_that_looks_at_pixels_alone_has_no_flip_spread():
  images = _images()
  result = _predict(lambda grey, shift: 20 * (grey - 0.5 + shift), images)
  np.testing.assert_array_equal(result.flip_spread, 0)
  assert result.seed_spread is None
  expected = 1 / (1 + np.exp(-20 * (images[..., 0] / 255 - 0.5)))
  np.testing.assert_allclose(result.probabilities[..., 1], expected, atol=1e-5)
  assert _predict(lambda grey, shift: grey, images, flips=False).flip_spread is None


def test_a_network_that_always_answers_the_left_half():
  columns = jnp.arange(SIZE) < SIZE // 2
  result = _predict(lambda grey, shift: 0 * grey + jnp.where(columns, 9.0, -9.0), _images())
  # Of the four views two give the left half and two the right one: 4 of 6 pairs do not overlap.
  np.testing.assert_allclose(result.flip_spread, 2 / 3, rtol=1e-6)
  np.testing.assert_array_equal(result.probabilities.argmax(-1)[0], np.tile(columns, (SIZE, 1)))


def test_the_prediction_is_the_mean_over_seeds():
  images, shifts = _images(), (-0.2, 0.0, 0.3)

  def rule(grey, shift):
    return 10 * (grey - 0.5 + shift)

  result = _predict(rule, images, shifts, flips=False)
  single = [_predict(rule, images, (shift,), flips=False).probabilities for shift in shifts]
  np.testing.assert_allclose(result.probabilities, np.mean(single, axis=0), atol=1e-6)
  regions = np.stack([np.asarray(one.argmax(-1)) for one in single]).astype(bool)
  for n in range(len(images)):
    dice = [
      2 * (regions[i, n] & regions[j, n]).sum() / (regions[i, n].sum() + regions[j, n].sum())
      for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert result.seed_spread[n, 1] == pytest.approx(1 - np.mean(dice), abs=1e-6)


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize(("views", "count"), [("one", 1), ("horizontal", 2), ("flips", 4)])
def test_the_probabilities_are_the_mean_over_the_views(views, count, flips):
  images, shifts = _images(), np.array([-0.5, 0.8])
  places = jnp.asarray(np.random.default_rng(1).normal(size=(SIZE, SIZE)))

  def rule(grey, shift):
    return 3 * (grey - 0.5 + shift) + places

  result = _predict(rule, images, shifts, flips, views)
  expected, seeds = [], []
  for shift in shifts:
    probabilities = []
    for axes in ((), (2,), (1,), (1, 2))[:count]:
      scores = np.asarray(rule(np.flip(images[..., 0], axes) / np.float32(255), shift))
      probabilities.append(np.flip(1 / (1 + np.exp(-scores)), axes))
    expected += probabilities
    seeds.append(np.mean(probabilities, axis=0) > 0.5)
  np.testing.assert_allclose(result.probabilities[..., 1], np.mean(expected, axis=0), atol=1e-5)
  assert (result.flip_spread is None) == (not flips)
  dice = 2 * (seeds[0] & seeds[1]).sum((1, 2)) / (seeds[0].sum((1, 2)) + seeds[1].sum((1, 2)))
  np.testing.assert_allclose(result.seed_spread[:, 1], 1 - dice, atol=1e-6)


def test_masks_that_are_both_empty_agree():
  masks = np.zeros((3, 1, 4, 4), int)
  np.testing.assert_array_equal(inference.spread(jnp.asarray(masks), 3), 0)
  masks[0, 0, 0, 0] = 2
  np.testing.assert_allclose(inference.spread(jnp.asarray(masks), 3)[0, 1:], [0, 2 / 3], rtol=1e-6)


def test_restoring_at_the_same_size_changes_nothing():
  probabilities = np.random.default_rng(0).dirichlet(np.ones(3), (16, 16)).astype(np.float32)
  labels, best = enlarge.restore(probabilities, 16, 16)
  np.testing.assert_array_equal(labels, probabilities.argmax(-1))
  np.testing.assert_array_equal(best, probabilities.max(-1))


def test_restoring_is_bilinear_and_the_first_of_equal_classes_wins():
  # Two columns of pixels: half-pixel centres, as scipy and others count them.
  probabilities = np.zeros((2, 2, 2), np.float32)
  probabilities[:, 0, 0] = probabilities[:, 1, 1] = 1
  labels, best = enlarge.restore(probabilities, 3, 4)
  assert labels.shape == (3, 4)
  assert labels[0].tolist() == [0, 0, 1, 1]
  np.testing.assert_allclose(best[0], [1, 0.75, 0.75, 1])
  labels, _ = enlarge.restore(np.full((2, 2, 2), 0.5, np.float32), 37, 211)
  assert not labels.any()


def test_restoring_by_a_decision_gives_the_probability_of_the_class_that_it_gives():
  lesion = np.full((16, 16), 0.1, np.float32)
  lesion[2:10, 2:10], lesion[5, 5], lesion[14, 14] = 0.4, 0.2, 0.45
  probabilities = np.stack([1 - lesion, lesion], -1)
  labels, best = enlarge.restore(probabilities, 16, 16, Decision(0.3, 0.01, 0.01))
  expected = np.zeros((16, 16), int)
  expected[2:10, 2:10] = 1  # without the speck, with the hole
  np.testing.assert_array_equal(labels, expected)
  np.testing.assert_array_equal(best, np.where(expected, lesion, 1 - lesion))
  assert best[14, 14] == np.float32(1) - np.float32(0.45)
  # At another size the shares are of its pixels.
  labels, _ = enlarge.restore(probabilities, 64, 64, Decision(0.3, 0.01, 0.01))
  assert labels[20, 20] == 1
  assert not labels[52:].any()
  assert enlarge.restore(probabilities, 64, 64, Decision(0.3))[0][52:].any()


def _classifier():
  """Returns a network without masks: its features are the pixels, its class 1 scores their mean."""

  def classify(variables, features):
    mean = features.mean((1, 2))[:, 0] + variables["params"]["shift"]
    return jnp.stack([jnp.zeros_like(mean), mean], -1)

  def apply(variables, images, train):
    del train
    # A volume of two slices, the second of which counts three times as much.
    attention = jnp.tile(jnp.array([0.25, 0.75]), (len(images), 1))
    logits = classify(variables, images)
    return Outputs(class_logits=logits, features=images, attention=attention), {}

  return Model(lambda key, images: {"params": {"shift": jnp.zeros(())}}, apply, classify)


@pytest.mark.parametrize("flips", [False, True])
def test_a_network_of_classes_alone_gives_diagnoses_saliency_and_attention(flips):
  images, shifts = _images(), np.array([-3.0, 1.0])
  predict = jax.jit(inference.make_predict(_classifier(), flips, "gradcam"))
  result = predict({"params": {"shift": jnp.array(shifts)}}, jnp.asarray(images))
  assert result.probabilities is None
  assert result.flip_spread is None
  assert result.seed_spread is None
  scores = images.mean((1, 2, 3))[:, None] / 255 + shifts
  shares = (1 / (1 + np.exp(-scores))).mean(1)
  np.testing.assert_allclose(result.diagnoses, np.stack([1 - shares, shares], 1), atol=1e-6)
  np.testing.assert_allclose(result.attention, [[0.25, 0.75]] * 3)
  # Only class 1 depends on the pixels, and each by the same gradient: its map is the picture.
  chosen = shares > 0.5
  grey = images[..., 0] / images.max((1, 2, 3))[:, None, None]
  expected = np.where(chosen[:, None, None], grey, 0)
  np.testing.assert_allclose(result.saliency, expected, atol=1e-6)


def test_diagnoses_and_attention_are_averaged_over_the_views():
  ramp = jnp.arange(SIZE, dtype=jnp.float32)

  def apply(variables, images, train):
    grey = images[..., 0]
    score = (grey * ramp).mean((1, 2)) + (grey * ramp[:, None]).mean((1, 2)) * 2
    logits = jnp.stack([jnp.zeros_like(score), score - 5 + variables["params"]["shift"]], -1)
    attention = jnp.stack([grey[:, 0, 0], 1 - grey[:, 0, 0]], -1)
    return Outputs(class_logits=logits, attention=attention), {}

  images = _images()
  predict = inference.make_predict(Model(None, apply), True, views="flips")
  result = jax.jit(predict)({"params": {"shift": jnp.zeros(1)}}, jnp.asarray(images))
  grey, weights = images[..., 0] / 255, np.arange(SIZE)
  shares = []
  for axes in ((), (2,), (1,), (1, 2)):
    view = np.flip(grey, axes)
    score = (view * (weights + 2 * weights[:, None])).mean((1, 2)) - 5
    shares.append(1 / (1 + np.exp(-score)))
  np.testing.assert_allclose(result.diagnoses[:, 1], np.mean(shares, 0), atol=1e-5)
  corners = grey[:, [0, 0, -1, -1], [0, -1, 0, -1]].mean(1)
  np.testing.assert_allclose(result.attention[:, 0], corners, atol=1e-6)


def test_saliency_is_computed_only_where_it_is_asked_for():
  predict = inference.make_predict(_classifier(), False)
  result = predict({"params": {"shift": jnp.zeros(1)}}, jnp.asarray(_images()))
  assert result.saliency is None
  assert result.diagnoses.shape == (3, 2)


def test_images_of_several_sizes_are_mirrored_to_one_and_the_batch_is_filled_up():
  tall, wide = np.arange(10, dtype=np.uint8).reshape(5, 2, 1), np.ones((2, 6, 1), np.uint8)
  batch = inference.stack([tall, wide], 3, step=4)
  assert batch.shape == (3, 8, 8, 1)
  np.testing.assert_array_equal(batch[0, :5, :2], tall)
  np.testing.assert_array_equal(batch[0, 5:8, :2], tall[:1:-1])
  np.testing.assert_array_equal(batch[0, :5, 2:4], tall[:, ::-1])
  assert (batch[1] == 1).all()
  assert not batch[2].any()
  assert inference.stack([wide, wide], 2).shape == (2, 2, 6, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_prepared_for_as_many_channels_as_the_network_has(channels):
  filtering = {"diameter": 0, "sigma_space": 1.0, "sigma_intensity": 1.0}
  grey = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)
  colour = np.stack([grey, grey, grey], -1)
  for pixels in (grey, colour):
    images = inference.prepare(pixels, 16, channels, filtering)
    assert images.shape == (16, 16, channels)
    expected = preprocessing.resize_image(grey, 16)
    for channel in range(channels):
      np.testing.assert_array_equal(images[..., channel], expected)
