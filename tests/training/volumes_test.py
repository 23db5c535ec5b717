"""Batches and losses of volumes: absent slices do not count, and each loss reads its head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.data import padding
from mlseg.models import Outputs
from mlseg.recipe import data as recipe_data
from mlseg.recipe import experiment, parse
from mlseg.recipe import losses as recipe_losses
from mlseg.training import batches, objective
from tests.end_to_end import cohort
from tests.end_to_end.cohort import SLICES


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
  """The recipe of a made cohort."""
  root = cohort.write(tmp_path_factory.mktemp("cohort"))
  return experiment.read(parse.content(["", *cohort.arguments(root)]))


@pytest.fixture(scope="module")
def loaded(recipe):
  """The cases of it."""
  return recipe_data.load_cases(recipe.data, [recipe.losses.targets])


def test_absent_slices_and_textures_are_in_batches(recipe, loaded):
  arrays = jax.tree.map(jnp.asarray, batches.cases_of(loaded))
  data = batches.Data(arrays, jnp.arange(8))
  batch = jax.jit(batches.make_batch_at(recipe))(data, jax.random.key(0), jnp.int32(0))
  np.testing.assert_array_equal(batch.valid, batch.masks != padding.IGNORED)
  by_slice = np.asarray(batch.valid).reshape(4, SLICES, -1)
  assert (by_slice.all(-1) | ~by_slice.any(-1)).all()
  assert not by_slice.all()
  assert np.isin(batch.textures, loaded.textures).all()
  rough = loaded.textures[loaded.labels == 0], loaded.textures[loaded.labels == 1]
  assert rough[0].min() > rough[1].max()


@pytest.mark.slow
def test_losses_read_their_heads(recipe, loaded):
  edges = recipe_losses.texture_edges(recipe.losses, loaded.textures)
  functions = recipe_losses.make_losses(recipe.losses, 2, 2, edges=jnp.asarray(edges))
  rng = np.random.default_rng(0)
  masks = jnp.asarray(loaded.masks[:6])
  outputs = Outputs(
    jnp.asarray(rng.normal(size=(*masks.shape, 2)), jnp.float32),
    jnp.asarray(rng.normal(size=(6, 2)), jnp.float32),
    embeddings=jnp.asarray(rng.normal(size=(6, 8)), jnp.float32),
    texture_logits=jnp.asarray(rng.normal(size=(6, 3)), jnp.float32),
  )
  labels, textures = jnp.array([0, 0, 0, 1, 0, 0]), jnp.asarray(loaded.textures[:6])
  batch = batches.Batch(masks, masks, labels, valid=masks != 255, textures=textures)
  values = objective.per_example(functions, outputs, batch, 2)
  classes = np.searchsorted(edges, loaded.textures[:6], side="right")
  log_softmax = np.asarray(jax.nn.log_softmax(outputs.texture_logits))
  expected = -log_softmax[np.arange(6), classes]
  np.testing.assert_allclose(values["texture_cross_entropy"], expected, rtol=1e-5)
  # What a prediction is where there is no slice does not count.
  noise = jnp.where((masks == 255)[..., None], 100.0, outputs.logits)
  again = objective.per_example(functions, outputs._replace(logits=noise), batch, 2)
  np.testing.assert_array_equal(again["soft_dice"], values["soft_dice"])
  # The mean of contrastive losses leaves out the patient who is alone with his label.
  split = objective.make_loss_fn(None, functions, 2)
  whole = split.losses(outputs, {}, batch)
  contrast = np.asarray(values["supervised_contrastive"])
  np.testing.assert_allclose(whole["supervised_contrastive"], contrast.sum() / 5, rtol=1e-5)
  np.testing.assert_allclose(whole["soft_dice"], values["soft_dice"].mean(), rtol=1e-5)
