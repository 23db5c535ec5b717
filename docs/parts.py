"""Collects the tables of a study that was trained in parts, in several folders or on machines.

With `add`, cells that are not complete in the folder at hand keep the rows that were collected
earlier, or the reason why they have none; of a cell that is complete in both, the folder's are
taken.
"""

import json
import pathlib
from collections.abc import Sequence

import pages  # beside this file

from mlseg import files
from mlseg.files import Row, to_csv

_CASE = ("seed", "id", "group", "leak")  # columns of a table of scores that name a test image
_STATE = ("complete", "failed")  # of a cell: whether it is complete, and why it has no scores


class Collection:
  """The tables of a study in a folder of the documents, which a folder of `mlseg.sweep` extends.

  Nothing is written before `save`, so that a table that is refused leaves the folder as it was.

  Args:
    study: the folder that `mlseg.sweep` wrote, of a study with one axis.
    to: the folder of the documents.
    keys: dotted keys of the config that all cells must have in common.
    add: whether cells that were collected earlier stay.

  Raises:
    SystemExit: cells differ in a key, or in the version of mlseg.
  """

  def __init__(self, study: pathlib.Path, to: pathlib.Path, keys: Sequence[str], add: bool):
    self.folder, self.to = study, to
    self.study = json.loads((study / "study.json").read_text())
    (self._axis,) = self.study["axes"]
    new = {cell["labels"][self._axis] for cell in self.study["cells"] if cell["complete"]}
    earlier: dict[str, dict] = {}
    self.kept: set[str] = set()  # labels of the cells whose rows stay
    setting = pages.setting(study, keys)
    if add:
      cells = json.loads((to / "study.json").read_text())["cells"]
      earlier = {cell["labels"][self._axis]: cell for cell in cells}
      self.kept = {label for label, cell in earlier.items() if cell["complete"]} - new
      _require_equal(setting, json.loads((to / pages.SETTING).read_text()), to)
    self._order = [cell["labels"][self._axis] for cell in self.study["cells"]]
    for cell, label in zip(self.study["cells"], self._order, strict=True):
      if not cell["complete"] and "failed" not in cell and label in earlier:
        cell |= {key: earlier[label][key] for key in _STATE if key in earlier[label]}
    records = {"study.json": self.study, pages.SETTING: setting}
    self._made = {name: files.to_json(one, indent=1) + "\n" for name, one in records.items()}

  def save(self) -> None:
    """Writes the study, its setting and all tables into the folder of the documents."""
    self.to.mkdir(exist_ok=True)
    for name, text in self._made.items():
      files.write_file(self.to / name, text)

  def copy_rows(self, name: str) -> None:
    """Adds a table of the study's folder that has rows for each cell."""
    self.add_rows(name, files.read_csv(self.folder / name))

  def add_rows(self, name: str, rows: Sequence[Row]) -> None:
    """Adds a table that has rows for each cell, in the order of the cells.

    Args:
      name: of the file.
      rows: of the cells that are complete in the study's folder.
    """
    found = [*self._earlier(name), *rows]
    found.sort(key=lambda row: self._order.index(row[self._axis]))
    self._made[name] = to_csv(found)

  def copy_scores(self, name: str) -> None:
    """Adds a table of the study's folder that has a column for each cell."""
    self.add_scores(name, files.read_csv(self.folder / name))

  def add_scores(self, name: str, rows: Sequence[Row]) -> None:
    """Adds a table that has a row for each seed and test image, and a column for each cell.

    Args:
      name: of the file.
      rows: with the columns of the cells that are complete in the study's folder.

    Raises:
      SystemExit: the test images are not those of the earlier table.
    """
    found: dict[tuple[str, ...], Row] = {}
    tables = [table for table in (self._earlier(name), rows) if table]
    for table in tables:
      for row in table:
        case = tuple(str(row[column]) for column in _CASE)
        found.setdefault(case, dict(zip(_CASE, case, strict=True))).update(row)
    if any(len(table) != len(found) for table in tables):
      raise SystemExit(f"{self.to / name}: its test images are not those of {self.folder}")
    known = {column for row in found.values() for column in row}
    columns = [*_CASE, *(label for label in self._order if label in known)]
    self._made[name] = to_csv(list(found.values()), columns)

  def _earlier(self, name: str) -> list[Row]:
    """Returns the rows of an earlier table, without what the study's folder replaces."""
    if not self.kept or not (self.to / name).exists():
      return []
    rows = files.read_csv(self.to / name)
    if self._axis in rows[0]:
      return [row for row in rows if row[self._axis] in self.kept]
    return [{k: v for k, v in row.items() if k in _CASE or k in self.kept} for row in rows]


def _require_equal(setting: Row, earlier: Row, to: pathlib.Path) -> None:
  """Raises SystemExit where cells to be added differ from those of a folder of the documents."""
  compared = {**setting, "mlseg": setting["versions"]["mlseg"]}
  known = {**earlier, "mlseg": earlier["versions"]["mlseg"]}
  for key in compared.keys() - {"versions"}:
    if compared[key] != known.get(key):
      raise SystemExit(f"{to}: {key} was {known.get(key)}, and is {compared[key]} in the new cells")
