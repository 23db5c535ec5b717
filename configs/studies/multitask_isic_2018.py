"""The study of `multitask_busi.py` on photographs of the skin (ISIC 2018).

    python -m mlseg.sweep --study=configs/studies/multitask_isic_2018.py --config.data.root=DIR

No score has been measured.
"""

import pathlib
import runpy

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  study = _BASE["get_study"]()
  study |= {"name": "multitask_isic_2018", "config": "../multitask_isic_2018.py"}
  return study
