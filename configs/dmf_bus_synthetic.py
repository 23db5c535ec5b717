"""The recipe of `dmf_busi.py`, with its variants, on the 500 generated images of BUS synthetic.

    python -m mlseg.main --config=configs/dmf_bus_synthetic.py --config.data.root=DIR

DIR is the unpacked download of Mendeley Data r4phtn49r7, version 1; the layouts that are read are
in `mlseg/data/datasets/bus_synthetic.py`. The data are not part of the project, and no score has
been
measured: the recipe was only run on images made for tests. Judging by the speed on BUSI, a seed
takes about five minutes on two CPU cores.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("dmf_busi.py")))
VARIANTS = _BASE["VARIANTS"]


def get_config(variant: str = "variance+class_balanced_dice") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["get_config"](variant)
  config.name = "dmf_bus_synthetic"
  config.data.name = "bus_synthetic"
  return config
