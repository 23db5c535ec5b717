"""Makes `docs/dmf_study.md`, its tables and the README's table from the committed rows.

    python docs/dmf_study/make.py           # writes them
    python docs/dmf_study/make.py --check   # exit code 1 where one of them differs

`collect.py` brings the rows here from a study's folder.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

import page  # noqa: E402 - beside this file
from findings import Study  # noqa: E402

from mlseg import study_files  # noqa: E402
from mlseg.report import study as study_tables  # noqa: E402
from mlseg.report import tables  # noqa: E402

START, END = "<!-- table of docs/dmf_study/make.py -->\n", "<!-- end of the table -->\n"


def make() -> dict[pathlib.Path, str]:
  """Returns by path the text of each file that is made."""
  description = json.loads((HERE / "study.json").read_text())
  rows, dice, training = (
    study_files.read_csv(HERE / f"{name}.csv") for name in ("rows", "dice", "training")
  )
  axes, reference = description["axes"], description["reference"]
  compared = study_files.to_csv(study_files.comparison_rows(dice, axes, reference))
  comparisons = study_files.parse_csv(compared)
  study = Study(description, rows, dice, comparisons, training)
  whole = "\n".join(
    f"## {table.title}\n\n{tables.to_markdown(table)}\n{table.note}\n"
    for table in study_tables.make_tables(description, rows, comparisons)
  )
  readme = (ROOT / "README.md").read_text()
  before, rest = readme.split(START)
  after = rest.split(END)[1]
  return {
    HERE / "comparisons.csv": compared,
    HERE / "tables.md": f"# Tables of the Dynamic Memory Fusion study\n\n{whole}",
    HERE.parent / "dmf_study.md": page.text(study),
    ROOT / "README.md": before + START + page.readme_table(study) + END + after,
  }


def main(argv: list[str]) -> int:
  """Writes or checks the files; returns the exit code."""
  made = make()
  if argv[1:] not in ([], ["--check"]):
    print(f"make.py: unknown argument {argv[1]!r}: there is only --check", file=sys.stderr)
    return 2
  if not argv[1:]:
    for path, content in made.items():
      path.write_text(content)
    return 0
  different = [p for p, content in made.items() if not p.exists() or p.read_text() != content]
  for path in different:
    print(f"{path.relative_to(ROOT)} differs from what its rows give", file=sys.stderr)
  return 1 if different else 0


if __name__ == "__main__":
  sys.exit(main(sys.argv))
