"""Makes `docs/which_weighting.md` and a table of `docs/guides/library.md` from the rows.

    python docs/which_weighting/make.py           # writes them
    python docs/which_weighting/make.py --check   # exit code 1 where one of them differs

`run.py` trains and writes the rows, and `draw.py` the figure.
"""

import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import draw  # beside this file
import page
import pages  # in the folder above

from mlseg import files

START, END = "<!-- table of docs/which_weighting/make.py -->\n", "<!-- end of the table -->\n"


def make() -> dict[pathlib.Path, str]:
  """Returns the text of each file by its path."""
  study = draw.read()
  guide = HERE.parent / "guides" / "library.md"
  before, rest = guide.read_text().split(START)
  after = rest.split(END)[1]
  costs = files.read_csv(HERE.parent / "reference" / "costs.csv")
  return {
    HERE.parent / "which_weighting.md": page.text(study, draw.read_short(), costs),
    guide: before + START + page.of_pinn(study) + END + after,
  }


if __name__ == "__main__":
  sys.exit(pages.write_or_check(make(), sys.argv))
