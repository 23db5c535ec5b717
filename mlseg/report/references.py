"""The run that others are compared with: the user's choice, or the study's."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlseg.errors import UserError
from mlseg.report.names import listed
from mlseg.workdir.run_files import RunFiles


class References(NamedTuple):
  """The runs that others are compared with; several where a study has several tables."""

  names: tuple[str, ...]
  why: str  # who chose them, in words; without any, how to choose one


class Labels(NamedTuple):
  """The other names of a run."""

  path: str  # of its folder, below that of the command line
  cell: str = ""  # its label on the last axis of its study
  is_reference: bool = False  # whether that is the study's reference


def choose(
  runs: Sequence[RunFiles],
  labels: Mapping[str, Labels],
  wanted: str | None,
  workdirs: Sequence[pathlib.Path],
) -> References:
  """Returns the runs that others are compared with.

  They are the user's choice, else the references of studies, else the first folder of the command
  line, if that is a run. There is no other choice: which run is first in an order of names says
  nothing.

  Args:
    runs: all of them.
    labels: the other names of each run, by its name.
    wanted: the user's choice: a run's name, its folder, or the label of a study's last axis.
    workdirs: the folders of the command line.

  Raises:
    UserError: the user's choice is none of the runs.
  """
  if wanted is not None:
    chosen = [run.name for run in runs if _is_called(wanted, run, labels[run.name])]
    if not chosen:
      names = listed([run.name for run in runs], 20)
      raise UserError(f"--reference={wanted} is no run: choose the name or folder of {names}")
    return References(tuple(chosen), "--reference chose it")
  chosen = [run.name for run in runs if labels[run.name].is_reference]
  if chosen:
    return References(tuple(chosen), "the study names it as its reference")
  first = [run.name for run in runs if run.folder.resolve() == workdirs[0].resolve()]
  if first and len(runs) > 1:
    return References(tuple(first), "its folder is the first of the command line")
  return References((), "No run is compared with a reference: --reference=NAME chooses one.")


def _is_called(wanted: str, run: RunFiles, labels: Labels) -> bool:
  return wanted in (run.name, labels.path, labels.cell, str(run.folder)) or (
    pathlib.Path(wanted).resolve() == run.folder.resolve()
  )
