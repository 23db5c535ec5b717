"""Multi-task U-Net on photographs of the skin (ISIC 2018): the lesion, and which of seven it is.

    python -m mlseg.main --config=configs/multitask_isic_2018.py --config.data.root=DIR

DIR is the folder of the unpacked downloads of tasks 1 and 3.
Variants and options are those of `multitask_busi.py`.
`mlseg/data/isic_2018.py` says which masks belong to the pictures of task 3.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))
VARIANTS = _BASE["VARIANTS"]


def get_config(variant: str = "joint+mobilenet_v2") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["get_config"](variant)
  config.name = "multitask_isic_2018"
  config.data.name = "isic_2018"

  config.data.isic_2018 = own = ConfigDict()
  own.task = "both"  # pictures with mask and class; or 'segmentation', 'classification'
  own.channels = 3  # or 1: grey
  own.duplicate_bits = 24  # of 255, up to which pictures are near-duplicates; -1: none are
  own.complete = True  # whether all of the published pictures must be there
  return config
