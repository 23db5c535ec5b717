"""Losses of findings and of diagnoses go with data of their own kind, before anything is read."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mlseg import main
from mlseg.errors import UserError
from mlseg.models import Outputs
from mlseg.recipe import experiment, parse
from mlseg.recipe import losses as recipe_losses
from mlseg.training import objective
from mlseg.training.batches import Batch
from tests.data.layouts import CONFIG as FOLDER

CONFIG = FOLDER.with_name("findings.py")
FINDINGS = "classification_binary_cross_entropy"


def _content(*flags, config=CONFIG):
  return parse.content(["", f"--config={config}", *(f"--config.{flag}" for flag in flags)])


@pytest.mark.parametrize(
  "loss", ["cross_entropy", "focal", "weighted_cross_entropy"], ids=lambda name: name
)
def test_findings_are_not_learned_as_one_diagnosis(loss, tmp_path, capsys):
  flags = [f"--config.losses=('soft_dice', 'classification_{loss}')", f"--workdir={tmp_path}/run"]
  assert main.main(["main", f"--config={CONFIG}", *flags]) == 2
  said = capsys.readouterr().err.splitlines()
  assert said == [
    f"mlseg: config.losses: 'classification_{loss}' is of one diagnosis of several, and a case may"
    f" have several of config.data.folder.label_columns: use '{FINDINGS}'"
  ]
  assert not (tmp_path / "run").exists()


def test_a_diagnosis_is_not_learned_as_findings(tmp_path, capsys):
  config = FOLDER.with_name("multitask_busi.py")
  flags = [f"--config.losses=('soft_dice', '{FINDINGS}')", f"--workdir={tmp_path}/run"]
  assert main.main(["main", f"--config={config}", *flags]) == 2
  said = capsys.readouterr().err.splitlines()
  assert said == [
    f"mlseg: config.losses: '{FINDINGS}' needs cases that may have several findings, the columns of"
    " config.data.folder.label_columns"
  ]


def test_a_head_has_a_logit_for_each_finding():
  network = experiment.read(_content("data.folder.label_columns=('a', 'b', 'c')")).network
  model = network.make(2, 3)
  assert model.has_findings
  images = jax.ShapeDtypeStruct((2, 64, 64, 1), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), images)
  outputs, _ = jax.eval_shape(lambda v, x: model.apply(v, x, False), variables, images)
  assert outputs.class_logits.shape == (2, 3)
  one = experiment.read(_content("data.folder.label_columns=('a',)")).network.make(2, 1)
  assert one.has_findings


def test_the_loss_is_the_mean_of_optax_over_findings():
  rng = np.random.default_rng(0)
  logits = rng.normal(size=(5, 3)).astype(np.float32) * 4
  findings = rng.integers(0, 2, (5, 3)).astype(np.int32)
  recipe = recipe_losses.LossRecipe(
    names=(FINDINGS,), auxiliary=None, options={FINDINGS: {"positive_weight": (1.0, 2.0, 0.5)}},
    network="made", heads=frozenset({"classification"}), has_volumes=False, num_textures=0,
    targets=None, has_findings=True,
  )  # fmt: skip
  batch = Batch(images=None, masks=jnp.zeros((5, 4, 4), int), labels=jnp.asarray(findings))
  terms = optax.sigmoid_binary_cross_entropy(logits, findings)
  for options, weights in (({}, 1.0), (recipe.options, np.where(findings, [1.0, 2.0, 0.5], 1.0))):
    functions = recipe_losses.make_losses(recipe._replace(options=options), 2, 3)
    found = objective.per_example(functions, Outputs(class_logits=jnp.asarray(logits)), batch, 2)
    np.testing.assert_allclose(found[FINDINGS], (weights * terms).mean(1), rtol=1e-5)
  with pytest.raises(
    UserError, match=r"positive_weight: must be one number or one per class \(2\)"
  ):
    recipe_losses.make_losses(recipe, 2, 2)


def test_the_area_of_findings_may_choose_the_epoch():
  for flags in (["selection=auc"], ["selection=accuracy"], ["selection=mean"]):
    recipe = experiment.read(_content(*flags))
    experiment.check_data(recipe, 2, 5)
  diagnoses = experiment.read(
    _content("selection=auc", config=FOLDER.with_name("multitask_busi.py"))
  )
  with pytest.raises(UserError, match="'auc' needs cases of two labels, not 5"):
    experiment.check_data(diagnoses, 2, 5)
