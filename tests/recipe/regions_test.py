"""One table of regions for a network and its losses: what follows from it, and what disagrees."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlseg.errors import UserError
from mlseg.losses.topology import label_vectors
from mlseg.models import class_labels
from mlseg.recipe import experiment, parse, regions
from mlseg.recipe import losses as recipe_losses

GLANDS = pathlib.Path(__file__).parents[2] / "configs" / "glands.py"
LUMEN = (
  "--config.data.folder.classes=(('background', 0), ('gland', 1), ('lumen', 2))",
  "--config.model.containment=((2, 1),)",
)


@pytest.mark.parametrize(
  ("count", "containment", "expected"),
  [
    (2, (), ((0, 1),)),  # what the recipe of Warwick-QU writes out
    (3, ((2, 1),), ((0, 1), (0, 2))),  # BenTaieb & Hamarneh: stroma excludes gland and lumen
    (3, (), ((0, 1), (0, 2), (1, 2))),
    (4, ((2, 1), (3, 2)), ((0, 1), (0, 2), (0, 3))),  # a nucleus in the lumen is in the gland
    (4, ((2, 1), (3, 1)), ((0, 1), (0, 2), (0, 3), (2, 3))),
  ],
)
def test_regions_exclude_each_other_unless_they_are_nested(count, containment, expected):
  assert regions.exclusion(count, containment) == expected
  # Under the whole table a pixel has the labels of exactly one class, or none.
  vectors = label_vectors(count, containment, expected)
  valid = {tuple(row) for row in class_labels(count, containment).astype(int).tolist()}
  assert {tuple(row) for row in vectors.tolist()} == {(0,) * count, *valid}


def test_the_losses_of_a_folder_follow_the_table_of_the_network():
  config = parse.parse(["", f"--config={GLANDS}:folder+s+t+g", *LUMEN])[0]
  experiment.read(config)
  written = parse.parse(["", f"--config={GLANDS}:s+t+g", LUMEN[1]])[0]
  for name in regions.LOSSES:
    own = written.loss_options[name]
    own.containment, own.exclusion = ((2, 1),), ((0, 1), (0, 2))
  logits = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
  labels = class_labels(3, ((2, 1),))[np.random.default_rng(0).integers(0, 3, (2, 8, 8))]
  own, expected = (
    recipe_losses.make_losses(recipe_losses.read(one), 3) for one in (config, written)
  )
  for name in regions.LOSSES:
    values = own[name](logits, jnp.asarray(labels))
    np.testing.assert_array_equal(values, expected[name](logits, jnp.asarray(labels)))


@pytest.mark.parametrize(
  ("variant", "flags", "message"),
  [
    ("s+t+g", LUMEN[1:], (
      "config.loss_options.topology.containment must have the pairs of config.model.containment,"
      " ((2, 1),), not ();"
    )),
    ("s+t+g", ("--config.loss_options.geometry.containment=((1, 0),)",), (
      "config.loss_options.geometry.containment must have the pairs of config.model.containment,"
      " (), not ((1, 0),);"
    )),
    ("folder+s+t+g", LUMEN[1:], (
      "config.model.containment must be pairs of classes below 2, the number of"
      " config.data.folder.classes, not ((2, 1),)"
    )),
    ("folder+s+t+g", ("--config.loss_options.topology.exclusion=modl",), (
      "config.loss_options.topology.exclusion must be a tuple of 0 or more entries"
    )),
  ],
)  # fmt: skip
def test_tables_that_disagree_are_refused(variant, flags, message):
  with pytest.raises(UserError, match=re.escape(message)) as caught:
    experiment.read(parse.parse(["", f"--config={GLANDS}:{variant}", *flags])[0])
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
  "recipe", ["glands:folder", "multitask_busi:folder", "strong:folder+joint"]
)
@pytest.mark.parametrize(
  ("flags", "is_right"),
  [
    ((), False),
    (("images=images/{label}/{name}.png",), True),
    (("table=t.csv", "label_column=grade", "id_column=name"), True),
    (("table=t.csv", "patient_column=p", "id_column=name"), False),
    (("label_column=grade",), False),
  ],
)
def test_a_head_of_diagnoses_needs_a_folder_that_names_them(recipe, flags, is_right):
  file, variant = recipe.split(":")
  flags = [f"--config.data.folder.{flag}" for flag in flags]
  config = parse.parse(["", f"--config={GLANDS.with_name(file)}.py:{variant}", *flags])[0]
  if is_right:
    experiment.read(config)
    return
  with pytest.raises(UserError, match=r"folder names no diagnosis: write \{label\} into"):
    experiment.read(config)


@pytest.mark.parametrize("recipe", ["glands:folder+s+t+g", "multitask_busi:folder+segmentation"])
def test_masks_alone_need_no_diagnosis(recipe):
  file, variant = recipe.split(":")
  config = parse.parse(["", f"--config={GLANDS.with_name(file)}.py:{variant}"])[0]
  assert experiment.read(config).data.name == "folder"


@pytest.mark.parametrize("name", ["folder+unet", "folders"])
def test_a_recipe_of_other_data_has_no_such_variant(name):
  for file, variant in (("multitask_busi", name), ("multitask_lgg", "folder"), ("glands", name)):
    with pytest.raises(UserError, match=re.escape(f"unknown variant '{variant}': choose from")):
      parse.parse(["", f"--config={GLANDS.with_name(file)}.py:{variant}"])
