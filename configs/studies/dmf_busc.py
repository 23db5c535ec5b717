"""Dynamic Memory Fusion on BUSC: table 2 of the paper, and further weightings.

    python -m mlseg.sweep --study=configs/studies/dmf_busc.py --config.data.root=DIR

The cells are those of `dmf_busi.py`. The data are not part of the project; the recipe names their
source. No score has been measured.

Reference: Golnari & Diba, arXiv 2410.19745.
"""

import pathlib
import runpy

_BUSI = runpy.run_path(str(pathlib.Path(__file__).with_name("dmf_busi.py")))


def get_study() -> dict:
  """Returns the grid of cells, and how their scores are tabulated."""
  own = {
    "name": "dmf_busc",
    "config": "../dmf_busc.py",
    "published": ("dmf_published.json", "busc"),
  }
  return _BUSI["get_study"]() | own
