"""The network for histology: equal to plain Flax layers, of any size, labels within labels."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg import losses
from mlseg.models import HistologyFCN, class_labels, class_scores, from_linen


class _Plain(nn.Module):
  """The same network from Flax's own layers, for two halvings."""

  @nn.compact
  def __call__(self, images, train):
    def level(number, activations, filters):
      activations = nn.relu(nn.Conv(filters, (3, 3), name=f"conv_{number}")(activations))
      norm = nn.BatchNorm(not train, momentum=0.9, name=f"norm_{number}")
      return norm(activations)

    def halved(activations):
      return nn.max_pool(activations, (2, 2), (2, 2), padding="SAME")

    def doubled(number, activations, skip, filters):
      up = nn.ConvTranspose(filters, (2, 2), (2, 2), name=f"up_{number}")(activations)
      return jnp.concatenate([up[:, : skip.shape[1], : skip.shape[2]], skip], -1)

    first = level(0, images, 4)
    second = level(1, halved(first), 8)
    last = level(2, halved(second), 16)
    activations = level(3, doubled(0, last, second, 8), 8)
    activations = level(4, doubled(1, activations, first, 4), 4)
    logits = nn.Conv(3, (1, 1), name="regions")(activations)
    hidden = nn.relu(nn.Dense(6, name="hidden")(last.mean((1, 2))))
    return logits, nn.Dense(2, name="class")(hidden)


def _renamed(tree):
  """Returns variables of ours under the names of the plain network."""
  names = {f"encoder_{n}": n for n in range(3)} | {f"decoder_{n}": n + 3 for n in range(2)}
  made = {"params": {}, "batch_stats": {}}
  for kind, parts in tree.items():
    for name, value in parts.items():
      if name in names:
        if "Conv_0" in value:
          made[kind][f"conv_{names[name]}"] = value["Conv_0"]
        made[kind][f"norm_{names[name]}"] = value["BatchNorm_0"]
      else:
        other = {
          "ups_0": "up_0", "ups_1": "up_1", "segmentation": "regions", "hidden_0": "hidden",
          "classification": "class",
        }  # fmt: skip
        made[kind][other[name]] = value
  return made


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (13, 22), (10, 7)])
def test_equals_plain_layers(size, train):
  net = HistologyFCN(3, 2, depth=2, filters=4, units=(6,))
  images = jax.random.uniform(jax.random.key(0), (2, *size, 3))
  variables = dict(net.init(jax.random.key(1), images, False))

  def total(module, variables):
    out, state = module.apply(variables, images, train, mutable=["batch_stats"])
    scores = (out.logits, out.class_logits) if isinstance(module, HistologyFCN) else out
    return sum(jnp.square(score).sum() for score in scores), (scores, state["batch_stats"])

  differentiate = jax.jit(jax.grad(total, argnums=1, has_aux=True), static_argnums=0)
  own, (scores, state) = differentiate(net, variables)
  expected = differentiate(_Plain(), _renamed(variables))
  plain, (plain_scores, plain_state) = expected
  assert scores[0].shape == (2, *size, 3)
  for actual, wanted in (
    (scores, plain_scores),
    (_renamed({"batch_stats": state})["batch_stats"], plain_state),
    (_renamed(own)["params"], plain["params"]),
  ):
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(wanted))
    jax.tree.map(
      lambda a, e, atol=1e-4 * largest: np.testing.assert_allclose(a, e, rtol=1e-3, atol=atol),
      actual,
      wanted,
    )


def test_halvings_of_the_papers_patches():
  net = HistologyFCN(2, 2, filters=2)
  images = jnp.zeros((1, 250, 250, 3))
  _, seen = jax.eval_shape(
    lambda k: net.init_with_output(k, images, False, capture_intermediates=True), jax.random.key(0)
  )
  kept = seen["intermediates"]
  sizes = [kept[f"encoder_{n}"]["__call__"][0].shape[1] for n in range(5)]
  assert sizes == [250, 125, 63, 32, 16]
  assert [kept[f"decoder_{n}"]["__call__"][0].shape[1] for n in range(4)] == [32, 63, 125, 250]


def test_the_head_of_classes_alone_gives_the_same_scores():
  net = HistologyFCN(0, 3, depth=1, filters=4)
  model = from_linen(net, HistologyFCN.classify)
  images = jax.random.uniform(jax.random.key(0), (2, 9, 8, 1))
  variables = model.init(jax.random.key(1), images)
  outputs, _ = model.apply(variables, images, False)
  assert outputs.logits is None
  np.testing.assert_array_equal(model.classify(variables, outputs.features), outputs.class_logits)


def test_classes_have_the_probabilities_of_their_label_vectors():
  containment = ((2, 1),)
  net = HistologyFCN(3, 0, containment, depth=1, filters=4)
  images = jax.random.uniform(jax.random.key(0), (1, 6, 6, 1))
  outputs, _ = net.init_with_output(jax.random.key(1), images, False)
  assert outputs.class_logits is None
  labels = class_labels(3, containment)
  np.testing.assert_allclose(
    outputs.logits, np.einsum("bhwr,cr->bhwc", outputs.regions, labels), rtol=1e-5, atol=1e-6
  )
  table = {"containment": containment, "exclusion": ((0, 1), (0, 2)), "need_label": True}
  for number, vector in enumerate(labels):
    masks = jnp.broadcast_to(vector, outputs.regions.shape)
    expected = -jax.nn.log_softmax(class_scores(outputs.regions, labels))[..., number].mean()
    loss = losses.topology(outputs.regions, masks, **table)
    np.testing.assert_allclose(loss, [expected], rtol=1e-5)


def test_containment_is_handed_on_and_checked():
  assert class_labels(4, ((3, 2), (2, 1))).tolist()[3] == [0, 1, 1, 1]
  for pairs, message in (
    (((1, 1),), "different classes below 3, got \\(1, 1\\)"),
    (((0, 3),), "different classes below 3, got \\(0, 3\\)"),
    (((0, 1), (1, 2), (2, 0)), "\\[0, 1\\] lie in each other"),
  ):
    with pytest.raises(ValueError, match=message):
      class_labels(3, pairs)
