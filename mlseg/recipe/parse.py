"""The command line of a recipe: `--config=FILE[:VARIANT] [--config.KEY=VALUE ...]`."""

import hashlib
import pathlib
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from mlseg.errors import UserError
from mlseg.recipe import find

HELP = """Trains a recipe.

    python -m mlseg.main --config=configs/dmf_busi.py [--config.KEY=VALUE ...]

Exit codes: 0 done, or saved after SIGTERM; 1 diverged; 2 wrong use, or a full disk; 75 another
process of the job was lost; 130 stopped by Ctrl-C, and saved where training had begun."""


_OVERRIDE = re.compile(r"--?(?:no)?config\.([\w.]+)")


def parse(argv: list[str]) -> tuple[ConfigDict, pathlib.Path]:
  """Returns the config and the folder that a command line asks for.

  A key that the recipe has not, but that there is, may be given too: it has its default before.

  Raises:
    UserError: a flag, a config file, a key or a value is not right.
  """
  argv = find.find_in_flags(argv)
  try:
    return _parse(argv)
  except UserError:
    if (complete := _with_given_keys(argv)) is None:
      raise
  rest = [argument for argument in argv if not re.match(r"--?config=", argument)]
  return _parse(rest, complete)


def _parse(argv: list[str], given: ConfigDict | None = None) -> tuple[ConfigDict, pathlib.Path]:
  """Returns what a command line asks for, whose recipe may be given instead of its file."""
  values = flags.FlagValues()
  # Config flags look for the overrides of their keys in sys.argv.
  previous, sys.argv = sys.argv, argv
  try:
    recipe, folder, help_wanted = _define(values, given)
    rest = values(argv)
    config = recipe.value
    getattr(config, "name", None)  # a file that is missing shows at its first use
  except (Exception, SystemExit) as error:  # a config file is code, and can fail in any way
    raise UserError(one_line(error)) from error
  finally:
    sys.argv = previous
  if help_wanted():
    print(f"{HELP}\n{values.main_module_help() or values}")
    if not values.helpshort:
      print(_keys(config if isinstance(config, ConfigDict) else None))
    raise SystemExit(0)
  if len(rest) > 1:
    raise UserError(f"unexpected argument {rest[1]!r}: options are given as --name=value")
  if config is None:
    raise UserError("--config is missing: give a recipe, for instance configs/dmf_busi.py")
  if not isinstance(config, ConfigDict):
    raise UserError(f"the config file must return a ConfigDict, not {type(config).__name__}")
  return config, pathlib.Path(folder.value or _default_workdir(config))


def _with_given_keys(argv: list[str]) -> ConfigDict | None:
  """Returns the recipe of a command line with the defaults of those keys that it lacks and gives.

  None where there are no such keys, or the recipe cannot be read.
  """
  wanted = [match[1] for argument in argv[1:] if (match := _OVERRIDE.match(argument))]
  files = [argument for argument in argv[1:] if re.match(r"--?config=", argument)]
  if not wanted or not files:
    return None
  try:
    config, _ = _parse([argv[0], *files])
  except UserError:
    return None
  from mlseg.recipe import schema  # it loads jax

  defaults = {key.path: key.default for key in schema.KEYS if _can_be_added(key.default)}
  missing = [path for path in wanted if not has_key(config, f"--config.{path}")]
  known = [path for path in missing if path in defaults]
  with config.unlocked():
    for path in known:
      section, (*sections, name) = config, path.split(".")
      for part in sections:
        if part not in section:
          section[part] = ConfigDict()
        section = section[part]
      section[name] = defaults[path]
  return config if known else None


def _can_be_added(default: Any) -> bool:
  """Returns whether a key with this default may be absent, and a value of its type be given."""
  return isinstance(default, bool | int | float | str | tuple)


def _define(
  values: flags.FlagValues, given: ConfigDict | None
) -> tuple[flags.FlagHolder, flags.FlagHolder, Callable[[], bool]]:
  """Defines the flags of a recipe, of its folder and of help; returns them."""
  if given is None:
    what = "The recipe: a file of configs/, with an optional :variant."
    recipe = config_flags.DEFINE_config_file("config", None, what, flag_values=values)
  else:
    recipe = config_flags.DEFINE_config_dict("config", given, flag_values=values)
  folder = flags.DEFINE_string(
    "workdir",
    None,
    "The run's folder; a run that stopped there goes on. Default: runs/NAME-VARIANT-HASH, the same"
    " for the same config.",
    flag_values=values,
  )
  return recipe, folder, define_help(values)


def define_help(values: flags.FlagValues) -> Callable[[], bool]:
  """Defines --help, --helpfull and --helpshort; returns a function: whether one was given."""
  flags.DEFINE_bool("help", False, "Show this help.", flag_values=values)
  flags.DEFINE_bool("helpfull", False, "As --help.", flag_values=values)
  flags.DEFINE_bool("helpshort", False, "Show the flags alone.", flag_values=values)
  return lambda: values.help or values.helpfull or values.helpshort


def _keys(config: ConfigDict | None) -> str:
  """Returns the part of the help text that lists the keys of a recipe, or all keys there are."""
  from mlseg.recipe import schema  # it loads jax

  if config is None:
    head = "Keys of recipes (--config=FILE --help shows those of one recipe, with its values):"
    return "\n".join([head, *schema.lines()])
  head = f"Keys of the recipe {config.get('name', '')}:"
  return "\n".join([head, *schema.lines(schema.complete(config))])


def content(argv: list[str]) -> dict[str, Any]:
  """Returns the content of the recipe that a command line asks for, as nested dicts.

  Keys that the recipe has not have their defaults.

  Raises:
    UserError: as `parse`.
  """
  from mlseg.recipe import schema  # it loads jax, and mistakes in the flags should not wait for it

  return schema.complete(parse(argv)[0])


def models_of(recipe: Mapping[str, Any] | ConfigDict) -> tuple[str, int]:
  """Returns the strategy and the number of models of a recipe that may not be checked yet.

  What is not right there counts as the default; `experiment.read` names it.

  Example:
    >>> models_of({"seeds": {"strategy": "map"}, "num_seeds": "many"})
    ('map', 1)
  """
  seeds = recipe.get("seeds")
  strategy = seeds.get("strategy") if isinstance(seeds, Mapping | ConfigDict) else None
  number = recipe.get("num_seeds")
  return (
    strategy if isinstance(strategy, str) else "auto",
    number if isinstance(number, int) and number > 0 else 1,
  )


def has_key(recipe: Mapping[str, Any], override: str) -> bool:
  """Returns whether a recipe has the key of an override.

  Example:
    >>> has_key({"model": {"filters": 8}}, "--config.model.filters=4")
    True
    >>> has_key({"model": {}}, "--config.model.filters=4")
    False
  """
  match = _OVERRIDE.match(override)
  value: Any = recipe
  for part in match[1].split(".") if match else ():
    if not isinstance(value, Mapping | ConfigDict) or part not in value:
      return False
    value = value[part]
  return match is not None


def one_line(error: BaseException) -> str:
  """Returns what went wrong while flags were read, in one line for a person."""
  cause = error.args[0] if error.args else error
  if isinstance(cause, KeyError):  # ml_collections: a key, and on a second line what is near it
    key, _, hint = str(cause.args[0]).partition("\n")
    return f"unknown config key {key}. {hint}".strip()
  if isinstance(error, KeyError):  # below a section that is not there: the key in two quotes
    return "unknown config key " + str(cause).strip('"')
  text = str(cause)
  if "Traceback" in text:  # ml_collections hands on what the config file raised, as text
    text = text.strip().splitlines()[-1].partition(": ")[2]
  if "Attempted" in text:  # ml_collections: where it looked for the file
    text = text[text.index("[Errno") :].partition("] ")[2]
  # absl: what it says of a value, and the value again, as a tuple in the text
  text = re.sub(r"\('([^']*)', '[^']*'\)$", r"\1", text)
  return " ".join(text.split()) or type(error).__name__


def _default_workdir(config: ConfigDict) -> str:
  """Returns a name that is the same for the same config, so that the same command goes on.

  Also on other devices: the mesh does not count.
  """
  recipe = ConfigDict({name: value for name, value in config.items() if name != "mesh"})
  digest = hashlib.sha256(recipe.to_json_best_effort(sort_keys=True).encode()).hexdigest()
  return f"runs/{config.get('name', 'run')}-{config.get('variant', '')}-{digest[:8]}"
