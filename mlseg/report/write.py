"""Writes the report of the runs below some folders, as a whole or not at all."""

import pathlib
from collections.abc import Sequence

from mlseg.devices import command
from mlseg.errors import UserError
from mlseg.files import read_json, reading
from mlseg.report import drawing, recipes, references, study
from mlseg.report.find_runs import find
from mlseg.report.page import MARK, Page, page
from mlseg.report.references import Labels
from mlseg.report.sections import Content
from mlseg.report.tables import Table
from mlseg.workdir import search_file
from mlseg.workdir.run_files import read


def report(
  workdirs: Sequence[pathlib.Path], out: pathlib.Path, reference: str | None = None
) -> pathlib.Path:
  """Writes the report of all runs below these folders and returns the path of its page.

  Args:
    workdirs: folders of runs, or folders with such folders anywhere below.
    out: the folder of `index.html` and `figures/`; a report that is already there is replaced.
    reference: the run that others are compared with: its name in the report, its folder, or the
      label of a study's last axis; None: see `references.choose`.

  Raises:
    UserError: there is no run, a file is damaged, the reference is no run, or `out` holds
      something else than a report.
  """
  _check_out(out)
  searches = {
    workdir.resolve().name: search_file.read(workdir)
    for workdir in workdirs
    if (workdir / search_file.NAME).exists()
  }
  with_runs = [workdir for workdir in workdirs if not (workdir / search_file.NAME).exists()]
  if searches and not with_runs:
    raise UserError(
      f"{workdirs[0]} holds a search, of which no trial was tested: give the folder of the run that"
      " was trained with its best values too"
    )
  found = [read(name, folder) for name, folder in find(with_runs).items()]
  studies = [workdir for workdir in workdirs if (workdir / "study.json").exists()]
  tables = [table for workdir in studies for table in _study_tables(workdir)]
  cells = {folder: cell for workdir in studies for folder, cell in _cells(workdir).items()}
  loose = [run for run in found if run.folder.resolve() not in cells]
  taken = {run.name for run in found if run.folder.resolve() in cells}
  names = {
    run.folder: name for run, name in zip(loose, recipes.names_of(loose, taken), strict=True)
  }
  runs = [run._replace(name=names.get(run.folder, run.name)) for run in found]
  paths = {run.folder: run.name for run in found}
  labels = {
    run.name: cells.get(run.folder.resolve(), Labels(""))._replace(path=paths[run.folder])
    for run in runs
  }
  with drawing.style():
    made = page(
      Content(
        runs=tuple(runs),
        loose=tuple(run for run in runs if run.folder in names),
        studies=tuple(tables),
        references=references.choose(runs, labels, reference, workdirs),
        recipes=recipes.table(runs, {run.name: labels[run.name].path for run in runs}),
        searches=searches,
      )
    )
  _write(made, out)
  return out / "index.html"


def _cells(workdir: pathlib.Path) -> dict[pathlib.Path, Labels]:
  """Returns by folder the cells of a study, and all other runs below its folder."""
  cells = {folder.resolve(): Labels("") for folder in find([workdir]).values()}
  with reading(f"the study in {workdir}"):
    content = read_json(workdir / "study.json")
    for cell in content["cells"]:
      folder = (workdir / cell["name"]).resolve()
      if folder in cells:
        last = cell["labels"][content["axes"][-1]]
        cells[folder] = Labels("", last, last == content["reference"])
  return cells


def _study_tables(workdir: pathlib.Path) -> list[Table]:
  with reading(f"the study in {workdir}"):
    return study.tables(workdir)


def _check_out(out: pathlib.Path) -> None:
  """Raises a UserError where a folder is not a report, or holds other files too."""
  if not out.exists() and not out.is_symlink():
    return
  if not out.is_dir() or out.is_symlink():
    raise UserError(f"--out must be a folder, which {out} is not")
  names = {path.name for path in out.iterdir()}
  index = out / "index.html"
  if names and (not index.is_file() or MARK not in index.read_text(errors="replace")[:1000]):
    raise UserError(
      f"--out must be a new folder, an empty one or an older report, which {out} is not"
    )
  if more := sorted(names - {"index.html", "figures"}):
    raise UserError(f"--out would be replaced as a whole, but {out} also holds {more[0]}")


def _write(made: Page, out: pathlib.Path) -> None:
  """Writes to a temporary folder beside `out`, and renames it when it is complete."""
  try:
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with command.temporary_folder(out.absolute().parent, "report") as parent:
      new, old = parent / "new", parent / command.OLD
      (new / "figures").mkdir(parents=True)
      (new / "index.html").write_text(made.html, encoding="utf-8")
      for figure in made.figures:
        (new / "figures" / f"{figure.name}.svg").write_bytes(figure.svg)
        (new / "figures" / f"{figure.name}.png").write_bytes(figure.png)
      if out.exists():
        out.rename(old)
      try:
        new.rename(out)
      except OSError:
        if old.exists():
          old.rename(out)
        raise
  except OSError as error:
    raise UserError(f"--out {out} cannot be written ({error.strerror})") from error
