"""Means over mirrored views and over models, against numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.models import Outputs, averaging

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 4, 6, 3)).astype(np.float32)
PLACES = RNG.normal(size=(4, 6, 3)).astype(np.float32)  # logits that depend on the position
NUMPY_AXES = {"horizontal": [(), (2,)], "flips": [(), (2,), (1,), (1, 2)]}


def _network(seed):
  """Returns the weights of a linear network, which sees where a pixel is."""
  rng = np.random.default_rng(seed)
  return {
    "pixels": rng.normal(size=(3, 3)).astype(np.float32),
    "labels": rng.normal(size=(4, 6, 3, 2)).astype(np.float32),
  }


def _predict(weights, images):
  return Outputs(
    logits=images @ weights["pixels"] + PLACES,
    class_logits=jnp.einsum("bhwi,hwil->bl", images, weights["labels"]),
    attention=jax.nn.softmax(images[:, :, 0, 0], -1),
    features=images,
  )


def _softmax(logits):
  powers = np.exp(logits - logits.max(-1, keepdims=True))
  return powers / powers.sum(-1, keepdims=True)


def _expected(weights, images, axes):
  """Returns probabilities of pixels and of diagnoses, and attention, of one view in numpy."""
  images = np.flip(images, axes)
  pixels = np.flip(_softmax(images @ weights["pixels"] + PLACES), axes)
  labels = _softmax(np.einsum("bhwi,hwil->bl", images, weights["labels"]))
  return pixels, labels, _softmax(images[:, :, 0, 0])


def _assert_mean(outputs, views):
  found = jax.nn.softmax(outputs.logits), jax.nn.softmax(outputs.class_logits), outputs.attention
  for own, expected in zip(found, zip(*views, strict=True), strict=True):
    np.testing.assert_allclose(own, np.mean(expected, axis=0), rtol=1e-5)
  assert outputs.features is None


@pytest.mark.parametrize("views", NUMPY_AXES)
def test_views_are_mirrored_back_and_averaged(views):
  outputs = jax.jit(averaging.over_views(_predict, views))(_network(0), IMAGES)
  _assert_mean(outputs, [_expected(_network(0), IMAGES, axes) for axes in NUMPY_AXES[views]])


def test_models_are_averaged_over_their_views():
  models = [_network(seed) for seed in range(3)]
  predict = averaging.over_models(averaging.over_views(_predict, "flips"))
  views = [_expected(own, IMAGES, axes) for own in models for axes in NUMPY_AXES["flips"]]
  _assert_mean(jax.jit(predict)(models, IMAGES), views)


def test_one_view_is_the_network_itself():
  assert averaging.over_views(_predict, "one") is _predict


def test_views_are_compiled_as_one():
  traces = []

  def predict(weights, images):
    traces.append(1)
    return _predict(weights, images)

  program = averaging.over_views(predict, "flips")
  lowered = jax.jit(program).lower(_network(0), IMAGES).as_text()
  assert len(traces) <= 2  # the shapes, and the body of the loop
  assert lowered.count("stablehlo.while") == 1


def test_covariates_belong_to_every_view_and_every_model():
  def predict(weight, images, covariates):
    return Outputs(class_logits=jnp.stack([covariates @ weight, images.mean((1, 2, 3))], 1))

  covariates, weights = jnp.array([[1.0, 2.0], [3.0, -1.0]]), [jnp.array([1.0, 0.5]), jnp.ones(2)]
  images = jnp.asarray(IMAGES[:2])
  found = averaging.over_models(averaging.over_views(predict, "flips"))(weights, images, covariates)
  each = [jax.nn.softmax(predict(own, images, covariates).class_logits) for own in weights]
  np.testing.assert_allclose(jax.nn.softmax(found.class_logits), np.mean(each, 0), rtol=1e-5)


@pytest.mark.parametrize("missing", ["logits", "class_logits"])
def test_a_head_that_is_not_there_stays_away(missing):
  predict = averaging.over_views(
    lambda weights, images: _predict(weights, images)._replace(**{missing: None}), "flips"
  )
  outputs = predict(_network(0), IMAGES)
  assert getattr(outputs, missing) is None


def test_a_probability_of_nothing_stays_nothing():
  sure = averaging.over_models(lambda sign, _: Outputs(logits=jnp.array([[200.0, -200.0]]) * sign))
  logits = sure([1.0, 1.0], None).logits
  np.testing.assert_array_equal(jax.nn.softmax(logits), [[1, 0]])
  assert logits.argmax(-1).tolist() == [0]


def test_probabilities_of_findings_are_averaged_each_by_itself():
  first, second = _network(1), _network(2)
  several = averaging.over_views(_predict, "horizontal", has_findings=True)
  logits = averaging.over_models(several, has_findings=True)([first, second], IMAGES).class_logits
  each = [
    1 / (1 + np.exp(-np.asarray(_predict(own, np.flip(IMAGES, axes)).class_logits)))
    for own in (first, second)
    for axes in NUMPY_AXES["horizontal"]
  ]
  np.testing.assert_allclose(jax.nn.sigmoid(logits), np.mean(each, 0), rtol=1e-5)


def test_a_finding_of_which_all_models_are_sure_keeps_a_finite_logit():
  models = [jnp.array(30.0), jnp.array(40.0)]
  predict = averaging.over_models(
    lambda own, _: Outputs(class_logits=jnp.array([[own, -own]])), has_findings=True
  )
  logits = predict(models, None).class_logits[0]
  np.testing.assert_allclose(logits, [30.69, -30.69], atol=0.01)
