"""Gram matrices over the parameters that losses share, and what happens to the other ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import weighting as w

RNG = np.random.default_rng(0)
PARAMS = {
  "encoder": {"a": jnp.array(RNG.normal(size=(3, 4)), jnp.float32)},
  "heads": {name: jnp.array(RNG.normal(size=4), jnp.float32) for name in ("mask", "size")},
}
X = jnp.array(RNG.normal(size=(8, 3)), jnp.float32)


def _forward(params, x):
  features = jnp.tanh(x @ params["encoder"]["a"])
  return {name: features @ head for name, head in params["heads"].items()}, None


def _losses(outputs, x):
  return {
    "mask": (outputs["mask"] ** 2).mean(),
    "size": jnp.abs(outputs["size"] - x.sum(axis=1)).mean(),
  }


SPLIT = w.SplitLoss(_forward, _losses)
WEIGHTS = {"mask": jnp.float32(0.5), "size": jnp.float32(3.0)}


def _recorder(needs_gram):
  """Returns a weighting with constant weights whose state is the Gram matrix it was given."""
  return w.LossWeighting(
    lambda losses: None, lambda losses, state, gram, **_: (WEIGHTS, gram), needs_gram
  )


def _jacobian():
  """Returns the gradients of (mask, size), by path."""
  return jax.jacrev(lambda params: _losses(_forward(params, X)[0], X))(PARAMS)


def _compute(needs_gram, **options):
  compute = w.losses_and_gradients(SPLIT, _recorder(needs_gram), **options)
  return jax.jit(compute)(PARAMS, None, X)


@pytest.mark.parametrize("shared", ["encoder", ["encoder/a"], lambda path: path == "encoder/a"])
def test_the_gram_matrix_is_over_the_shared_parameters_alone(shared):
  result, gram = _compute(True, shared=shared)
  rows = np.stack([np.ravel(_jacobian()[name]["encoder"]["a"]) for name in ("mask", "size")])
  np.testing.assert_allclose(gram, rows @ rows.T, rtol=1e-5)
  whole, full = _compute(True)
  assert (np.diagonal(full) > np.diagonal(gram)).all()
  np.testing.assert_allclose(full[0, 1], gram[0, 1], rtol=1e-5)  # heads have nothing in common
  jax.tree.map(np.testing.assert_array_equal, result.gradients, whole.gradients)


@pytest.mark.parametrize("options", [{"gram_at": "params"}, {"gram_at": "logits"}, {}], ids=str)
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.filterwarnings("ignore:gram_at='logits' compares no gradients")
def test_other_parameters_may_keep_their_own_gradients(options, parts):
  result, _ = _compute(
    bool(options), **options, shared="encoder", specific="unweighted", num_microbatches=parts
  )
  of = _jacobian()
  weighted = 0.5 * of["mask"]["encoder"]["a"] + 3.0 * of["size"]["encoder"]["a"]
  np.testing.assert_allclose(result.gradients["encoder"]["a"], weighted, rtol=1e-4, atol=1e-6)
  for name in ("mask", "size"):
    own = result.gradients["heads"][name]
    np.testing.assert_allclose(own, of[name]["heads"][name], rtol=1e-4, atol=1e-6)


def test_a_path_that_is_not_there_is_refused():
  with pytest.raises(
    ValueError, match="no parameter is one of 'decoder'; paths begin with encoder,"
  ):
    _compute(True, shared="decoder")
  with pytest.raises(ValueError, match="specific: choose from weighted, unweighted; got 'both'"):
    _compute(True, specific="both")
