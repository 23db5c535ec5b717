"""Multi-task U-Net on photographs of the skin (ISIC 2018): the lesion and its class, one of seven.

    python -m mlseg.main --config=configs/multitask_isic_2018.py --config.data.root=DIR

DIR is the folder of the unpacked downloads of tasks 1 and 3; `mlseg/data/datasets/isic_2018.py`
describes which masks belong to the images of task 3. The variants and options are those of
`multitask_busi.py`, and an image takes as long as there. The data are not part of the project, and
no score has been measured.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))
VARIANTS = _BASE["VARIANTS"]


def get_config(variant: str = "joint+mobilenet_v2") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["recipe"](variant)
  config.name = "multitask_isic_2018"
  config.data.name = "isic_2018"

  config.data.isic_2018 = own = ConfigDict()
  own.task = "both"  # images with mask and class; or 'segmentation', 'classification'
  own.channels = 3  # or 1: grey
  own.duplicate_bits = 24  # of 255, in which near-duplicates differ at most; -1: no duplicates
  own.complete = True  # whether all published images must be there
  return config
