"""The study of `multitask_busi.py` on chest radiographs (SIIM-ACR).

    python -m mlseg.sweep --study=configs/studies/multitask_siim_acr.py --config.data.root=DIR

No score has been measured.
"""

import pathlib
import runpy

_BASE = runpy.run_path(str(pathlib.Path(__file__).with_name("multitask_busi.py")))


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  study = _BASE["get_study"]()
  study |= {"name": "multitask_siim_acr", "config": "../multitask_siim_acr.py"}
  return study
