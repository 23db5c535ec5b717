"""The recipe of `dmf_busi.py`, with its variants, on BUSC: 100 benign and 150 malignant images.

    python -m mlseg.main --config=configs/dmf_busc.py --config.data.root=DIR

DIR is the unpacked download of Mendeley Data vckdnhtw26, version 1; the layouts that are read are
in `mlseg/data/datasets/busc.py`. The data are not part of the project, and no score has been
measured: the recipe was only run on images made for tests. Judging by the speed on BUSI, a seed
takes about two and a half minutes on two CPU cores.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("dmf_busi.py")))
VARIANTS = _BASE["VARIANTS"]


def get_config(variant: str = "variance+class_balanced_dice") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["get_config"](variant)
  config.name = "dmf_busc"
  config.data.name = "busc"
  return config
