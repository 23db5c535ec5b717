"""The multi-task network in mlseg, trained by the functions with which mlseg trains its recipe."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mlseg.recipe import gram as recipe_gram
from mlseg.recipe import losses as recipe_losses
from mlseg.recipe import model as recipe_model
from mlseg.recipe import optimizer as recipe_optimizer
from mlseg.recipe import parse
from mlseg.recipe import weighting as recipe_weighting
from mlseg.training import batches, objective
from mlseg.training import step as train_step
from speed_parts import in_mlseg
from speed_parts import multitask_problem as problems
from speed_parts.in_mlseg import Training
from speed_parts.problem import Problem, make_data
from speed_parts.worker import Session

PyTree = Any
RECIPE = pathlib.Path(__file__).resolve().parents[2] / "configs" / "multitask_busi.py"
DIAGNOSIS = "classification_weighted_cross_entropy"


def recipe(problem: Problem, encoder: str = problems.MOBILENET) -> ConfigDict:
  """Returns the recipe with the sizes of a problem; those of the reference are the recipe's."""
  config, _ = parse.parse(["", f"--config={RECIPE}"])
  config.data.image_size = problem.size
  config.batch_size = problem.batch
  config.model.encoder = encoder
  if encoder != problems.MOBILENET:
    config.model.convention = "auto"
  config.model.decoder_filters = problems.decoder_filters(problem)
  return config


def make_training(problem: Problem, encoder: str = problems.MOBILENET) -> Training:
  """Returns the training of the recipe, without augmentation and pretrained weights."""
  config = recipe(problem, encoder)
  model = recipe_model.make_model(config, problem.num_classes, problems.NUM_LABELS)
  class_weights = {DIAGNOSIS: jnp.array(problems.LABEL_WEIGHTS, jnp.float32)}
  losses = recipe_losses.make_losses(
    recipe_losses.read(config), problem.num_classes, problems.NUM_LABELS, class_weights
  )
  loss_fn = objective.make_loss_fn(model, losses, problem.num_classes)
  # The learning rate is constant, so the number of steps does not matter.
  optimizer = recipe_optimizer.make_optimizer(config, config.num_epochs)
  method = recipe_weighting.make_weighting(config, 1)
  gram_at = recipe_gram.place(config.weighting.gram_at, config.losses)
  step = train_step.make_step(loss_fn, optimizer, method, gram_at)
  many = train_step.make_run(step, lambda batch, key, number: batch)
  images, masks = make_data(problem)

  def init(key: jax.Array) -> train_step.TrainState:
    variables = model.init(key, jnp.zeros_like(images[:1]))
    return train_step.init_state(key, variables, optimizer, method, tuple(losses))

  def forward(variables: PyTree, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    outputs = model.apply(variables, images, False)[0]
    return outputs.logits, outputs.class_logits

  labels = jnp.asarray(problems.make_labels(problem))
  batch = batches.Batch(jnp.asarray(images), jnp.asarray(masks), labels)
  return Training(init, step, many, forward, batch)


def open_session(problem: Problem, options: dict[str, Any]) -> Session:
  """Builds and compiles the network; the options are those of `in_mlseg.session_of`."""
  training = make_training(problem, options.get("encoder", problems.MOBILENET))
  return in_mlseg.session_of(training, problem.seed, options)
