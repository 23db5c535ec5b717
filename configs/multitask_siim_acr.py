"""Multi-task U-Net on chest radiographs (SIIM-ACR): the pneumothorax, and whether there is one.

    python -m mlseg.main --config=configs/multitask_siim_acr.py --config.data.root=DIR

DIR is the folder with `dicom-images-train` and `train-rle.csv`. DICOM needs pydicom:
`pip install 'mlseg-jax[dicom]'`. The variants and options are those of `multitask_busi.py`, and an
image takes as long as there. The data are not part of the project, and no score has been measured.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))
VARIANTS = _BASE["VARIANTS"]


def get_config(variant: str = "joint+mobilenet_v2") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["recipe"](variant)
  config.name = "multitask_siim_acr"
  config.data.name = "siim_acr"

  config.data.siim_acr = own = ConfigDict()
  own.complete = True  # whether all published images must be there
  return config
