"""Pure functions of one model: start, train for some steps, validate, test, explain."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mlseg.data import pipeline
from mlseg.data.cases import Cases
from mlseg.data.splits.grouped import Split
from mlseg.errors import user_errors
from mlseg.models import (
  Outputs,
  averaging,
  gradcam,
  predictions_of,
  with_covariate_statistics,
)
from mlseg.models.mask_rcnn import Predictions
from mlseg.postprocessing.choice import THRESHOLDS
from mlseg.recipe import experiment as recipe_experiment
from mlseg.recipe import model as recipe_model
from mlseg.recipe.experiment import Experiment
from mlseg.recipe.prediction import VALIDATION
from mlseg.training import batches, calibrate, conflict, objective
from mlseg.training import step as train_step
from mlseg.training.evaluation import Evaluation, make_evaluate
from mlseg.training.model_parts import Mapped, ModelInputs, Parts, PyTree, Shared, make_parts
from mlseg.training.step import StepLog, TrainState
from mlseg.training.validation import Validation, validate
from mlseg.weighting import SplitLoss


class Functions(NamedTuple):
  """The functions of one model.

  Attributes:
    inputs: `inputs(cases, split, run) -> ModelInputs` on the host, from the data set, the model's
      split and the index of its recipe.
    init: `init((seed, stopped, covariate_statistics), (image, pretrained)) -> TrainState`; the
      statistics are those of `ModelInputs`.
    run: `run(mapped, (data, count), skip_stopped) -> (state, StepLog)`, so many steps; for the last
      argument see `step.make_run`.
    cosines: `cosines(mapped, (data, number)) -> [K, K]`, between the gradients of the losses in the
      next step; see `conflict.make_cosines`. The number is not read.
    validate: `validate(mapped, (data, epoch)) -> (state, Validation)`, which also keeps the best
      variables, and stops a model whose patience is at its end.
    test: `test(variables, images, masks, covariates=None) -> Evaluation`, without losses, by the
      recipe's views.
    test_ensemble: `test_ensemble(variables of each model, images, masks, covariates=None) ->
      Evaluation` of the mean probabilities of models, without the objects of a detector.
    explain: `explain(variables, images, covariates=None) -> [methods, N, H, W]` uint8, the saliency
      map of the answer of the head of classes by each of `gradcam.METHODS`; None without that head.
    steps_per_epoch: full batches in the training set.
    num_steps: steps of the whole run.
  """

  inputs: Callable[[Cases, Split, int], ModelInputs]
  init: Callable[[tuple[jax.Array, jax.Array, PyTree], tuple[jax.Array, PyTree]], TrainState]
  run: Callable[..., tuple[TrainState, StepLog]]
  cosines: Callable[[Mapped, Shared], jax.Array]
  validate: Callable[[Mapped, Shared], tuple[TrainState, Validation]]
  test: Callable[..., Evaluation]
  test_ensemble: Callable[..., Evaluation]
  explain: Callable[..., jax.Array] | None
  steps_per_epoch: int
  num_steps: int


def make_functions(experiments: Sequence[Experiment], num_train: int, cases: Cases) -> Functions:
  """Returns the functions of one model of any of the recipes.

  Args:
    experiments: the recipes, whose `common` is the same.
    num_train: cases in the training set, the same for all seeds.
    cases: the data set, for its classes and diagnoses.

  Raises:
    UserError: a recipe does not fit the data.
  """
  first = experiments[0]
  recipe_experiment.check_data(first, len(cases.class_names), len(cases.diagnosis_names))
  steps_per_epoch = num_train // first.batch_size
  parts = make_parts(experiments, num_train, cases)
  # Over several tiles there are no features to look at.
  classify = None if first.data.patch_size else parts.model.classify
  has_findings = parts.model.has_findings
  predict = averaging.over_views(parts.predict, first.prediction.views, has_findings)
  evaluate = functools.partial(
    make_evaluate,
    num_classes=parts.num_classes,
    batch_size=first.batch_size,
    valid=parts.valid,
    thresholds=THRESHOLDS if first.prediction.threshold == VALIDATION else (),
    stride=calibrate.stride if first.prediction.calibrates else None,
  )
  return Functions(
    inputs=parts.inputs,
    init=functools.partial(_init, parts),
    run=functools.partial(_run, parts),
    cosines=functools.partial(_cosines, parts),
    validate=functools.partial(validate, parts),
    test=evaluate(predict, found=_found if parts.max_objects else None),
    test_ensemble=evaluate(averaging.over_models(predict, has_findings)),
    explain=None if classify is None else functools.partial(_explain, parts, classify, predict),
    steps_per_epoch=steps_per_epoch,
    num_steps=steps_per_epoch * first.num_epochs,
  )


def _init(
  parts: Parts, own: tuple[jax.Array, jax.Array, PyTree], shared: tuple[jax.Array, PyTree]
) -> TrainState:
  (seed, stopped, statistics), (image, loaded), joint = own, shared, parts.joint
  init_key, key = jax.random.split(jax.random.key(seed))
  fresh = parts.model.init(init_key, pipeline.to_float(image))
  variables = recipe_model.insert_pretrained(fresh, loaded)
  if statistics is not None:
    variables = with_covariate_statistics(variables, *statistics)
  names = tuple(joint.loss_names)
  averages = parts.experiment.optimizer.ema > 0
  state = train_step.init_state(key, variables, joint.optimizer, joint.weighting, names, averages)
  return state._replace(stopped=stopped)


def _run(
  parts: Parts, mapped: Mapped, shared: Shared, skip_stopped: bool
) -> tuple[TrainState, StepLog]:
  (state, inputs, _), (_, count), experiment = mapped, shared, parts.experiment
  with user_errors("config.weighting"):
    step = train_step.make_step(
      _loss_fn(parts, inputs),
      parts.joint.optimizer,
      parts.joint.weighting,
      experiment.weighting.gram_at,
      experiment.num_microbatches,
      experiment.max_nonfinite,
      experiment.optimizer.ema,
      _present(parts),
    )
  steps = train_step.make_run(
    step, batches.make_batch_at(experiment, parts.has_unlabelled), skip_stopped
  )
  return steps(state, _source(mapped, shared), count, **inputs.extra)


def _cosines(parts: Parts, mapped: Mapped, shared: Shared) -> jax.Array:
  (state, inputs, _), experiment = mapped, parts.experiment
  cosines = conflict.make_cosines(
    _loss_fn(parts, inputs), experiment.num_microbatches, _present(parts)
  )
  batch_at = batches.make_batch_at(experiment, parts.has_unlabelled)
  data_key = jax.random.split(state.key)[0]  # as `train_step.make_run` takes it
  return cosines(state, batch_at(_source(mapped, shared), data_key, state.step))


def _loss_fn(parts: Parts, inputs: ModelInputs) -> SplitLoss:
  return objective.make_loss_fn(
    parts.model,
    parts.losses(inputs),
    parts.num_classes,
    parts.max_objects,
    parts.label_table,
    parts.is_partial,
  )


def _present(parts: Parts) -> Callable[[batches.Batch], train_step.Scalars] | None:
  """Returns which losses a batch has, where training cases lack masks or diagnoses."""
  names = parts.joint.loss_names
  return functools.partial(objective.present, names) if parts.is_partial else None


def _source(mapped: Mapped, shared: Shared) -> batches.Data | batches.Chunk:
  """Returns the data that a model's batches are taken from."""
  (_, inputs, own), (data, _) = mapped, shared
  if own is not None:
    return own
  return data._replace(train=inputs.train, groups=inputs.groups, hidden=inputs.hidden)


def _explain(
  parts: Parts,
  classify: Callable[..., jax.Array],
  predict: averaging.Predict,
  variables: PyTree,
  images: jax.Array,
  covariates: jax.Array | None = None,
) -> jax.Array:
  inputs = (images,) if covariates is None else (images, covariates)
  outputs = parts.predict(variables, *inputs)
  one_view = parts.experiment.prediction.views == averaging.ONE
  answer = outputs if one_view else predict(variables, *inputs)
  head, labels = functools.partial(classify, variables), answer.class_logits.argmax(-1)
  size, slices = images.shape[1:3], parts.experiment.data.num_slices
  maps = [
    gradcam.normalised(gradcam.saliency(head, outputs.features, labels, method), size, slices)
    for method in gradcam.METHODS
  ]
  return jnp.rint(255 * jnp.stack(maps)).astype(jnp.uint8)


def _found(outputs: Outputs) -> Predictions:
  return predictions_of(outputs.detections)
