"""`skipped.csv`: what `config.data.skip_bad` left out of the data set, a row each.

    file,reason
    DIR/images/7.png,is cut short or damaged

A file may also be a patient, or a row of a table. There is no such file where nothing was left out.
"""

import pathlib
from collections.abc import Iterable

from mlseg.files import read_csv, to_csv, write_file

NAME = "skipped.csv"
COLUMNS = ("file", "reason")


def write(workdir: pathlib.Path, skipped: Iterable[tuple[str, str]]) -> None:
  """Writes the table into a run's folder, if there is anything to write."""
  rows = [dict(zip(COLUMNS, row, strict=True)) for row in skipped]
  if rows:
    write_file(workdir / NAME, to_csv(rows, COLUMNS))


def read(workdir: pathlib.Path) -> list[tuple[str, str]]:
  """Returns the rows of a run's folder; none where there is no table.

  Raises:
    UserError: the file is damaged.
  """
  if not (workdir / NAME).exists():
    return []
  return [(row["file"], row["reason"]) for row in read_csv(workdir / NAME, columns=COLUMNS)]
