"""The recipe of `response_ct.py` on a generated cohort: lesions planted on real CT volumes.

    python -m mlseg.data.response_cohort --backgrounds=CT --out=cohort
    python -m mlseg.main --config=configs/response_synthetic.py --config.data.root=cohort

CT is a folder of volumes in Hounsfield units (NIfTI), on which lesions are planted. Heterogeneous
lesions respond less, and some labels are flipped; size and mean intensity carry no information. In
`shuffled.csv` and `shuffled_2.csv` to `shuffled_5.csv` of the same folder the patients' labels are
permuted, so that nothing can be learnt: `--config.data.cohort.manifest=shuffled.csv`.

The variants are those of `response_ct.py`; the sizes fit these smaller images, and the encoder is
smaller. In `docs/response_study.md` (240 patients, five folds) the default had an AUC of 0.710
[0.643, 0.776], and `classification` 0.700 [0.633, 0.766].
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
  # An epoch is chosen by the AUC of the validation patients: of 60 of 240, where 34 were too few.
  config.data.fractions = (0.55, 0.25, 0.2)
  config.data.cohort.positive = "responder"
  config.data.cohort.spacing = (0.0, 0.75, 0.75)  # finer slices would be interpolated
  config.data.cohort.window = (-60.0, 140.0)
  config.data.cohort.margin = 5.0
  config.data.cohort.slices = 4
  config.model.width = 0.35
  config.model.convention = "keras"
  return config
