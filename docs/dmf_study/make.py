"""Makes `docs/dmf_study.md` and its tables from the committed rows.

    python docs/dmf_study/make.py           # writes them
    python docs/dmf_study/make.py --check   # exit code 1 where one of them differs

`collect.py` copies the rows from a study's folder.
"""

import ast
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import converged  # beside this file
import page
import pages  # in the folder above
from findings import Study

from mlseg import files
from mlseg.report import leader, tables
from mlseg.report import study as study_tables
from mlseg.studies import tables as study_files


def make() -> dict[pathlib.Path, str]:
  """Returns the text of each file by its path."""
  description = json.loads((HERE / "study.json").read_text())
  rows, dice, training = (
    files.read_csv(HERE / f"{name}.csv") for name in ("rows", "dice", "training")
  )
  axes, reference = description["axes"], description["reference"]
  compared = files.to_csv(study_files.comparison_rows(dice, axes, reference))
  comparisons = files.parse_csv(compared)
  setting = json.loads((HERE / pages.SETTING).read_text())
  study = Study(description, rows, dice, comparisons, training, setting, _at_full_size())
  whole = "\n".join(
    f"## {table.title}\n\n{tables.to_markdown(table)}\n{table.note}\n"
    for table in study_tables.make_tables(description, rows, comparisons)
  )
  title, rule = "# Tables of the Dynamic Memory Fusion study", pages.wrapped(leader.RULE)
  return {
    HERE / "comparisons.csv": compared,
    HERE / "tables.md": f"{title}\n\n{rule}\n\n{whole}",
    HERE.parent / "dmf_study.md": page.text(study, _converged()),
  }


def _converged() -> converged.Converged | None:
  """Returns the rows of the study that was trained until it converged, where they are here."""
  folder = converged.FOLDER
  if not folder.exists():
    return None
  description = json.loads((folder / "study.json").read_text())
  names = ("rows", "dice", "weights", "models")
  rows = {name: files.read_csv(folder / f"{name}.csv") for name in names}
  setting = json.loads((folder / pages.SETTING).read_text())
  rows["comparisons"] = _compared(rows["dice"], description)
  if (external := folder / "external.csv").exists():
    rows["external"] = files.read_csv(external)
    rows["external comparisons"] = _compared(rows["external"], description)
  return converged.Converged(description, rows, setting)


def _compared(rows: list[dict[str, str]], study: dict) -> list[dict[str, str]]:
  """Returns the comparisons of the methods of a study with its reference, from scores by case."""
  found = study_files.comparison_rows(rows, study["axes"], study["reference"])
  return files.parse_csv(files.to_csv(found))


def _at_full_size() -> list[str]:
  """Returns the scores in the recipe's docstring, mean ± standard deviation in percent."""
  recipe = ast.parse((pages.ROOT / "configs" / "dmf_busi.py").read_text())
  return re.findall(r"^- Dice.*: (.*) %$", ast.get_docstring(recipe) or "", re.MULTILINE)


if __name__ == "__main__":
  sys.exit(pages.write_or_check(make(), sys.argv))
