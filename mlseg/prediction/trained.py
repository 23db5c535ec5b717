"""A trained run's folder as a network that can be used: its config, classes and variables."""

import hashlib
import json
import pathlib
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from mlseg.errors import UserError
from mlseg.files import read_bytes
from mlseg.models import Model
from mlseg.postprocessing.decision import PLAIN, Decision, Manner
from mlseg.postprocessing.temperature import Temperatures
from mlseg.recipe import experiment
from mlseg.recipe import prediction as recipe_prediction
from mlseg.recipe.data import DataRecipe
from mlseg.recipe.model import NetworkRecipe
from mlseg.recipe.prediction import PredictionRecipe
from mlseg.workdir import (
  calibration_file,
  case_table,
  data_table,
  diagnosis_table,
  model_file,
  postprocessing_file,
)
from mlseg.workdir.calibration_file import Calibration

PyTree = Any
_CHANNELS = (1, 3)


class Trained(NamedTuple):
  """The network of a run, from its folder."""

  name: str  # of the recipe, with its variant
  data: DataRecipe
  network: NetworkRecipe
  model: Model
  variables: PyTree  # arrays with a leading axis of seeds
  seeds: tuple[int, ...]
  class_names: tuple[str, ...]  # the background first
  label_names: tuple[str, ...]  # diagnoses or findings; empty where the network gives none
  channels: int  # of the network's pictures: 1 or 3
  digest: str  # SHA-256 of model.npz
  views: str  # of a picture, whose probabilities are averaged
  manner: Manner  # how the mean probabilities of the seeds become predictions
  manners: Mapping[int, Manner]  # likewise of each seed's own


def load(workdir: pathlib.Path, views: str | None = None, postprocess: bool = True) -> Trained:
  """Returns the network of a run.

  Args:
    workdir: the run's folder.
    views: one of `averaging.VIEWS`; None: those with which the run was tested.
    postprocess: whether masks are made as the run chose on its validation cases; False: each pixel
      has the most probable class.

  Raises:
    UserError: the folder is not that of a trained run, its files do not go together, or the network
      cannot predict the views.
  """
  if not workdir.is_dir():
    raise UserError(f"workdir {workdir} does not exist")
  content = _read_config(workdir / "config.json")
  class_names = _class_names(workdir)
  best = model_file.read(workdir)
  path = workdir / model_file.NAME
  shapes = {seed: _shapes(tree) for seed, tree in best.items()}
  if not shapes or any(one != next(iter(shapes.values())) for one in shapes.values()):
    raise UserError(f"{path} is damaged (its seeds differ in their arrays)")
  data, network, prediction = experiment.read_network(content, workdir / "config.json")
  findings = data.finding_names if "classification" in network.heads else ()
  label_names = findings or diagnosis_table.read_label_names(workdir)
  if views is not None:
    recipe_prediction.check_views(views, data, network, "--views")
  model = network.make(len(class_names), len(label_names))
  channels = _channels(model, data.input_shape, next(iter(shapes.values())))
  if channels is None:
    raise UserError(
      f"{path} has other arrays than the network of config.json with {len(class_names)} classes"
      f" ({', '.join(class_names)})"
    )
  variables = jax.tree.map(lambda *leaves: np.stack(leaves), *best.values())
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  return Trained(
    f"{content['name']}:{content.get('variant', '')}",
    data,
    network,
    model,
    variables,
    tuple(best),
    class_names,
    label_names,
    channels,
    digest,
    views or prediction.views,
    *_manners(workdir, tuple(best), len(class_names), prediction, postprocess),
  )


def _manners(
  workdir: pathlib.Path,
  seeds: tuple[int, ...],
  num_classes: int,
  prediction: PredictionRecipe,
  postprocess: bool,
) -> tuple[Manner, dict[int, Manner]]:
  """Returns how predictions are made: of the mean of the seeds, and of each.

  The mean of several seeds has a temperature where one was fitted for it; that of single models
  would be wrong, since a mean is less sure than they are.
  """
  mean, own = PLAIN, dict.fromkeys(seeds, PLAIN)
  if prediction.chooses and postprocess:
    mean, own = _decisions(workdir, seeds, num_classes)
  temperature, each = Temperatures(), dict.fromkeys(seeds, Temperatures())
  if prediction.calibrates:
    found = calibration_file.read(workdir)
    if missing := [seed for seed in seeds if seed not in found.seeds]:
      raise UserError(f"{workdir / calibration_file.NAME} is damaged (it has no seed {missing[0]})")
    each = {seed: _temperatures(found.seeds[seed]) for seed in seeds}
    if len(seeds) == 1:
      temperature = each[seeds[0]]
    elif found.ensemble is not None:
      temperature = _temperatures(found.ensemble)
  return Manner(mean, temperature), {seed: Manner(own[seed], each[seed]) for seed in seeds}


def _temperatures(calibration: Calibration) -> Temperatures:
  pixels, diagnoses = (1.0 if own is None else own.temperature for own in calibration)
  return Temperatures(pixels, diagnoses)


def _decisions(
  workdir: pathlib.Path, seeds: tuple[int, ...], num_classes: int
) -> tuple[Decision, dict[int, Decision]]:
  """Returns how probabilities become masks, as was chosen on validation: of the mean, of each seed.

  For the mean of several seeds it is what was chosen for their mean. Where that was not tested, as
  with a split for each seed, it is the median of the seeds' thresholds, and those of their sizes;
  of two medians the lower one.
  """
  path = workdir / postprocessing_file.NAME
  if not path.exists():
    raise UserError(
      f"{path} is not there, which config.prediction of the run asks for; --postprocess=False"
      " predicts without it"
    )
  choices = postprocessing_file.read(workdir)
  if missing := [seed for seed in seeds if seed not in choices.seeds]:
    raise UserError(f"{path} is damaged (it has no choice for seed {missing[0]})")
  each = {seed: choices.seeds[seed].decision for seed in seeds}
  own = list(each.values())
  if len(seeds) > 1 and choices.ensemble is not None:
    own = [choices.ensemble.decision]
  given = {one.threshold is not None for one in own}
  if len(given) > 1 or (given == {True} and num_classes != 2):
    raise UserError(f"{path} is damaged (its thresholds do not fit the run)")
  thresholds = [one.threshold for one in own if one.threshold is not None]
  mean = Decision(
    statistics.median_low(thresholds) if thresholds else None,
    statistics.median_low(one.component_share for one in own),
    statistics.median_low(one.hole_share for one in own),
  )
  return mean, each


def _read_config(path: pathlib.Path) -> dict[str, Any]:
  try:
    return dict(json.loads(read_bytes(path))["config"])
  except OSError as error:
    raise UserError(f"{path} cannot be read ({error.strerror}); is it a run's folder?") from error
  except (ValueError, KeyError, TypeError, RecursionError) as error:
    raise UserError(f"{path} is not the config of a run") from error


def _class_names(workdir: pathlib.Path) -> tuple[str, ...]:
  """Returns the classes of the masks, the background first, as `data.csv` or `cases.csv` has them.

  Runs of old versions have no `data.csv`.
  """
  if (workdir / data_table.NAME).exists():
    names = data_table.class_names(workdir)
  else:
    names = case_table.class_names(case_table.read(workdir))
  if len(names) < 2:
    raise UserError(f"workdir {workdir}: data.csv and cases.csv must name two classes or more")
  return names


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
  """Returns the shape of each array by the path to it."""
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}


def _channels(
  model: Model, size: tuple[int, int], shapes: dict[str, tuple[int, ...]]
) -> int | None:
  """Returns for how many input channels the network has arrays of these shapes, or None."""
  for channels in _CHANNELS:
    image = jax.ShapeDtypeStruct((1, *size, channels), np.float32)
    if _shapes(jax.eval_shape(model.init, jax.random.key(0), image)) == shapes:
      return channels
  return None
