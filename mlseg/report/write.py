"""From folders of runs to the folder of a report, which is there as a whole or not at all."""

import pathlib
import shutil
import tempfile
from collections.abc import Sequence

from mlseg.errors import UserError
from mlseg.report import drawing, study
from mlseg.report.find_runs import find
from mlseg.report.page import MARK, Page, page
from mlseg.report.tables import Table
from mlseg.workdir.run_files import damage, read


def report(workdirs: Sequence[pathlib.Path], out: pathlib.Path) -> pathlib.Path:
  """Writes the report of all runs below these folders and returns the path of its page.

  Args:
    workdirs: folders of runs, or folders with such folders anywhere below.
    out: `index.html` and `figures/` go here; a report that is there is replaced.

  Raises:
    UserError: no run, a damaged file, or a folder that is not a report.
  """
  _check_out(out)
  runs = [read(name, folder) for name, folder in find(workdirs).items()]
  studies = [workdir for workdir in workdirs if (workdir / "study.json").exists()]
  tables = [table for workdir in studies for table in _study_tables(workdir)]
  covered = {folder.resolve() for folder in find(studies).values()}
  loose = [run for run in runs if run.folder.resolve() not in covered]
  with drawing.style():
    made = page(runs, tables, loose)
  _write(made, out)
  return out / "index.html"


def _study_tables(workdir: pathlib.Path) -> list[Table]:
  with damage(f"the study in {workdir}"):
    return study.tables(workdir)


def _check_out(out: pathlib.Path) -> None:
  """Refuses to replace what is not a report, or holds more than one."""
  if not out.exists() and not out.is_symlink():
    return
  if not out.is_dir() or out.is_symlink():
    raise UserError(f"--out must be a folder, and {out} is none")
  names = {path.name for path in out.iterdir()}
  index = out / "index.html"
  if names and (not index.is_file() or MARK not in index.read_text(errors="replace")[:1000]):
    raise UserError(f"--out must be new, empty or an older report, and {out} is none of them")
  if more := sorted(names - {"index.html", "figures"}):
    raise UserError(f"--out is replaced as a whole, and {out} holds {more[0]} beside a report")


def _write(made: Page, out: pathlib.Path) -> None:
  """Writes to a folder beside its place, and renames it when it is whole."""
  try:
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    parent = pathlib.Path(tempfile.mkdtemp(dir=out.absolute().parent, prefix=".report-"))
  except OSError as error:
    raise UserError(f"--out {out} cannot be written ({error.strerror})") from error
  try:
    new, old = parent / "new", parent / "old"
    (new / "figures").mkdir(parents=True)
    (new / "index.html").write_text(made.html, encoding="utf-8")
    for picture in made.pictures:
      (new / "figures" / f"{picture.name}.svg").write_bytes(picture.svg)
      (new / "figures" / f"{picture.name}.png").write_bytes(picture.png)
    if out.exists():
      out.rename(old)
    new.rename(out)
  except OSError as error:
    raise UserError(f"--out {out} cannot be written ({error.strerror})") from error
  finally:
    shutil.rmtree(parent, ignore_errors=True)
