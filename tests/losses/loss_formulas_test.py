"""Losses that no peer has, against their numpy formulas on 500 random batches each."""

import functools

import jax
import numpy as np
import pytest

from mlseg import losses
from tests.losses import formulas
from tests.metrics.random_masks import random_labels

NUM_CASES = 168
SHAPES = ((2, 1), (2, 4), (3, 2), (3, 3), (4, 1), (4, 4), (5, 2), (5, 3))  # classes, batch
GLANDS = {"containment": ((2, 1),), "exclusion": ((0, 1),)}
CHAIN = {"containment": ((2, 1), (1, 0))}


@functools.cache
def _cases(size):
  """Returns (logits, masks) of all cases."""
  cases = []
  for seed in range(NUM_CASES):
    num_classes, batch = SHAPES[seed % len(SHAPES)]
    labels = random_labels(seed, num_classes=num_classes, batch=batch, shape=size)
    masks = np.eye(num_classes, dtype=np.float32)[labels]
    logits = np.random.default_rng(seed).normal(0, 2, masks.shape) + masks
    cases.append((logits.astype(np.float32), masks))
  return cases


PAIRS = {
  "dynamically_weighted_balanced": (
    losses.dynamically_weighted_balanced,
    formulas.dynamically_weighted_balanced,
  ),
  "ordered_weighted_cross_entropy": (
    losses.ordered_weighted_cross_entropy,
    formulas.ordered_weighted_cross_entropy,
  ),
  "focal_tversky": (losses.focal_tversky, formulas.focal_tversky),
  "class_balanced_dice_inverse": (
    functools.partial(losses.class_balanced_dice, class_weights="inverse"),
    functools.partial(formulas.class_balanced_dice, weigh=lambda part: 1 / (part + 1e-6)),
  ),
  "lovasz_softmax_all": (
    functools.partial(losses.lovasz_softmax, classes="all"),
    functools.partial(formulas.lovasz_softmax, every_class=True),
  ),
}


@pytest.mark.parametrize(("loss", "formula"), PAIRS.values(), ids=PAIRS)
def test_agrees_with_its_formula(loss, formula):
  compiled = jax.jit(loss)
  for seed, (logits, masks) in enumerate(_cases((9, 8))):
    expected = [
      formula(x, g) for x, g in zip(logits.astype(float), masks.astype(float), strict=True)
    ]
    np.testing.assert_allclose(
      compiled(logits, masks), expected, rtol=1e-5, atol=1e-6, err_msg=f"case {seed}"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["topology", "geometry"])
@pytest.mark.parametrize("table", [{}, GLANDS, CHAIN], ids=["free", "glands", "chain"])
def test_losses_of_label_vectors_agree_with_their_formulas(name, table):
  loss = jax.jit(functools.partial(getattr(losses, name), **table))
  formula = functools.partial(getattr(formulas, name), **table)
  num_compared = 0
  for seed, (logits, masks) in enumerate(_cases((6, 5))):
    if table and masks.shape[-1] < 3:
      continue
    labels = masks.copy()
    for inner, outer in table.get("containment", ()):  # so that most pixels are allowed
      labels[..., outer] = np.maximum(labels[..., outer], labels[..., inner])
    pairs = zip(logits.astype(float), labels.astype(float), strict=True)
    expected = [formula(x, g) for x, g in pairs]
    np.testing.assert_allclose(
      loss(logits, labels), expected, rtol=1e-5, atol=1e-5, err_msg=f"case {seed}"
    )
    num_compared += len(masks)
  assert num_compared >= 150
