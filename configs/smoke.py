"""The whole path of training in seconds: a small U-Net on 32×32 images of BUSI, for two epochs.

    python -m mlseg.main --config=configs/smoke.py

It takes about 15 seconds on two CPU cores, most of them compilation. The recipe is that of
`dmf_busi.py` at toy size, with the schedules of its weighting shortened to two epochs; its score
means nothing.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("dmf_busi.py")))


def get_config() -> ConfigDict:
  """Returns the recipe."""
  config = _BASE["get_config"]()
  config.name = "smoke"
  config.num_epochs = 2
  config.data.image_size = 32
  config.model.depth = 2
  config.model.filters = 4
  config.weighting.options.dynamic_memory_fusion.min_history = 10
  config.auxiliary.decay_every = 5
  return config
