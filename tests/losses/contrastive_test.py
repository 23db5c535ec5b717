"""Losses of embeddings against plain loops, another library, hand-made cases and their laws."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import losses

LOSSES = {
  "supervised_contrastive": losses.supervised_contrastive,
  "hardest": functools.partial(losses.supervised_contrastive, num_hard_negatives=2),
  "weighted": functools.partial(losses.supervised_contrastive, hardness=2.0),
  "both": functools.partial(losses.supervised_contrastive, num_hard_negatives=3, hardness=1.0),
  "triplet_hard": losses.triplet_hard,
  "triplet_semihard": functools.partial(losses.triplet_hard, mining="semihard"),
  "triplet_soft": functools.partial(losses.triplet_hard, margin=None),
}
over_losses = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def _examples(seed, count=9, num_classes=3, size=4):
  rng = np.random.default_rng(seed)
  embeddings = rng.normal(size=(count, size)).astype(np.float32)
  return embeddings, rng.integers(0, num_classes, count)


def _supcon(embeddings, labels, temperature, num_hard=0, hardness=0.0):
  """Returns the loss of each anchor from the definition, one pair at a time."""
  z = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
  values = []
  for i in range(len(z)):
    similar = {a: float(z[i] @ z[a]) for a in range(len(z)) if a != i}
    positives = [a for a in similar if labels[a] == labels[i]]
    negatives = sorted((a for a in similar if labels[a] != labels[i]), key=lambda a: -similar[a])
    negatives = negatives[: num_hard or None]
    weights = np.array([np.exp(hardness * similar[a]) for a in negatives])
    weights = weights / weights.mean() if len(weights) else weights
    total = sum(np.exp(similar[a] / temperature) for a in positives)
    total += sum(
      w * np.exp(similar[a] / temperature) for w, a in zip(weights, negatives, strict=True)
    )
    terms = [-np.log(np.exp(similar[p] / temperature) / total) for p in positives]
    values.append(np.mean(terms) if terms else 0.0)
  return values


@pytest.mark.parametrize(("num_hard", "hardness"), [(0, 0.0), (2, 0.0), (0, 2.0), (3, 1.0)])
def test_supervised_contrastive_equals_the_definition(num_hard, hardness):
  loss = functools.partial(
    losses.supervised_contrastive, temperature=0.3, num_hard_negatives=num_hard, hardness=hardness
  )
  compiled = jax.jit(loss)
  for seed in range(100):
    embeddings, labels = _examples(seed)
    expected = _supcon(embeddings.astype(np.float64), labels, 0.3, num_hard, hardness)
    np.testing.assert_allclose(compiled(embeddings, labels), expected, rtol=1e-5, atol=1e-6)


def _triplet(embeddings, labels, margin, semihard=False):
  values = []
  for i in range(len(embeddings)):
    distance = np.linalg.norm(embeddings - embeddings[i], axis=1)
    positives = [distance[a] for a in range(len(labels)) if labels[a] == labels[i] and a != i]
    negatives = [distance[a] for a in range(len(labels)) if labels[a] != labels[i]]
    if not positives or not negatives:
      values.append(0.0)
      continue
    beyond = [d for d in negatives if d > max(positives)]
    nearest = min(beyond) if semihard and beyond else min(negatives)
    gap = max(positives) - nearest
    values.append(np.log1p(np.exp(gap)) if margin is None else max(0.0, margin + gap))
  return values


@pytest.mark.parametrize("margin", [0.3, 1.5, None])
@pytest.mark.parametrize("mining", ["hard", "semihard"])
def test_triplet_equals_the_definition(margin, mining):
  compiled = jax.jit(functools.partial(losses.triplet_hard, margin=margin, mining=mining))
  for seed in range(100):
    embeddings, labels = _examples(seed)
    expected = _triplet(embeddings.astype(np.float64), labels, margin, mining == "semihard")
    np.testing.assert_allclose(compiled(embeddings, labels), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_agrees_with_pytorch_metric_learning():
  torch = pytest.importorskip("torch")
  peers = pytest.importorskip("pytorch_metric_learning")
  for name in ("distances", "losses", "miners", "reducers"):
    importlib.import_module(f"pytorch_metric_learning.{name}")
  each = peers.reducers.DoNothingReducer()
  supcon = peers.losses.SupConLoss(temperature=0.2, reducer=each)
  plain = peers.distances.LpDistance(normalize_embeddings=False)
  triplet = peers.losses.TripletMarginLoss(margin=0.5, distance=plain, reducer=each)
  miner = peers.miners.BatchHardMiner(distance=plain)
  ours = _with_gradient(functools.partial(losses.supervised_contrastive, temperature=0.2))
  our_triplet = _with_gradient(functools.partial(losses.triplet_hard, margin=0.5))
  for seed in range(500):
    embeddings, labels = _examples(seed, num_classes=2 + seed % 4)
    x, y = torch.from_numpy(embeddings.astype(np.float64)), torch.from_numpy(labels)
    x.requires_grad_(True)
    expected = supcon(x, y)["loss"]["losses"]
    if torch.is_tensor(expected):  # it is no tensor where there is no positive or no negative
      found, gradient = ours(embeddings, labels)
      _check(found, expected, gradient, x)
    triplets = miner(x.detach(), y)
    if len(triplets[0]):
      found, gradient = our_triplet(embeddings, labels)
      expected = triplet(x, y, triplets)["loss"]["losses"]
      _check(found[np.asarray(triplets[0])], expected, gradient, x)


@pytest.mark.slow
def test_of_two_views_it_is_the_contrastive_loss_of_monai():
  torch = pytest.importorskip("torch")
  monai = pytest.importorskip("monai.losses")
  ours = _with_gradient(functools.partial(losses.supervised_contrastive, temperature=0.3))
  for seed in range(500):
    embeddings = _examples(seed, count=10)[0]
    x = torch.from_numpy(embeddings.astype(np.float64)).requires_grad_(True)
    expected = 10 * monai.ContrastiveLoss(temperature=0.3)(x[:5], x[5:])  # it is the mean
    found, gradient = ours(embeddings, np.arange(10) % 5)
    _check(found.sum(), expected, gradient, x)


def _with_gradient(loss):
  """Returns f(embeddings, labels) -> values [B] and the gradient of their sum."""

  def both(embeddings, labels):
    values, pull_back = jax.vjp(lambda x: loss(x, labels), embeddings)
    return values, pull_back(jnp.ones_like(values))[0]

  return jax.jit(both)


def _check(values, expected, gradient, x):
  np.testing.assert_allclose(values, expected.detach(), rtol=1e-5, atol=1e-6)
  expected.sum().backward()
  np.testing.assert_allclose(gradient, x.grad, rtol=1e-4, atol=1e-5)
  x.grad = None


@pytest.mark.slow
@over_losses
def test_gradient_equals_finite_differences_in_float64(loss):
  with jax.enable_x64(True):
    embeddings, labels = _examples(1)
    embeddings = embeddings.astype(np.float64)
    direction = np.random.default_rng(2).normal(size=embeddings.shape)
    value = lambda x: loss(jnp.asarray(x), jnp.asarray(labels)).sum()  # noqa: E731
    slope = np.vdot(np.asarray(jax.grad(value)(embeddings)), direction)
    step = 1e-6
    ahead, behind = value(embeddings + step * direction), value(embeddings - step * direction)
    if "hardness" in getattr(loss, "keywords", {}):
      # The weights are constants of the derivative, so its slope is not that of the value.
      assert abs(slope - (ahead - behind) / (2 * step)) > 1e-3
    else:
      np.testing.assert_allclose(slope, (ahead - behind) / (2 * step), rtol=1e-7, atol=1e-8)


@over_losses
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda d: d.__name__)
@pytest.mark.parametrize("kind", ["random", "equal", "zero", "huge", "one class", "all different"])
def test_value_and_gradient_are_finite(loss, dtype, kind):
  embeddings, labels = _examples(3)
  embeddings = {
    "equal": np.ones_like(embeddings),
    "zero": 0 * embeddings,
    "huge": 1e4 * embeddings,
  }.get(kind, embeddings)
  labels = {"one class": 0 * labels, "all different": np.arange(len(labels))}.get(kind, labels)
  values, pull_back = jax.vjp(lambda x: loss(x, labels), jnp.array(embeddings, dtype))
  (gradient,) = pull_back(jnp.ones_like(values))
  assert values.dtype == jnp.float32
  assert gradient.dtype == dtype
  assert jnp.isfinite(values).all()
  assert jnp.isfinite(gradient).all()
  if kind == "all different":
    np.testing.assert_array_equal(values, 0)


@over_losses
def test_examples_that_do_not_count_are_as_if_cut_off(loss):
  embeddings, labels = _examples(4)
  valid = np.array([1, 0, 1, 1, 1, 0, 1, 1, 0])
  kept = valid.astype(bool)
  values = loss(jnp.array(embeddings), jnp.array(labels), valid=jnp.array(valid))
  cut = loss(jnp.array(embeddings[kept]), jnp.array(labels[kept]))
  np.testing.assert_allclose(values[kept], cut, rtol=1e-5)
  np.testing.assert_array_equal(values[~kept], 0)


@over_losses
def test_permuting_the_batch_permutes_the_result(loss):
  embeddings, labels = _examples(5)
  order = np.random.default_rng(6).permutation(len(labels))
  values = loss(jnp.array(embeddings), jnp.array(labels))
  permuted = loss(jnp.array(embeddings[order]), jnp.array(labels[order]))
  np.testing.assert_allclose(permuted, values[order], rtol=1e-5, atol=1e-6)


def test_only_the_hardest_negatives_count():
  embeddings = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.6, 0.8], [-1.0, 0.0], [0.0, -1.0]])
  labels = jnp.array([0, 0, 1, 1, 1])
  mined = losses.supervised_contrastive(embeddings, labels, temperature=1.0, num_hard_negatives=1)
  # Anchor 0: its partner at similarity 1, the nearest of the others at 0.6.
  np.testing.assert_allclose(mined[0], np.log(1 + np.exp(0.6 - 1)), rtol=1e-6)


def test_has_partner_tells_the_anchors_with_a_loss():
  labels, valid = jnp.array([0, 1, 0, 2, 2]), jnp.array([1, 1, 1, 1, 0])
  assert losses.has_partner(labels).tolist() == [True, False, True, True, True]
  assert losses.has_partner(labels, valid).tolist() == [True, False, True, False, False]


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (lambda x, y: losses.supervised_contrastive(x[0], y), "embeddings: must be"),
    (lambda x, y: losses.supervised_contrastive(x, y[1:]), "labels: must be"),
    (lambda x, y: losses.triplet_hard(x, y, valid=y[1:]), "valid: must be"),
    (lambda x, y: losses.supervised_contrastive(x, y, temperature=0.0), "temperature: must be"),
    (lambda x, y: losses.supervised_contrastive(x, y, hardness=-1.0), "hardness: must be"),
    (
      lambda x, y: losses.supervised_contrastive(x, y, num_hard_negatives=-1),
      "num_hard_negatives: must be >= 0, got -1",
    ),
    (lambda x, y: losses.triplet_hard(x, y, margin=-0.1), "margin: must be"),
    (lambda x, y: losses.triplet_hard(x, y, mining="soft"), "mining: choose from hard, semihard"),
  ],
)
def test_wrong_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call(jnp.ones([3, 2]), jnp.zeros(3, int))
