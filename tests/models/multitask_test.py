"""The multi-task network: shapes, which head reads what, skips, gates, frozen stages."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg.models import MultiTaskUNet, from_linen, make_encoder
from mlseg.models.encoders.encoder import stage_labels
from mlseg.models.layers.attention import AttentionGate
from tests.models.short_encoder import make_short

SMALL = (8, 8, 8, 8, 8)


def _net(encoder="mobilenet_v2", num_classes=2, num_labels=3, **options):
  width = 0.35 if encoder == "mobilenet_v2" else 1.0
  made = make_encoder(encoder, "keras" if encoder == "mobilenet_v2" else "auto", width)
  return MultiTaskUNet(made, num_classes, num_labels, SMALL, units=(4,), **options)


def _shapes(net, size=64):
  model = from_linen(net, MultiTaskUNet.classify)
  images = jnp.zeros((2, size, size, 1))
  variables = jax.eval_shape(model.init, jax.random.key(0), images)
  return variables, jax.eval_shape(lambda v: model.apply(v, images, False)[0], variables)


@pytest.mark.parametrize("encoder", ["mobilenet_v2", "vgg16"])
@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize("attention", [True, False])
def test_every_form_scores_pixels_and_images(encoder, skips, attention):
  variables, outputs = _shapes(_net(encoder, skips=skips, attention=attention))
  assert outputs.logits.shape == (2, 64, 64, 2)
  assert outputs.class_logits.shape == (2, 3)
  assert outputs.features.shape[:3] == (2, 2, 2)
  gates = [p for p in jax.tree_util.tree_leaves_with_path(variables) if "Attention" in str(p)]
  assert bool(gates) == (skips and attention)


@pytest.mark.slow
@pytest.mark.parametrize(
  ("encoder", "skips"),
  [
    ("efficientnet_lite0", (112, 40, 24, 16, 0)),
    ("resnet18", (256, 128, 64, 64, 0)),
    ("convnext_tiny", (384, 192, 96, 0, 0)),
  ],
)
def test_a_level_reads_what_the_encoder_has_of_its_size(encoder, skips):
  variables, outputs = _shapes(_net(encoder, attention=True))
  assert outputs.logits.shape == (2, 64, 64, 2)
  for index, channels in enumerate(skips):
    level = variables["params"][f"levels_{index}"]
    assert level["Conv_0"]["kernel"].shape[2] == 8 + channels
    assert ("AttentionGate_0" in level) == (channels > 0)


@pytest.mark.slow
def test_a_task_alone_has_the_parameters_of_its_part_only():
  joint, _ = _shapes(_net())
  pixels, of_pixels = _shapes(_net(num_labels=0))
  labels, of_labels = _shapes(_net(num_classes=0))
  assert of_pixels.class_logits is None
  assert of_labels.logits is None
  names = [set(v["params"]) for v in (joint, pixels, labels)]
  assert names[1] | names[2] == names[0]
  assert names[1] & names[2] == {"encoder"}


@pytest.mark.slow
def test_without_skips_a_level_reads_the_coarser_one_only():
  with_skips, _ = _shapes(_net())
  without, _ = _shapes(_net(skips=False))
  first = [v["params"]["levels_0"]["Conv_0"]["kernel"].shape for v in (with_skips, without)]
  assert first[1] == (3, 3, 8, 8)
  assert first[0][2] > 8


@pytest.mark.slow
def test_the_head_alone_gives_the_scores_of_the_whole(monkeypatch):
  make_short(monkeypatch.setattr)
  model = from_linen(_net(), MultiTaskUNet.classify)
  images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 3))
  variables = jax.jit(model.init)(jax.random.key(1), images)
  outputs = jax.jit(model.apply, static_argnums=2)(variables, images, False)[0]
  found = model.classify(variables, outputs.features)
  np.testing.assert_allclose(found, outputs.class_logits, rtol=1e-6)


@pytest.mark.slow
def test_a_frozen_stage_stays_and_the_others_move(monkeypatch):
  make_short(monkeypatch.setattr)
  model = from_linen(_net(num_labels=2))
  images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 1))
  variables = jax.jit(model.init)(jax.random.key(1), images)
  rates = {f"stage_{n}": optax.set_to_zero() for n in range(3)}
  rates |= {"stage_3": optax.sgd(0.1), "stage_4": optax.sgd(0.1), "head": optax.sgd(0.1)}
  optimizer = optax.multi_transform(rates, stage_labels)

  @jax.jit
  def step(variables):
    def total(params):
      outputs, _ = model.apply({**variables, "params": params}, images, True)
      return (outputs.logits**2).mean() + (outputs.class_logits**2).mean()

    params = variables["params"]
    updates, _ = optimizer.update(jax.grad(total)(params), optimizer.init(params), params)
    return optax.apply_updates(params, updates)

  after = step(variables)
  for path, old in jax.tree_util.tree_leaves_with_path(variables["params"]):
    names = [key.key for key in path]
    new = after
    for name in names:
      new = new[name]
    frozen = bool({"stage_0", "stage_1", "stage_2"} & set(names))
    assert bool((old == new).all()) == frozen or not frozen, names
  moved = after["encoder"]["stage_4"]["last"]["kernel"]
  assert (moved != variables["params"]["encoder"]["stage_4"]["last"]["kernel"]).any()


def test_a_gate_is_its_formula():
  rng = np.random.default_rng(0)
  skip = rng.normal(size=(2, 4, 6, 3)).astype(np.float32)
  coarse = rng.normal(size=(2, 2, 3, 5)).astype(np.float32)
  gate = AttentionGate(4)
  variables = gate.init(jax.random.key(0), skip, coarse)
  kernels = {name: np.asarray(v["kernel"])[0, 0] for name, v in variables["params"].items()}
  small = skip.reshape(2, 2, 2, 3, 2, 3).mean((2, 4))
  hidden = np.maximum(small @ kernels["skip"] + coarse @ kernels["gate"], 0)  # biases start at 0
  weights = 1 / (1 + np.exp(-(hidden @ kernels["psi"])))
  expected = skip * weights.repeat(2, 1).repeat(2, 2)
  np.testing.assert_allclose(gate.apply(variables, skip, coarse), expected, rtol=1e-5)


@pytest.mark.slow
def test_deep_supervision_and_dropout_change_training_alone(short_encoder):
  images = jax.random.uniform(jax.random.key(0), (2, 32, 32, 1))
  plain, other = (
    from_linen(_net(decoder_convs=1, **options))
    for options in ({}, {"deep_supervision": 4, "dropout": 0.5})
  )
  shapes = jax.eval_shape(other.init, jax.random.key(1), images)
  rng = np.random.default_rng(0)
  variables = jax.tree.map(lambda s: jnp.asarray(0.3 * rng.random(s.shape), s.dtype), shapes)
  params = {n: v for n, v in variables["params"].items() if not n.startswith("deep_")}
  assert len(variables["params"]) == len(params) + 4

  # Evaluation is the same program.
  kept = {**variables, "params": params}
  programs = [
    str(jax.make_jaxpr(lambda v, m=model: m.apply(v, images, False)[0])(kept))
    for model in (plain, other)
  ]
  assert programs[0] == programs[1]

  apply = jax.jit(lambda key: other.apply(variables, images, True, key=key)[0])
  once, again, another = (apply(jax.random.key(seed)) for seed in (0, 0, 1))
  assert [x.shape for x in once.deep_logits] == [(2, s, s, 2) for s in (16, 8, 4, 2)]
  jax.tree.map(np.testing.assert_array_equal, once, again)
  for first, second in zip((once.logits, *once.deep_logits),
                           (another.logits, *another.deep_logits), strict=True):  # fmt: skip
    assert not np.array_equal(first, second)
  # The head of classes has no dropout.
  np.testing.assert_array_equal(once.class_logits, another.class_logits)
