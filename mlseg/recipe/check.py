"""From a config to objects: the last place that sees a config."""

import math

from ml_collections import ConfigDict

from mlseg.data import cases
from mlseg.errors import UserError, require, unknown
from mlseg.recipe import properties

PLACEMENTS = ("device", "host")


def check_config(config: ConfigDict) -> None:
  """Checks the numbers that no factory checks.

  Raises:
    UserError: a value is out of its range.
  """
  positive = ("num_seeds", "num_epochs", "batch_size", "log_every", "checkpoint_every")
  for name in (*positive, "num_microbatches"):
    require(config[name] >= 1, f"config.{name} must be at least 1", config[name])
  rule = "config.num_microbatches must divide config.batch_size"
  require(config.batch_size % config.num_microbatches == 0, rule, config.num_microbatches)
  for name in ("seed", "patience"):
    require(config[name] >= 0, f"config.{name} must not be negative", config[name])
  if config.data.placement not in PLACEMENTS:
    raise unknown("config.data.placement", config.data.placement, PLACEMENTS)
  if config.data.name == cases.FOLDER and "folder" not in config.data:
    raise UserError(
      "config.data.name 'folder' needs the section config.data.folder: use configs/folder.py"
    )
  rule = "config.seeds.vectorize must not be negative"
  require(config.seeds.vectorize >= 0, rule, config.seeds.vectorize)
  options = config.metrics
  rule = "config.metrics.spacing must be two positive numbers"
  sound = len(options.spacing) == 2 and all(0 < size < math.inf for size in options.spacing)
  require(sound, rule, tuple(options.spacing))
  if properties.has_volumes(config) and (options.surface or options.objects):
    raise UserError(
      "config.metrics: surface and objects must be False for the slices of a volume, which are"
      " evenly spaced over the lesion, not neighbours"
    )
  for name in ("tolerance", "num_processes", "object_neck", "object_size"):
    require(options[name] >= 0, f"config.metrics.{name} must not be negative", options[name])
  require(
    config.max_nonfinite >= 1, "config.max_nonfinite must be at least 1", config.max_nonfinite
  )
