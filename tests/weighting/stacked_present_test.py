"""Losses that are absent in a step, in the transformations of per-loss gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import weighting as w
from mlseg.weighting.from_gradients.db_mtl import db_mtl
from mlseg.weighting.from_gradients.excess_mtl import excess_mtl
from mlseg.weighting.from_gradients.graddrop import graddrop
from mlseg.weighting.from_gradients.learning_rate_annealing import learning_rate_annealing
from mlseg.weighting.from_gradients.moco import moco
from mlseg.weighting.from_gradients.trimmed_mean import trimmed_mean

K, STEPS = 3, 6
MASK = np.array([True, False, True])
EVERY = (0, 1, 2)
# Each is a function of the losses that there are.
FACTORIES = {
  "graddrop": lambda kept: graddrop(len(kept)),
  "graddrop_leak": lambda kept: graddrop(len(kept), leak=[(0.0, 0.5, 1.0)[k] for k in kept]),
  "learning_rate_annealing": lambda kept: learning_rate_annealing(
    len(kept), reference=kept.index(2)
  ),
  "excess_mtl": lambda kept: excess_mtl(len(kept), step_size=0.1),
  "excess_mtl_warmup": lambda kept: excess_mtl(len(kept), step_size=0.5, num_warmup=3),
  "trimmed_mean": lambda kept: trimmed_mean(len(kept), (len(kept) - 1) // 2),
  "moco": lambda kept: moco(len(kept)),
  "moco_reference": lambda kept: moco(len(kept), variant="reference"),
  "db_mtl": lambda kept: db_mtl(len(kept), beta=0.5),
  "combine_gradients": lambda kept: w.combine_gradients(w.mgda(), len(kept)),
}
over_all = pytest.mark.parametrize("name", FACTORIES)
PARAMS = {"w": jnp.zeros((4, 2)), "scale": jnp.ones(()), "none": jnp.zeros((0, 3))}


def _steps(seed):
  """Returns losses [steps, K] and gradients with the steps and the losses first."""
  rng = np.random.default_rng(seed)
  gradients = {
    name: jnp.array(rng.normal(size=(STEPS, K, *leaf.shape)), jnp.float32)
    for name, leaf in PARAMS.items()
  }
  return jnp.array(rng.gamma(2.0, 1.0, (STEPS, K)), jnp.float32), gradients


def _scan(name, kept=EVERY):
  transformation = FACTORIES[name](kept)

  def run(losses, gradients, masks=None):
    def body(state, step):
      vector, updates, mask = step
      updates, state = transformation.update(updates, state, losses=vector, present=mask)
      return state, updates

    return jax.lax.scan(body, transformation.init(PARAMS), (losses, gradients, masks))

  return jax.jit(run)


RUNS = {name: _scan(name) for name in FACTORIES}


def _always(mask):
  return jnp.broadcast_to(jnp.asarray(mask), (STEPS, K))


def _assert_close(found, expected, rtol=1e-5):
  jax.tree.map(
    lambda one, other: np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-6), found, expected
  )


def _of(tree, kept):
  """Returns the entries of some losses in arrays [K, ...], and all else as it is."""
  return jax.tree.map(lambda leaf: leaf[kept] if leaf.shape[:1] == (K,) else leaf, tree)


@over_all
def test_present_losses_are_combined_as_if_they_were_alone(name):
  losses, gradients = _steps(0)
  kept = np.flatnonzero(MASK)
  state, updates = RUNS[name](losses, gradients, _always(MASK))
  alone = jax.tree.map(lambda leaf: leaf[:, kept], (losses, gradients))
  expected_state, expected = _scan(name, tuple(kept.tolist()))(*alone)
  _assert_close(updates, expected)
  if name not in {"moco", "moco_reference", "excess_mtl", "excess_mtl_warmup"}:
    _assert_close(_of(state, kept), expected_state)
  else:  # the absent loss keeps its share of the weights
    np.testing.assert_allclose(state.weights[1], 1 / 3, rtol=1e-6)
    shares = state.weights[kept] / state.weights[kept].sum()
    np.testing.assert_allclose(shares, expected_state.weights, rtol=1e-5)


@over_all
def test_an_absent_loss_may_have_any_gradient(name):
  losses, gradients = _steps(1)
  masks = np.ones((STEPS, K), bool)
  masks[1::2, 1] = False
  masks[2, [0, 2]] = False
  masks[4] = False
  expected = RUNS[name](losses, gradients, masks)

  def hide(leaf):
    hidden = ~masks.reshape(STEPS, K, *[1] * (leaf.ndim - 2))
    return jnp.where(jnp.broadcast_to(hidden, leaf.shape), jnp.nan, leaf)

  found = RUNS[name](hide(losses), jax.tree.map(hide, gradients), masks)
  jax.tree.map(np.testing.assert_array_equal, found, expected)
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
  assert all((leaf[4] == 0).all() for leaf in jax.tree.leaves(found[1]))


@over_all
def test_all_present_is_the_update_without_a_mask(name):
  losses, gradients = _steps(2)
  _assert_close(RUNS[name](losses, gradients, _always(True)), RUNS[name](losses, gradients))


@over_all
def test_a_step_without_losses_changes_nothing(name):
  losses, gradients = _steps(3)
  masks = np.ones((STEPS, K), bool)
  masks[[0, 3]] = False
  state, updates = RUNS[name](losses, gradients, masks)
  others = masks[:, 0]
  expected_state, expected = _scan(name)(losses[others], jax.tree.map(
    lambda leaf: leaf[others], gradients))  # fmt: skip
  _assert_close(
    (state, jax.tree.map(lambda leaf: leaf[others], updates)), (expected_state, expected)
  )
  assert all((leaf[~others] == 0).all() for leaf in jax.tree.leaves(updates))


def test_a_late_loss_has_a_warm_up_of_its_own_in_excess_mtl():
  transformation = excess_mtl(2, step_size=1.0)
  gradients, state = jnp.array([[1.0, 0.0], [0.0, 8.0]]), transformation.init(jnp.zeros(2))
  for present in ([True, False], [True, False], [True, True]):
    _, state = transformation.update(gradients, state, present=present)
  assert state.num_updates.tolist() == [3, 1]
  np.testing.assert_allclose(state.baseline, [1.0, 8.0], rtol=1e-5)


def test_weights_stay_in_a_step_without_the_reference_loss():
  transformation = learning_rate_annealing(2, decay=0.5)
  gradients, state = jnp.array([[6.0, 1.0], [1.0, 3.0]]), transformation.init(jnp.zeros(2))
  _, state = transformation.update(gradients, state)
  updates, state = transformation.update(gradients, state, present=[False, True])
  assert state.weights.tolist() == [1.0, 2.0]
  assert updates.tolist() == [2.0, 6.0]


def test_the_mask_may_have_the_structure_of_the_losses():
  losses = {"a": jnp.float32(jnp.nan), "b": jnp.float32(4.0)}
  gradients, present = jnp.array([[jnp.nan], [2.0]]), {"a": False, "b": True}
  for transformation in (graddrop(2), moco(2, beta=1.0), w.combine_gradients(w.fixed(), losses)):
    optimizer = optax.chain(transformation, optax.sgd(1.0))
    updates, _ = optimizer.update(
      gradients, optimizer.init(jnp.zeros(1)), losses=losses, present=present
    )
    assert updates.tolist() == [-2.0]


def test_a_mask_of_other_losses_is_refused():
  for transformation in (graddrop(2), moco(2), w.combine_gradients(w.fixed(), 2)):
    with pytest.raises(ValueError, match="present: must be 2 bools"):
      transformation.update(
        jnp.ones((2, 1)), transformation.init(jnp.zeros(1)), losses=jnp.ones(2), present=[True]
      )


def test_a_mask_as_long_as_other_losses_is_refused():
  transformation = graddrop(2)
  with pytest.raises(ValueError, match="present: must be K = 2 bools"):
    transformation.update(
      jnp.ones((2, 1)), transformation.init(None), losses=jnp.ones(3), present=[True, False, True]
    )


@over_all
def test_a_mask_mixes_no_dtypes_and_no_ranks(name):
  with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
    losses, gradients = jax.tree.map(lambda leaf: leaf[0], _steps(0))
    transformation = FACTORIES[name](EVERY)
    state = transformation.init(PARAMS)
    updates, after = jax.eval_shape(
      lambda gradients, losses, mask: transformation.update(
        gradients, state, losses=losses, present=mask
      ),
      gradients, losses, jnp.ones(K, bool),
    )  # fmt: skip
    for found, expected in ((updates, PARAMS), (after, state)):
      assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), found) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), expected
      )
