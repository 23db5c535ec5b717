"""A search for the values of some keys, by the scores on the validation cases alone, with Optuna.

Each trial is a training in a folder of its own, which is not tested: test cases are for what was
chosen. A search that was interrupted goes on, with the trial that was running.
"""

import hashlib
import json
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mlseg.console import Reporter
from mlseg.errors import UserError
from mlseg.files import read_json, to_json, write_file
from mlseg.recipe import experiment
from mlseg.training import train
from mlseg.workdir import metrics_log, search_file
from mlseg.workdir.search_file import Search, Trial

_RUNNING_SHARE = 0.25  # of the epochs of a trial before it may be stopped
_STARTUP = 4  # trials that run to their end before any may be stopped
_STORE = "optuna.log"
_RANGE = re.compile(r"([\w.]+)=([^:]+):([^:]+?)(:log)?$")
_CHOICE = re.compile(r"([\w.]+)=(.+,.+)$")


class Range(NamedTuple):
  """The values of a key that are searched: from low to high, or one of several."""

  key: str
  low: float = 0.0
  high: float = 0.0
  log: bool = False  # whether the logarithm is drawn evenly
  whole: bool = False  # whether the values are whole numbers
  choices: tuple[str, ...] = ()


class SearchOptions(NamedTuple):
  """What a command line asks for."""

  recipe: dict[str, Any]  # of all trials
  ranges: tuple[Range, ...]
  num_trials: int  # in all, those of earlier commands included
  workdir: pathlib.Path


def read_range(text: str) -> Range:
  """Returns the range of a key.

  Args:
    text: KEY=LOW:HIGH, KEY=LOW:HIGH:log, or KEY=A,B,...; whole numbers stay whole.

  Raises:
    UserError: it is something else, or the numbers are not in order.

  Example:
    >>> read_range("optimizer.learning_rate=1e-4:1e-2:log")
    Range(key='optimizer.learning_rate', low=0.0001, high=0.01, log=True, whole=False, choices=())
    >>> read_range("model.encoder=resnet18,resnet34").choices
    ('resnet18', 'resnet34')
  """
  if match := _RANGE.match(text):
    key, low, high, log = match.groups()
    try:
      ends = float(low), float(high)
    except ValueError:
      raise UserError(f"--range={text}: {low!r} and {high!r} must be numbers") from None
    whole = all(re.fullmatch(r"[+-]?\d+", word) for word in (low, high))
    if not all(map(math.isfinite, ends)) or not ends[0] < ends[1] or (log and ends[0] <= 0):
      above = " above 0" if log else ""
      raise UserError(f"--range={text} must have LOW < HIGH{above}")
    return Range(key, *ends, bool(log), whole)
  if match := _CHOICE.match(text):
    choices = tuple(word.strip() for word in match[2].split(","))
    if len(set(choices)) < len(choices) or not all(choices):
      raise UserError(f"--range={text} must have different values")
    return Range(match[1], choices=choices)
  raise UserError(f"--range={text} must be KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=A,B,...")


def search(options: SearchOptions, reporter: Reporter) -> Search:
  """Runs trials until there are enough, and writes `search.json` and `trials.csv` after each.

  Args:
    options: of the command line.
    reporter: the console.

  Raises:
    UserError: a recipe is not right, Optuna is not installed, or the folder is another search's.
    Stopped: SIGTERM or SIGINT came; the state is saved.
  """
  try:
    import optuna
    from optuna.storages.journal import JournalFileBackend
  except ImportError:
    raise UserError("--optimize needs optuna: pip install 'mlseg-jax[optuna]'") from None
  for own in options.ranges:
    _check(options.recipe, own)
  _claim(options)
  optuna.logging.set_verbosity(optuna.logging.WARNING)
  backend = JournalFileBackend(str(options.workdir / _STORE))
  study = optuna.create_study(
    study_name="mlseg",
    storage=optuna.storages.JournalStorage(backend),
    direction="maximize",
    load_if_exists=True,
    sampler=optuna.samplers.TPESampler(seed=options.recipe["seed"]),
    pruner=optuna.pruners.MedianPruner(
      _STARTUP, n_warmup_steps=round(_RUNNING_SHARE * options.recipe["num_epochs"])
    ),
  )
  over = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED,
          optuna.trial.TrialState.FAIL)  # fmt: skip
  while len(study.get_trials(deepcopy=False, states=over)) < options.num_trials:
    running = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
    # One that was interrupted goes on: its values are known.
    trial = optuna.trial.Trial(study, running[0]._trial_id) if running else study.ask()
    values = {own.key: _drawn(trial, own) for own in options.ranges}
    reporter.print(f"trial {trial.number}: {_words(values)}")
    _run(study, trial, options, values, reporter)
    found = _summary(study, options)
    search_file.write(options.workdir, found)
  return _summary(study, options)


def recipe_of(recipe: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
  """Returns a recipe with other values of some keys, given by their dotted names."""
  changed: dict[str, Any] = json.loads(json.dumps(recipe))  # a copy, in which tuples are lists
  changed = _with_tuples(changed)
  for path, value in values.items():
    *sections, name = path.split(".")
    place = changed
    for section in sections:
      place = place[section]
    place[name] = _typed(value, place[name])
  return changed


def _typed(value: Any, before: Any) -> Any:
  """Returns a value that a command line gave as text as the type of the key's value before.

  Example:
    >>> _typed("16", 32), _typed("False", True), _typed("adam", "sgd"), _typed("x", 1)
    (16, False, 'adam', 'x')
  """
  if not isinstance(value, str) or isinstance(before, str):
    return value
  if isinstance(before, bool):
    return {"True": True, "False": False}.get(value, value)
  try:
    return type(before)(value) if isinstance(before, int | float) else value
  except ValueError:
    return value  # which the check of the recipe names


def _with_tuples(value: Any) -> Any:
  if isinstance(value, dict):
    return {key: _with_tuples(own) for key, own in value.items()}
  return tuple(map(_with_tuples, value)) if isinstance(value, list) else value


def _check(recipe: Mapping[str, Any], own: Range) -> None:
  """Raises a UserError where a key is unknown, or an end of its range is not right."""
  place: Any = recipe
  for part in own.key.split("."):
    if not isinstance(place, Mapping) or part not in place:
      raise UserError(f"--range: unknown config key {own.key!r}")
    place = place[part]
  ends = own.choices or (own.low, own.high)
  for value in ends:
    value = int(value) if own.whole else value
    experiment.read(recipe_of(recipe, {own.key: value}))


def _claim(options: SearchOptions) -> None:
  """Makes the folder, or checks that the same search made it before."""
  note = options.workdir / "ranges.json"
  content = {
    "recipe": hashlib.sha256(to_json(options.recipe).encode()).hexdigest(),
    "ranges": [own._asdict() for own in options.ranges],
  }
  options.workdir.mkdir(parents=True, exist_ok=True)
  if not note.exists():
    if any(options.workdir.iterdir()):
      raise UserError(f"--workdir: {options.workdir} holds other files; give a new folder")
    write_file(note, to_json(content, indent=2) + "\n")
  elif read_json(note) != json.loads(to_json(content)):
    raise UserError(f"--workdir: {options.workdir} is of another search; give a new folder")


def _drawn(trial: Any, own: Range) -> Any:
  if own.choices:
    return trial.suggest_categorical(own.key, own.choices)
  if own.whole:
    return trial.suggest_int(own.key, int(own.low), int(own.high), log=own.log)
  return trial.suggest_float(own.key, own.low, own.high, log=own.log)


def _words(values: Mapping[str, Any]) -> str:
  return ", ".join(
    f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
    for key, value in values.items()
  )


def _run(
  study: Any,
  trial: Any,
  options: SearchOptions,
  values: Mapping[str, Any],
  reporter: Reporter,
) -> None:
  """Trains a trial, and tells the study its score, or that it was stopped or failed."""
  from optuna.trial import TrialState

  recipe = experiment.read(recipe_of(options.recipe, values))
  folder, stopped = options.workdir / f"trial_{trial.number:03d}", False

  def observe(records: Sequence[Mapping[str, Any]]) -> bool:
    """Tells the study the scores of the first seed; returns whether the training goes on."""
    nonlocal stopped
    for record in records:
      if not stopped and record["seed"] == recipe.seeds.first and "validation" in record:
        epoch = round(record["epoch"])
        if epoch not in study.trials[trial.number].intermediate_values:
          trial.report(_score(record, recipe.selection), epoch)
        stopped = trial.should_prune()
    return not stopped

  try:
    train.train(recipe, folder, reporter, observe=observe, is_tested=False)
  except train.DivergedError as error:
    reporter.print(f"trial {trial.number} failed: {error}")
    study.tell(trial.number, state=TrialState.FAIL)
    return
  if stopped:
    study.tell(trial.number, state=TrialState.PRUNED)
    return
  study.tell(trial.number, score_of(folder, recipe.selection))


def score_of(folder: pathlib.Path, selection: str) -> float:
  """Returns the mean over the seeds of a training of its best validation score."""
  best: dict[int, float] = {}
  for record in metrics_log.read(folder):
    if "validation" in record:
      seed = record["seed"]
      best[seed] = max(best.get(seed, -math.inf), _score(record, selection))
  return sum(best.values()) / len(best)


def _score(record: Mapping[str, Any], selection: str) -> float:
  scores = record["validation"]
  if selection == "mean":
    known = [scores[name] for name in ("dice", "accuracy") if name in scores]
    return sum(known) / len(known)
  return float(scores[selection])


def _summary(study: Any, options: SearchOptions) -> Search:
  """Returns all trials so far, and how much each key matters."""
  import optuna

  trials = []
  for own in study.get_trials(deepcopy=False):
    epochs = max(own.intermediate_values, default=0)
    best = (
      own.value if own.value is not None else max(own.intermediate_values.values(), default=None)
    )
    trials.append(Trial(own.number, own.state.name.lower(), best, epochs, dict(own.params)))
  complete = [own for own in trials if own.state == "complete"]
  importance: dict[str, float] = {}
  if len(complete) > max(3, len(options.ranges)):
    importance = dict(optuna.importance.get_param_importances(study))
  return Search(options.recipe["selection"], tuple(trials), importance)
