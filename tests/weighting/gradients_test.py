"""The gradient of a weighted sum, the Gram matrix at both places, and micro-batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.weighting import LossWeighting, SplitLoss, fixed, losses_and_gradients, pcgrad
from mlseg.weighting.split_loss import share_inputs

PARAMS = {"w": np.array([[0.5, -1.0], [1.5, 0.2], [-0.3, 0.8]], np.float32)}
ZEROS = {"l1": jnp.zeros(()), "l2": jnp.zeros(()), "l4": jnp.zeros(())}


def _forward(params, scale, batch):
  del scale
  return jnp.tanh(batch["x"] @ params["w"]), {"mean": batch["x"].mean(), "rows": jnp.int32(7)}


def _losses(outputs, scale, batch):
  error = outputs - batch["y"]
  return {
    "l2": scale * (error**2).mean(),
    "l1": jnp.abs(error).mean(),
    "l4": (error**4).mean(),
  }


SPLIT = SplitLoss(_forward, _losses)


def _batch(size=8):
  rng = np.random.default_rng(0)
  return {
    "x": rng.normal(size=(size, 3)).astype(np.float32),
    "y": rng.normal(size=(size, 2)).astype(np.float32),
  }


def _recorder(weights):
  """Returns a weighting with fixed weights whose state becomes the Gram matrix."""

  def update(losses, state, *, weights=None, gram=None, key=None, **extra):
    return inner.update(losses, ())[0], gram

  inner = fixed(weights)
  return LossWeighting(lambda losses: jnp.zeros((3, 3)), update, needs_gram=True)


WEIGHTS = {"l1": 0.5, "l2": 2.0, "l4": 0.1}


def _compute(weighting=None, loss_fn=SPLIT, params=PARAMS, batch=None, **options):
  weighting = _recorder(WEIGHTS) if weighting is None else weighting
  compute = jax.jit(losses_and_gradients(loss_fn, weighting, **options))
  return compute(params, weighting.init(ZEROS), jnp.float32(1.5), batch or _batch())


def _rows_at_logits(batch):
  """The gradients of the three losses with respect to the outputs, in numpy, in float64."""
  x, y = (batch[name].astype(np.float64) for name in "xy")
  outputs = np.tanh(x @ PARAMS["w"].astype(np.float64))
  error = outputs - y
  rows = [np.sign(error), 1.5 * 2 * error, 4 * error**3]  # l1, l2, l4: in sorted order
  return [row / error.size for row in rows], outputs, x


def _rows_at_params(batch):
  rows, outputs, x = _rows_at_logits(batch)
  return [x.T @ (row * (1 - outputs**2)) for row in rows]


def _gram(rows):
  return np.array([[(a * b).sum() for b in rows] for a in rows])


def _expected_gradient(batch):
  return sum(w * row for w, row in zip((0.5, 2.0, 0.1), _rows_at_params(batch), strict=True))


def test_gradient_equals_the_weighted_sum_worked_out_in_numpy():
  result, _ = _compute(fixed(WEIGHTS))
  np.testing.assert_allclose(result.gradients["w"], _expected_gradient(_batch()), rtol=1e-5)
  np.testing.assert_allclose(result.weights["l2"], 2.0)
  assert result.aux["rows"] == 7


@pytest.mark.parametrize(
  ("gram_at", "rows"), [("logits", lambda b: _rows_at_logits(b)[0]), ("params", _rows_at_params)]
)
@pytest.mark.parametrize("parts", [1, 4])
def test_gram_and_gradient_equal_those_worked_out_in_numpy(gram_at, rows, parts):
  result, gram = _compute(gram_at=gram_at, num_microbatches=parts)
  np.testing.assert_allclose(gram, _gram(rows(_batch())), rtol=1e-5)
  np.testing.assert_allclose(
    result.gradients["w"], _expected_gradient(_batch()), rtol=1e-5, atol=1e-7
  )


@pytest.mark.parametrize("gram_at", ["logits", "params", None])
def test_microbatches_give_what_the_whole_batch_gives(gram_at):
  options = {} if gram_at is None else {"gram_at": gram_at}
  weighting = fixed(WEIGHTS) if gram_at is None else None
  whole, _ = _compute(weighting, **options)
  parts, _ = _compute(weighting, num_microbatches=2, **options)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), parts, whole)
  assert jax.tree.map(jnp.result_type, parts) == jax.tree.map(jnp.result_type, whole)


def test_weights_see_the_mean_over_the_microbatches():
  batch = _batch()
  batch["y"][:4] += 10.0  # the parts differ
  adaptive = fixed()._replace(
    update=lambda losses, state, **_: (dict.fromkeys(losses, losses["l2"]), state)
  )
  result, _ = _compute(adaptive, batch=batch, num_microbatches=2)
  whole, _ = _compute(adaptive, batch=batch)
  np.testing.assert_allclose(result.weights["l1"], whole.losses["l2"], rtol=1e-5)
  np.testing.assert_allclose(result.gradients["w"], whole.gradients["w"], rtol=1e-4)


@pytest.mark.parametrize("parts", [3, 16])
def test_a_batch_that_does_not_divide_is_refused(parts):
  with pytest.raises(ValueError, match=rf"num_microbatches: must divide the batch, got {parts}"):
    _compute(num_microbatches=parts)


@pytest.mark.parametrize("gram_at", ["logits", "params"])
@pytest.mark.parametrize("parts", [1, 2])
def test_bfloat16_compute_gives_a_float32_gram(gram_at, parts):
  def forward(params, scale, batch):
    low = {"w": params["w"].astype(jnp.bfloat16)}
    return _forward(low, scale, {"x": batch["x"].astype(jnp.bfloat16)})

  def losses(outputs, scale, batch):
    assert outputs.dtype == jnp.bfloat16
    return _losses(outputs.astype(jnp.float32), scale, batch)

  loss_fn = SplitLoss(forward, losses)
  result, gram = _compute(loss_fn=loss_fn, gram_at=gram_at, num_microbatches=parts)
  exact, exact_gram = _compute(gram_at=gram_at)
  assert gram.dtype == result.gradients["w"].dtype == jnp.float32
  np.testing.assert_allclose(gram, exact_gram, rtol=5e-2)
  np.testing.assert_allclose(result.gradients["w"], exact.gradients["w"], rtol=5e-2, atol=5e-3)


def test_many_small_bfloat16_gradients_are_not_lost_in_the_sum():
  size = 4096  # 1 + 1 + ... stops at 256 in bfloat16
  forward = lambda params: (params * jnp.ones(size, jnp.bfloat16), None)  # noqa: E731
  losses = lambda outputs: jnp.stack([outputs.sum(), -outputs.sum()]).astype(jnp.float32)  # noqa: E731
  record = LossWeighting(lambda losses: None, lambda losses, state, gram, **_: (losses, gram), True)
  compute = losses_and_gradients(SplitLoss(forward, losses), record, gram_at="logits")
  _, gram = compute(jnp.bfloat16(1.0), None)
  np.testing.assert_array_equal(gram, [[size, -size], [-size, size]])


@pytest.mark.parametrize(("gram_at", "times"), [("logits", 1), ("params", 3)])
def test_the_network_is_gone_through_backwards_once_or_once_per_loss(gram_at, times):
  calls = []

  @jax.custom_vjp
  def trunk(x):
    return x

  def backward(_, cotangent):
    calls.append(1)
    return (cotangent,)

  trunk.defvjp(lambda x: (x, None), backward)

  def forward(params, scale, batch):
    outputs, aux = _forward(params, scale, batch)
    return trunk(outputs), aux

  _compute(loss_fn=SplitLoss(forward, _losses), gram_at=gram_at)
  assert len(calls) == times
  calls.clear()
  _compute(fixed(), loss_fn=SplitLoss(forward, _losses), gram_at=gram_at)
  assert len(calls) == 1


def test_weights_are_constants():
  def loss_fn(x):
    return {"a": x**2, "b": x**3}, None

  # Weights that depend on the losses: if they were differentiated, w'·L would come in.
  adaptive = fixed()._replace(
    update=lambda losses, state, **_: ({"a": losses["b"], "b": losses["a"]}, state)
  )
  compute = losses_and_gradients(loss_fn, adaptive)
  result, _ = compute(jnp.float32(2.0), ())
  assert float(result.gradients) == 8.0 * 2 * 2.0 + 4.0 * 3 * 4.0


@pytest.mark.parametrize("gram_at", ["logits", "params"])
def test_losses_may_be_one_array_and_outputs_a_tree(gram_at):
  def forward(x):
    return {"a": x**2, "b": (3.0 * x,)}, None

  def losses(outputs):
    return jnp.stack([outputs["a"] + outputs["b"][0], outputs["b"][0] ** 2])

  weighting = LossWeighting(
    lambda losses: jnp.zeros((2, 2)), lambda losses, state, gram, **_: (losses, gram), True
  )
  compute = losses_and_gradients(SplitLoss(forward, losses), weighting, gram_at=gram_at)
  result, gram = compute(jnp.float32(2.0), weighting.init(None))
  np.testing.assert_allclose(result.losses, [10.0, 36.0])
  np.testing.assert_allclose(result.gradients, 10.0 * (4.0 + 3.0) + 36.0 * 36.0)
  rows = [[1.0, 1.0], [0.0, 12.0]] if gram_at == "logits" else [[7.0], [36.0]]
  np.testing.assert_allclose(gram, np.array(rows) @ np.array(rows).T)


def test_key_and_extras_reach_the_weighting():
  def update(losses, state, *, key=None, losses_after=None, **extra):
    return {"a": key + losses_after}, state

  compute = losses_and_gradients(lambda x: ({"a": x}, None), fixed()._replace(update=update))
  result, _ = compute(jnp.float32(1.0), (), key=jnp.float32(2.0), losses_after=jnp.float32(3.0))
  assert float(result.gradients) == 5.0


def test_weights_in_another_precision_become_that_of_the_losses():
  def loss_fn(x):
    return {"a": x.astype(jnp.bfloat16)}, None

  careless = fixed()._replace(update=lambda losses, state, **_: ({"a": jnp.float32(0.5)}, state))
  result, _ = losses_and_gradients(loss_fn, careless)(jnp.float32(1.0), ())
  assert result.weights["a"].dtype == jnp.bfloat16
  assert float(result.gradients) == 0.5


def test_wrong_arguments_are_refused():
  with pytest.raises(ValueError, match="gram_at: choose from logits, features, params; got 'x'"):
    losses_and_gradients(SPLIT, fixed(), gram_at="x")
  with pytest.raises(ValueError, match="num_microbatches: must be an integer >= 1, got 0"):
    losses_and_gradients(SPLIT, fixed(), num_microbatches=0)
  with pytest.raises(ValueError, match="loss_fn: must be a SplitLoss with gram_at='logits'"):
    losses_and_gradients(lambda x: x, _recorder(1.0), gram_at="logits")
  with pytest.raises(ValueError, match="loss_fn: must be a FeatureLoss with gram_at='features'"):
    losses_and_gradients(SPLIT, _recorder(1.0), gram_at="features")


HEADS = {"mask": jnp.ones(2), "label": jnp.ones(3)}


@pytest.mark.parametrize(
  ("losses", "shared"),
  [
    (lambda z: {"a": z["mask"].sum(), "b": (z["label"] ** 2).sum()}, False),
    (lambda z: {"a": z["mask"].sum(), "b": (z["mask"] ** 2).sum()}, True),
    (lambda z: {"a": z["mask"].sum(), "b": z["label"].sum() * z["mask"].max()}, True),
    (lambda z: {"a": z["mask"].sum(), "b": z["label"].sum(), "c": jnp.cos(z["mask"][0])}, True),
    (lambda z: {"a": z["mask"].sum()}, True),
    (lambda z: {"a": z["mask"].sum(), "b": jnp.float32(2.0)}, False),
    (lambda z: jnp.stack([z["mask"].sum(), z["label"].sum()]), True),  # not told apart
  ],
)
def test_whether_losses_read_the_same_outputs(losses, shared):
  assert share_inputs(losses, HEADS) == shared


def test_gradients_at_outputs_that_no_two_losses_share_give_a_warning():
  split = SplitLoss(
    lambda p: ({"mask": p * 2.0, "label": p * 3.0}, None),
    lambda z: {"a": z["mask"].sum(), "b": -z["label"].sum()},
  )
  weighting = pcgrad()
  state = weighting.init({"a": 0.0, "b": 0.0})
  with pytest.warns(UserWarning, match="no two losses read the same output"):
    result, _ = losses_and_gradients(split, weighting, gram_at="logits")(jnp.ones(2), state)
  assert {name: float(weight) for name, weight in result.weights.items()} == {"a": 1.0, "b": 1.0}
  result, _ = losses_and_gradients(split, weighting, gram_at="params")(jnp.ones(2), state)
  assert result.weights["a"] > 1.1  # they do conflict
