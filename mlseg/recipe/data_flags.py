"""The flags `--data=DIR` and `--data.KEY=VALUE`: other data for the recipe of a trained run."""

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_dict, config_flags

from mlseg.data import cases
from mlseg.errors import UserError, unknown
from mlseg.recipe import schema
from mlseg.recipe.parse import one_line
from mlseg.recipe.schema.keys import NEEDED

# Keys of config.data that say what is read; all others say how a network sees an image, and stay.
READING = ("name", "root", "sixteen_bit", "mask_resize", "skip_bad")
_FLAG = re.compile(r"--?(?:no)?data[.=]")


def is_data_flag(argument: str) -> bool:
  """Returns whether an argument of a command line is one of these flags.

  Example:
    >>> [is_data_flag(word) for word in ("--data=DIR", "--nodata.skip_bad", "--workdir=data.x")]
    [True, True, False]
  """
  return _FLAG.match(argument) is not None


def other_data(content: Mapping[str, Any], arguments: list[str]) -> dict[str, Any]:
  """Returns the recipe of a run with the data that a command line names.

  Args:
    content: of the run's recipe, complete.
    arguments: those of the command line that `is_data_flag` accepts.

  Raises:
    UserError: there are no such flags, or a key or value of theirs is not right.
  """
  if not arguments:
    raise UserError("--data is missing: give a folder, with --data.name=NAME for another layout")
  given = [re.sub(r"^--?data=", "--data.root=", argument) for argument in arguments]
  names = [word.partition("=")[2] for word in given if re.match(r"--?data\.name=", word)]
  own = dict(content["data"])
  name = names[-1] if names else own["name"]
  if name not in cases.NAMES:
    raise unknown("--data.name", name, cases.NAMES)
  wrong = [key for word in given if (key := _key(word)) not in (*READING, name)]
  if wrong:
    raise unknown("key of --data", wrong[0], (*READING, f"{name}.*"))
  section = {key: own[key] for key in READING} | {"name": name, "root": None}
  options = _options(name, own)
  if options:
    section[name] = options
  with named_as_flags():
    read = _parsed(section, given)
    kept = {key: value for key, value in own.items() if key not in {*READING, *cases.NAMES}}
    return schema.complete({**content, "data": kept | read})


def _key(argument: str) -> str:
  """Returns the first name of a key.

  Example:
    >>> [_key(word) for word in ("--data.folder.images=x", "--nodata.skip_bad")]
    ['folder', 'skip_bad']
  """
  return argument.partition("=")[0].split(".")[1]


@contextlib.contextmanager
def named_as_flags() -> Iterator[None]:
  """Names keys as the flags of this module where an error names them as keys of a recipe."""
  try:
    yield
  except UserError as error:
    error.args = (re.sub(r"(?<![\w.])(?:--)?config\.data\.", "--data.", str(error)),)
    raise


def _options(name: str, own: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the section of a layout: that of the run where it has this layout, or the defaults."""
  if name in own:
    return dict(own[name])
  found: dict[str, Any] = {}
  for key in schema.KEYS:
    if key.path.startswith(f"data.{name}."):
      default = config_dict.placeholder(str) if key.default is NEEDED else key.default
      found[key.path.rpartition(".")[2]] = default
  if name == cases.FOLDER:  # two classes by any values, as in configs/folder.py
    found["classes"] = (("background", 0), ("lesion", 255))
  return found


def _parsed(section: dict[str, Any], arguments: list[str]) -> dict[str, Any]:
  """Returns a section with the values of flags, without keys that have none."""
  values, argv = flags.FlagValues(), ["mlseg", *arguments]
  section["root"] = config_dict.placeholder(str)
  # Config flags look for the overrides of their keys in sys.argv.
  previous, sys.argv = sys.argv, argv
  try:
    holder = config_flags.DEFINE_config_dict("data", ConfigDict(section), flag_values=values)
    values(argv)
    found = holder.value.to_dict()
  except (Exception, SystemExit) as error:  # absl and ml_collections raise in many ways
    raise UserError(one_line(error).replace("'data.", "'--data.")) from error
  finally:
    sys.argv = previous
  for own in (found, *(value for value in found.values() if isinstance(value, dict))):
    for key in [key for key, value in own.items() if value is None and key != "root"]:
      del own[key]
  return found
