"""Response from a generated cohort: lesions on real CT, whose texture carries the outcome.

    python -m mlseg.data.response_cohort --backgrounds=CT --out=cohort
    python -m mlseg.main --config=configs/response_synthetic.py --config.data.root=cohort

CT is a folder of volumes in Hounsfield units (NIfTI), on which lesions are planted: heterogeneous
ones respond less, with some labels flipped; size and mean intensity say nothing. `shuffled.csv` in
the same folder has the labels of other patients, by which nothing can be learnt, and so have
`shuffled_2.csv` to `shuffled_5.csv`: `--config.data.cohort.manifest=shuffled.csv`.

The recipe is that of `response_ct.py`, for the extent of these pictures and a smaller encoder, and
has its variants.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("response_ct.py")))


def get_config(variant: str = "all") -> ConfigDict:
  """Returns the recipe of a variant."""
  config = _BASE["get_config"](variant)
  config.name = "response_synthetic"
  config.num_epochs = 30
  config.patience = 10
  config.batch_size = 16
  config.data.image_size = 64
  config.data.cohort.positive = "responder"
  config.data.cohort.spacing = (0.0, 0.75, 0.75)  # finer slices would be blends of two
  config.data.cohort.window = (-60.0, 140.0)
  config.data.cohort.margin = 5.0
  config.data.cohort.slices = 4
  config.model.width = 0.35
  config.model.convention = "keras"
  return config
