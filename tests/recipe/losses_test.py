"""Losses and batches of a config: distance maps from data preparation above all."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import losses
from mlseg.data import pipeline, targets
from mlseg.errors import UserError
from mlseg.models import Outputs
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import model as recipe_model
from mlseg.training import batches, objective
from tests.metrics.random_masks import random_labels

CONFIGS = pathlib.Path(__file__).parents[2] / "configs"
BOUNDARY = "--config.losses=('soft_dice', 'boundary')"
SMOKE = ["", f"--config={CONFIGS}/smoke.py"]


def _config(*options, losses=BOUNDARY):
  return parse.parse([*SMOKE, losses, *options])[0]


def _recipe(*options):
  return parse.parse(["", f"--config={CONFIGS}/dmf_busi.py", *options])[0]


def test_prepared_maps_are_those_of_the_loss():
  for seed in range(12):
    labels = random_labels(seed, num_classes=3, batch=4, shape=(16, 21))
    maps = targets.signed_distances(labels, 3)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, losses.signed_distances(jnp.eye(3)[labels]), rtol=1e-6)


def test_spacing_is_the_unit_of_prepared_maps():
  labels = np.zeros([1, 5, 7], int)
  labels[0, 1:4, 2:6] = 1
  plain = targets.signed_distances(labels, 2)
  np.testing.assert_allclose(targets.signed_distances(labels, 2, (0.5, 0.5)), plain / 2)
  stretched = targets.signed_distances(labels, 2, (3.0, 0.5))[0, ..., 1]
  # Left of the region a column is 0.5, above it a row is 3.
  assert stretched[2, 0] == 1.0
  assert stretched[0, 3] == 3.0


@pytest.mark.parametrize("flips", [0.0, 0.5])
def test_batches_carry_the_maps_of_their_masks(flips):
  config = _config(f"--config.augmentation.flip_horizontal={flips}")
  cases = recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets])
  arrays = map(jnp.asarray, (cases.images, cases.masks, cases.labels))
  data = batches.Data(batches.Batch(*arrays, jnp.asarray(cases.distances)), jnp.arange(64))
  batch = jax.jit(batches.make_batch_at(experiment.read(config)))(
    data, jax.random.key(0), jnp.int32(1)
  )
  expected = losses.signed_distances(jax.nn.one_hot(batch.masks, 2))
  np.testing.assert_allclose(batch.distances, expected, rtol=1e-6)


def test_a_batch_is_the_pictures_of_its_step_from_the_device_and_from_a_chunk():
  config = _config("--config.batch_size=3", losses="--config.losses=('soft_dice',)")
  images = jnp.arange(50 * 4, dtype=jnp.uint8).reshape(50, 2, 2, 1)
  masks = (images[..., 0] > 100).astype(jnp.uint8)
  train = jnp.array([3, 5, 8, 9, 12, 20, 21, 22, 30, 31, 40], jnp.int32)
  key, batch_at = jax.random.key(0), batches.make_batch_at(experiment.read(config))
  order = batches.order_key(key)
  index = np.stack([pipeline.batch_indices(train, order, jnp.int32(n), 3) for n in range(6)])
  labels = jnp.arange(50, dtype=jnp.int32) % 3
  chunk = batches.Chunk(
    batches.Batch(*(array[index[2:]] for array in (images, masks, labels))), jnp.int32(2)
  )
  for data, first in ((batches.Data(batches.Batch(images, masks, labels), train), 0), (chunk, 2)):
    steps = jnp.arange(first, 6)
    found = jax.lax.map(lambda step, data=data: batch_at(data, key, step), steps)
    expected = np.asarray(images)[index[first:]] / 255.0
    np.testing.assert_allclose(found.images, expected, rtol=1e-6)
    np.testing.assert_array_equal(found.masks, np.asarray(masks)[index[first:]])
    np.testing.assert_array_equal(found.labels, np.asarray(labels)[index[first:]])
    assert found.images.dtype == jnp.float32


def test_objects_move_with_the_masks():
  config = _config(
    "--config.batch_size=3", "--config.augmentation.flip_vertical=0.5",
    "--config.augmentation.rotation=40.0", losses="--config.losses=('soft_dice',)",
  )  # fmt: skip
  rng = np.random.default_rng(0)
  instances = jnp.asarray(rng.integers(0, 200, (5, 16, 16)), jnp.uint8)
  masks = (instances % 3).astype(jnp.uint8)  # so that one says what the other must be
  images = (instances[..., None] > 99).astype(jnp.uint8) * 255
  data = batches.Data(batches.Batch(images, masks, instances=instances), jnp.arange(5))
  batch = batches.make_batch_at(experiment.read(config))(data, jax.random.key(3), jnp.int32(0))
  assert (np.asarray(batch.instances) != np.asarray(instances[:3])).any()
  np.testing.assert_array_equal(batch.masks, batch.instances % 3)


@pytest.mark.parametrize("option", ["rotation=9.0", "shear=9.0", "scale=0.1", "elastic=1.0"])
def test_warped_masks_have_no_prepared_maps(option):
  config = _config(f"--config.augmentation.{option}")
  assert not recipe_losses.read(config).targets.distances
  assert (
    recipe_data.load_cases(recipe_data.read(config), [recipe_losses.read(config).targets]).distances
    is None
  )


def test_a_step_reads_the_maps_of_its_batch():
  config = _config()
  functions = recipe_losses.make_losses(recipe_losses.read(config), 2)
  rng = np.random.default_rng(0)
  masks = jnp.asarray(random_labels(0, num_classes=2, batch=4, shape=(8, 8)))
  logits = jnp.asarray(rng.normal(size=(4, 8, 8, 2)), jnp.float32)

  class Model:
    def apply(self, variables, images, train):
      del variables, images, train
      return Outputs(logits=logits), {}

  loss_fn = objective.make_loss_fn(Model(), functions, 2)
  images, maps = jnp.zeros([4, 8, 8, 1]), 2 * losses.signed_distances(jnp.eye(2)[masks])
  plain = loss_fn({}, {}, batches.Batch(images, masks))[0]
  doubled = loss_fn({}, {}, batches.Batch(images, masks, None, maps))[0]
  np.testing.assert_allclose(doubled["boundary"], 2 * plain["boundary"], rtol=1e-6)
  np.testing.assert_array_equal(doubled["soft_dice"], plain["soft_dice"])


@pytest.mark.parametrize(
  ("options", "message"),
  [
    (["--config.losses=('soft_dise',)"], "unknown loss 'soft_dise': choose from average_cal"),
    (["--config.losses=('focal', 'focal')"], "the losses must be different and at least one"),
    (
      ["--config.losses=('topology',)", "--config.loss_options.topology.exclusion=((0, 7),)"],
      r"config.loss_options.topology: exclusion: must be pairs of different labels below 2",
    ),
  ],
)
def test_wrong_losses_are_refused(options, message):
  config = _recipe("--config.auxiliary.name=none", *options)
  with pytest.raises(UserError, match=message):
    recipe_losses.make_losses(recipe_losses.read(config), 2)


def test_a_loss_needs_the_head_that_it_reads():
  config = _recipe("--config.losses=('classification_focal',)", "--config.auxiliary.name=none")
  message = "'classification_focal' needs the head of classification, which config.model"
  with pytest.raises(UserError, match=message):
    recipe_losses.make_losses(recipe_losses.read(config), 2, 2)


def test_losses_of_the_diagnosis_are_those_of_a_table_of_scores():
  config = _recipe("--config.losses=('cross_entropy',)", "--config.auxiliary.name=none")
  config.unlock().model.heads = ("segmentation", "classification")
  names = ("classification_cross_entropy", "classification_weighted_cross_entropy")
  weights = {names[1]: jnp.array([0.5, 1.0, 3.0])}
  functions = recipe_losses.make_losses(recipe_losses.read(config), 2, 3, weights, names)
  rng = np.random.default_rng(0)
  scores, labels = rng.normal(size=(4, 3)).astype(np.float32), np.array([2, 0, 1, 2])
  masks = jnp.zeros([4, 8, 8], jnp.uint8)
  batch = batches.Batch(masks, masks, jnp.asarray(labels))
  outputs = Outputs(class_logits=jnp.asarray(scores))
  found = objective.per_example(functions, outputs, batch, 2)
  chosen = np.exp(scores)[np.arange(4), labels] / np.exp(scores).sum(1)
  np.testing.assert_allclose(found[names[0]], -np.log(chosen), rtol=1e-5)
  expected = -np.log(chosen) * np.array([0.5, 1.0, 3.0])[labels]
  np.testing.assert_allclose(found[names[1]], expected, rtol=1e-5)


@pytest.mark.slow
def test_regions_within_regions_are_trained_as_labels_of_a_pixel():
  config = parse.parse(
    ["", f"--config={CONFIGS}/glands.py:s+t+g", "--config.model.containment=((2, 1),)"]
  )[0]
  for name in ("topology", "geometry"):
    options = config.loss_options[name]
    options.containment, options.exclusion = ((2, 1),), ((0, 1), (0, 2))
  config.losses = (*config.losses, "cross_entropy")
  table = recipe_model.label_table(config, 3)
  masks = random_labels(0, num_classes=3, batch=2, shape=(9, 8))  # stroma, gland, lumen
  regions = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
  batch = batches.Batch(None, jnp.asarray(masks))
  functions = recipe_losses.make_losses(recipe_losses.read(config), 3)
  found = objective.per_example(functions, Outputs(regions=regions), batch, 3, labels=table)
  own = np.stack([masks == 0, masks > 0, masks == 2], -1).astype(np.float32)
  rules = {"containment": ((2, 1),), "exclusion": ((0, 1), (0, 2))}
  scores = np.stack([regions[..., 0], regions[..., 1], regions[..., 1] + regions[..., 2]], -1)
  expected = {
    "binary_cross_entropy": losses.binary_cross_entropy(regions, own, label_reduction="sum"),
    "topology": losses.topology(regions, own, **rules),
    "geometry": losses.geometry(regions, own, **rules),
    "cross_entropy": losses.cross_entropy(jnp.asarray(scores), jax.nn.one_hot(masks, 3)),
  }
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-5)
  inside = np.zeros((2, 9, 8), bool)
  inside[:, 2:7, 1:6] = True
  part = found | objective.per_example(
    functions, Outputs(regions=regions), batch._replace(valid=jnp.asarray(inside)), 3, labels=table
  )
  cut = np.s_[:, 2:7, 1:6]
  np.testing.assert_allclose(
    part["topology"], losses.topology(regions[cut], own[cut], **rules), rtol=1e-5
  )


def test_a_network_without_regions_has_no_labels_in_them():
  config = parse.parse(
    ["", f"--config={CONFIGS}/glands.py:c", "--config.model.containment=((2, 1),)"]
  )[0]
  assert recipe_model.label_table(config, 3) is None
  model = recipe_model.make_model(config, 3, 2)
  images = jax.ShapeDtypeStruct((1, 250, 250, 3), jnp.float32)
  shapes = jax.eval_shape(model.init, jax.random.key(0), images)
  assert not [name for name in shapes["params"] if name.startswith("decoder")]
