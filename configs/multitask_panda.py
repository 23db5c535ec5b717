"""Multi-task U-Net on prostate biopsies (PANDA): the tumour in a tile, and the slide's ISUP grade.

    python -m mlseg.main --config=configs/multitask_panda.py --config.data.root=DIR

DIR is the unpacked download of Kaggle's `prostate-cancer-grade-assessment`. The slides need
tifffile's decoders: `pip install 'mlseg-jax[slides]'`. By default the classes are background,
benign tissue and cancer; `--config.data.panda.classes=binary` trains cancer against the rest, on
the slides of both providers, so that the Dice is that of the cancer alone. The variants and options
are those of `multitask_busi.py`, and an image takes as long as there. The data are not part of the
project, and no score has been measured.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))
VARIANTS = _BASE["VARIANTS"]


def get_config(variant: str = "joint+mobilenet_v2") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["recipe"](variant)
  config.name = "multitask_panda"
  config.data.name = "panda"

  config.data.panda = own = ConfigDict()
  own.level = 1  # of the slides: 0 as scanned (0.5 µm a pixel), 1 a quarter, 2 a sixteenth of that
  own.tile = 512  # side of a tile at that level, pixels
  own.max_tiles = 8  # most tiles of a slide, those with most tissue; 0: all
  own.min_tissue = 0.1  # the share of a tile that must be tissue
  own.provider = "all"  # or karolinska, radboud
  # 'common': background, benign and cancer; 'binary': background, benign tissue included, and
  # cancer; 'gleason': the six classes of radboud, with provider='radboud'.
  own.classes = "common"
  own.complete = True  # whether all published slides must be there
  return config
