"""What the recipes of runs train, in a few words, and the keys in which recipes differ."""

import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mlseg.report.tables import Table, TableCell
from mlseg.workdir.run_files import RunFiles

Config = Mapping[str, Any]  # of config.json
_NONE = "–"
# Keys that only name a recipe, or decide how it is run and what is logged, not what it trains.
_ASIDE = (
  "name", "variant", "mesh", "seeds", "log_every", "checkpoint_every", "cosines_every",
  "data.placement", "data.num_processes", "metrics.num_processes",
)  # fmt: skip
# Keys that a recipe may have without using them.
_OPTIONS = ("loss_options.", "auxiliary.", "weighting.options.", "weighting.fixed")
_MOST_KEYS = 3  # in a name


def trains(config: Config) -> str:
  """Returns what a run trains: its weighting, or its only loss, and its auxiliary loss.

  Args:
    config: of the run; '' where it tells no weighting, as in runs of very old versions.

  Example:
    >>> losses = ("cross_entropy", "soft_dice")
    >>> trains({"losses": losses, "weighting": {"name": "uncertainty"}, "variant": "fixed"})
    'uncertainty'
    >>> trains({"losses": losses, "weighting": {"name": "fixed", "fixed": (5.0, 1.0)}})
    'fixed 5:1'
    >>> trains({"losses": ("soft_dice",), "weighting": {"name": "fixed"},
    ...         "auxiliary": {"name": "focal"}})
    'soft_dice alone, auxiliary focal'
  """
  losses, weighting = config.get("losses"), config.get("weighting")
  if not losses or not isinstance(weighting, Mapping) or not weighting.get("name"):
    return ""
  name = str(weighting["name"])
  if len(losses) == 1:
    text = f"{losses[0]} alone"
  elif name == "fixed":
    weights = [float(weight) for weight in weighting.get("fixed") or ()]
    equal = len(set(weights)) <= 1
    text = "equal weights" if equal else f"fixed {':'.join(f'{w:g}' for w in weights)}"
  else:
    statistic = ((weighting.get("options") or {}).get(name) or {}).get("statistic")
    text = f"{name}, {statistic}" if statistic else name
  auxiliary = _auxiliary(config)
  return f"{text}, auxiliary {auxiliary}" if auxiliary else text


def names_of(runs: Sequence[RunFiles], taken: Collection[str] = ()) -> list[str]:
  """Returns a name for each run: what it trains; no two are the same.

  An evaluation has the data behind it on which the run was tested. Runs that would have the same
  name have a few keys in which they differ behind it; where that
  does not tell them apart, the path of their folder. So has a run whose recipe is not known.

  Args:
    runs: their names are the paths of their folders below those of the command line.
    taken: names that other runs have.
  """
  names = [(trains(run.config) or run.name) + _tested_on(run) for run in runs]
  for name in dict.fromkeys(names):
    alike = [n for n, own in enumerate(names) if own == name]
    if len(alike) > 1:
      for n, longer in zip(alike, _longer(name, [runs[n] for n in alike]), strict=True):
        names[n] = longer
  return [f"{n} ({run.name})" if n in taken else n for n, run in zip(names, runs, strict=True)]


def _tested_on(run: RunFiles) -> str:
  """Returns what an evaluation has in its name; '' for a run."""
  data = run.config.get("data") or {}
  if run.about.evaluation is None:
    return ""
  return f", on {pathlib.PurePath(data.get('root') or data.get('name') or run.name).name}"


def _longer(name: str, runs: Sequence[RunFiles]) -> list[str]:
  """Returns different names of runs that train the same."""
  found = differences([run.config for run in runs])
  words = [
    ", ".join([name, *(f"{key}={values[n]}" for key, values in list(found.items())[:_MOST_KEYS])])
    for n in range(len(runs))
  ]
  return [
    word if words.count(word) == 1 else f"{word} ({run.name})"
    for word, run in zip(words, runs, strict=True)
  ]


def differences(configs: Sequence[Config]) -> dict[str, list[str]]:
  """Returns the keys that do not have the same value in all recipes, with each recipe's value.

  A key that a recipe does not have or does not use, such as an option of another weighting, has
  the value '–' there. Keys that only some use and that are the same in those are left out.

  Args:
    configs: of the runs.

  Example:
    >>> differences([{"batch_size": 8, "losses": ["a"]}, {"batch_size": 4, "losses": ["a"]}])
    {'batch_size': ['8', '4']}
  """
  flat = [_used(config) for config in configs]
  found = {}
  for key in dict.fromkeys(key for one in flat for key in one):
    values = [one.get(key, _NONE) for one in flat]
    option = key.startswith(_OPTIONS)
    compared = {value for value in values if not option or value != _NONE}
    if len(compared) > 1:
      found[key] = values
  return found


def table(runs: Sequence[RunFiles], folders: Mapping[str, str]) -> Table:
  """Returns the keys in which the recipes of runs differ, and the folder of each run.

  There is a row per run, or where fewer runs than keys are compared, a row per key.

  Args:
    runs: all of them.
    folders: by name of a run, what to show as its folder.
  """
  found = {"folder": [folders.get(run.name, str(run.folder)) for run in runs]}
  found |= differences([run.config for run in runs])
  note = (
    "Keys that are not here have the same value in all runs. – stands for a key that a recipe does"
    " not have, or does not use."
  )
  if unknown := [run.name for run in runs if not run.config]:
    note += f" There is no recipe of {', '.join(unknown)}."
  if len(found) > len(runs):
    header = ("key", *(run.name for run in runs))
    lines = [[key, *values] for key, values in found.items()]
  else:
    header = ("run", *found)
    lines = [[run.name, *(values[n] for values in found.values())] for n, run in enumerate(runs)]
  rows = tuple(tuple(map(TableCell, line)) for line in lines)
  return Table("What differs between the recipes", header, rows, note)


def _auxiliary(config: Config) -> str:
  """Returns the auxiliary loss of a recipe, or ''."""
  name = str((config.get("auxiliary") or {}).get("name") or "")
  return "" if name == "none" else name


def _used(config: Config) -> dict[str, str]:
  """Returns the values of a recipe by dotted key, without what it does not use."""
  flat = {key: text for key, text in _flat(config).items() if not _is_aside(key)}
  name = str((config.get("weighting") or {}).get("name") or "")
  auxiliary = _auxiliary(config)
  losses = {*map(str, config.get("losses") or ()), auxiliary}
  kept = {}
  for key, value in flat.items():
    section, _, rest = key.partition(".")
    owner = rest.split(".")
    if section == "loss_options" and owner[0] not in losses:
      continue
    if section == "weighting" and owner[0] == "options" and owner[1:2] != [name]:
      continue
    if key == "weighting.fixed" and name != "fixed":
      continue
    if section == "auxiliary" and rest != "name" and not auxiliary:
      continue
    kept[key] = value
  return kept


def _is_aside(key: str) -> bool:
  return any(key == one or key.startswith(f"{one}.") for one in _ASIDE)


def _flat(tree: Any, prefix: str = "") -> dict[str, str]:
  """Returns the leaves of nested dicts as text, by their dotted names."""
  if not isinstance(tree, Mapping):
    return {prefix: _value(tree)}
  flat: dict[str, str] = {}
  for key, value in tree.items():
    flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
  return flat


def _value(value: Any) -> str:
  """Returns a value as a short text; lists and tuples look the same, as JSON has only lists."""
  if isinstance(value, list | tuple):
    return f"({', '.join(map(_value, value))})"
  if isinstance(value, float):
    return f"{value:g}"
  return "none" if value is None else str(value)
