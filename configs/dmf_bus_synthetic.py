"""The recipe of `dmf_busi.py`, with its variants, on BUS synthetic: 500 made-up pictures.

    python -m mlseg.main --config=configs/dmf_bus_synthetic.py --config.data.root=DIR

DIR is the unpacked download of Mendeley Data r4phtn49r7, version 1
(`mlseg/data/bus_synthetic.py` says which layouts are taken). No score is known: the data do not
travel with the project, and the recipe was tried on made-up pictures only. From the speed on BUSI,
a seed takes about five minutes on two CPU cores.
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
