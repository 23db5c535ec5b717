"""The section `config.model`: which heads a network has, and for which data it is."""

import pathlib

import pytest

from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import parse
from mlseg.recipe.networks import has_head

CONFIG = pathlib.Path(__file__).parents[2] / "configs" / "response_ct.py"


@pytest.mark.parametrize("variant", ["classification", "without_contrastive", "without_texture"])
def test_variants_leave_out_what_no_loss_reads(variant):
  config, _ = parse.parse(["", f"--config={CONFIG}:{variant}"])
  names = recipe_losses.loss_names(config)
  heads = {
    "segmentation": "soft_dice", "texture": "texture_cross_entropy",
    "embedding": ("supervised_contrastive", "triplet_hard"),
  }  # fmt: skip
  for head, losses in heads.items():
    reads = any(name in losses for name in names)
    assert has_head(config.model, head) == reads
