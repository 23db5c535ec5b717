"""From a network's outputs to losses: deep supervision, and one draw of dropout for all of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import losses
from mlseg.models import UNet, from_linen
from mlseg.training import objective
from mlseg.training.batches import Batch
from mlseg.weighting import LossWeighting, fixed, losses_and_gradients

FUNCTIONS = {"cross_entropy": losses.cross_entropy, "soft_dice": losses.soft_dice}
WEIGHTS = {"cross_entropy": 0.3, "soft_dice": 2.0}
LEVELS = (4 / 7, 2 / 7, 1 / 7)


def _batch(valid=False, keys=False):
  rng = np.random.default_rng(0)
  masks = rng.integers(0, 2, (4, 8, 8)).astype(np.uint8)
  return Batch(
    images=jnp.asarray(rng.random((4, 8, 8, 1)), jnp.float32),
    masks=jnp.asarray(masks),
    valid=jnp.asarray(rng.random((4, 8, 8)) < 0.7) if valid else None,
    keys=jax.random.split(jax.random.key(3), 4) if keys else None,
  )


@functools.cache
def _network(**options):
  """Returns a network without statistics of a batch, its parameters, and its losses."""
  model = from_linen(UNet(2, depth=3, filters=4, norm="none", upsampling="transposed2", **options))
  params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
  return model, params, objective.make_loss_fn(model, FUNCTIONS, 2)


def _recorder():
  """Returns a weighting with fixed weights whose state becomes the Gram matrix."""
  inner = fixed(WEIGHTS)

  def update(losses, state, *, gram=None, **extra):
    return inner.update(losses, ())[0], gram

  return LossWeighting(lambda losses: jnp.zeros((2, 2)), update, needs_gram=True)


def _compute(options, batch, weighting=None, **where):
  _, params, loss_fn = _network(**options)
  weighting = weighting or _recorder()
  compute = jax.jit(losses_and_gradients(loss_fn, weighting, **where))
  zeros = dict.fromkeys(WEIGHTS, jnp.zeros(()))
  return compute(params, weighting.init(zeros), {}, batch)


def _allclose(actual, expected):
  jax.tree.map(
    lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-6), actual, expected
  )


def _levels(outputs, batch):
  """Returns per loss its values at the levels, by slices of the masks."""
  found = {name: [] for name in FUNCTIONS}
  for level, logits in enumerate((outputs.logits, *outputs.deep_logits)):
    # The pixels nearest to the centres of a coarser grid: of equally near ones the last.
    first, stride = 2**level // 2, 2**level
    masks = jax.nn.one_hot(batch.masks[:, first::stride, first::stride], 2)
    valid = None if batch.valid is None else batch.valid[:, first::stride, first::stride]
    for name, function in FUNCTIONS.items():
      found[name].append(function(logits, masks, valid=valid).mean())
  return found


@pytest.mark.slow
@pytest.mark.parametrize("valid", [False, True])
def test_a_loss_of_pixels_is_the_weighted_sum_over_the_levels_of_the_decoder(valid):
  model, params, loss_fn = _network(deep_supervision=2)
  batch = _batch(valid)
  outputs, _ = jax.jit(model.apply, static_argnums=2)({"params": params}, batch.images, True)
  assert [x.shape[1] for x in outputs.deep_logits] == [4, 2]
  values, _ = jax.jit(loss_fn)(params, {}, batch)
  for name, levels in _levels(outputs, batch).items():
    np.testing.assert_allclose(values[name], np.dot(LEVELS, levels), rtol=1e-5)


@pytest.mark.parametrize("gram_at", ["logits", "params"])
def test_gradients_of_several_levels_are_those_of_the_weighted_sum(gram_at):
  options, batch = {"deep_supervision": 2}, _batch()
  result, gram = _compute(options, batch, gram_at=gram_at)
  model, params, _ = _network(**options)

  def values_of(outputs):
    found = _levels(outputs, batch)
    return [sum(w * v for w, v in zip(LEVELS, found[n], strict=True)) for n in sorted(WEIGHTS)]

  def outputs_of(params):
    outputs, _ = model.apply({"params": params}, batch.images, True)
    return outputs._replace(features=None)

  def total(params):
    of_losses = zip(sorted(WEIGHTS), values_of(outputs_of(params)), strict=True)
    return sum(WEIGHTS[name] * value for name, value in of_losses)

  _allclose(result.gradients, jax.jit(jax.grad(total))(params))
  if gram_at == "logits":
    rows = jax.jit(lambda p: jax.jacrev(values_of)(outputs_of(p)))(params)
  else:
    rows = jax.jit(jax.jacrev(lambda p: values_of(outputs_of(p))))(params)
  flat = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(row)]) for row in rows]
  np.testing.assert_allclose(gram, np.stack(flat) @ np.stack(flat).T, rtol=1e-4)


def test_validation_reads_the_finest_level_alone():
  (model, params, _), batch = _network(deep_supervision=2), _batch()
  outputs, _ = jax.jit(model.apply, static_argnums=2)({"params": params}, batch.images, False)
  assert outputs.deep_logits == ()
  values = objective.per_example(FUNCTIONS, outputs, batch, 2)
  expected = losses.soft_dice(outputs.logits, jax.nn.one_hot(batch.masks, 2))
  np.testing.assert_allclose(values["soft_dice"], expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("gram_at", ["logits", "params"])
def test_the_gradients_of_all_losses_see_one_draw_of_dropout(gram_at):
  """Else the Gram matrix of two equal losses would not be of rank one, nor the sum its gradient."""
  model, params, _ = _network(dropout=0.5)
  twice = {"cross_entropy": losses.cross_entropy, "soft_dice": losses.cross_entropy}
  loss_fn = objective.make_loss_fn(model, twice, 2)
  weighting, batch = _recorder(), _batch(keys=True)
  compute = jax.jit(losses_and_gradients(loss_fn, weighting, gram_at=gram_at))
  zeros = dict.fromkeys(WEIGHTS, jnp.zeros(()))
  result, gram = compute(params, weighting.init(zeros), {}, batch)
  np.testing.assert_allclose(gram, np.full((2, 2), gram[0, 0]), rtol=1e-5)
  plain = jax.jit(jax.grad(lambda p: loss_fn(p, {}, batch)[0]["cross_entropy"]))(params)
  _allclose(result.gradients, jax.tree.map(lambda g: 2.3 * g, plain))


@pytest.mark.slow
def test_each_part_of_a_batch_draws_for_itself():
  """Two parts with the same pictures have the losses that each has with its own key."""
  batch = jax.tree.map(lambda x: jnp.repeat(x[:1], 4, axis=0), _batch())
  batch = batch._replace(keys=jax.random.split(jax.random.key(5), 4))
  options = {"dropout": 0.5}
  result, _ = _compute(options, batch, fixed(WEIGHTS), num_microbatches=2)
  _, params, loss_fn = _network(**options)
  value = jax.jit(lambda part: loss_fn(params, {}, part)[0]["soft_dice"])
  # The parts take every second example.
  each = [value(jax.tree.map(lambda x, n=n: x[n::2], batch)) for n in (0, 1)]
  assert abs(each[0] - each[1]) > 1e-4
  np.testing.assert_allclose(result.losses["soft_dice"], np.mean(each), rtol=1e-5)
