"""Any folder of pictures and masks, which naming patterns describe: config.data.folder."""

import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from mlseg.data import findings, mask_values, multilabel, padding, partial
from mlseg.data.datasets import (
  classes,
  csv_table,
  folder_files,
  lesion_pairs,
  patterns,
  sources,
)
from mlseg.data.datasets.sources import PLAIN, Example, Reading, Source
from mlseg.data.findings import Findings
from mlseg.errors import UserError, printable, require
from mlseg.io.pictures import files

UNKNOWN = "unknown"  # label of the cases without one


class FolderOptions(NamedTuple):
  """The section config.data.folder; `configs/folder.py` explains each option."""

  images: str
  masks: str
  classes: Sequence[tuple[str, classes.Value]]
  tolerance: int
  channels: int
  table: str
  table_id: str
  id_column: str
  label_column: str
  patient_column: str
  duplicate_bits: int
  ignored: Sequence[str] = ()
  ignore_label: classes.Value = ()
  label_columns: Sequence[str] = ()
  missing: bool = False


class FolderCase(NamedTuple):
  """The files of a picture and its mask, and what is known about it."""

  id: str
  image: pathlib.Path
  masks: folder_files.Masks
  label: str  # '' where it is not known
  patient: str  # '' where it is not known
  # 0 or 1, one for each of `FolderOptions.label_columns`; -1 where they are not known
  findings: tuple[int, ...] = ()


def open_source(root: pathlib.Path, options: FolderOptions, reading: Reading = PLAIN) -> Source:
  """Returns the pictures and masks in a folder as a source.

  Raises:
    UserError: an option is wrong, or as `find_cases`.
  """
  found = Findings()
  cases = find_cases(root, options, found)
  sources.check_duplicate_bits("folder", options.duplicate_bits)
  paths = [path for case in cases for path in (case.image, *(mask for _, mask in case.masks))]
  labels = sorted({case.label or UNKNOWN for case in cases})
  if not options.label_columns:
    csv_table.check_labels(labels, f"data folder {root}")
  return Source(
    files=(*paths, *([root / options.table] if options.table else ())),
    class_names=tuple(str(name) for name, _ in options.classes),
    label_names=tuple(labels),
    channels=options.channels,
    duplicate_bits=options.duplicate_bits,
    parts=tuple(functools.partial(_read, case, options, reading) for case in cases),
    faults=tuple(found.faults),
    notes=found.notes("no pattern of config.data.folder"),
    finding_names=tuple(options.label_columns),
  )


def find_cases(
  root: pathlib.Path, options: FolderOptions, found: Findings | None = None
) -> list[FolderCase]:
  """Returns the cases of a folder, in the order of the numbers in their names.

  Args:
    root: the folder.
    options: how its files are called.
    found: gets pictures without a mask or a row, and masks and rows without a picture; None: they
      are refused.

  Raises:
    UserError: a pattern or a column is wrong, or as `found` says.
  """
  own = Findings() if found is None else found
  check_label_columns(options)
  names = _patterns(options)
  named = folder_files.find(root, names, [options.table], own, options.missing)
  cases = [
    FolderCase(
      one.id, one.image, one.masks, one.fields.get("label") or "", one.fields.get("patient") or ""
    )
    for one in named
  ]
  cases = _with_table(cases, root, options, own) if options.table else cases
  if found is None:
    findings.refuse(own.faults)
  return cases


def check_label_columns(options: FolderOptions) -> None:
  """Raises a UserError where columns of findings do not go with the other options."""
  names = options.label_columns
  if not names:
    return
  if not options.table:
    raise UserError(
      "config.data.folder.label_columns needs config.data.folder.table, the table that has them"
    )
  rule = "config.data.folder.label_columns must be different columns, without names and patients"
  others = {options.id_column, options.patient_column}
  require(len({*names} - others) == len(names), rule, tuple(names))
  rule = (
    "config.data.folder.label_column must be '' with label_columns: a case has one diagnosis, or"
    " any of several findings"
  )
  require(not options.label_column, rule, options.label_column)
  for name in ("images", "masks"):
    rule = f"config.data.folder.{name} must not have the field {{label}} with label_columns"
    require("{label}" not in getattr(options, name), rule, getattr(options, name))


def _patterns(options: FolderOptions) -> folder_files.NamePatterns:
  """Returns the patterns of the options, which are checked too."""
  rule = "config.data.folder.channels must be 1 or 3"
  require(options.channels in (1, 3), rule, options.channels)
  meaning = classes.parse(options.classes, options.tolerance, options.ignore_label)
  images = patterns.parse(options.images, "images")
  masks = patterns.parse(options.masks, "masks", meaning.names[1:])
  if "class" not in masks.fields:
    classes.check_distinct(meaning)
  for field in masks.fields:
    if field not in (*images.fields, "class"):
      raise UserError(
        f"config.data.folder.masks {options.masks!r} has the field {{{field}}}, which"
        f" config.data.folder.images {options.images!r} has not"
      )
  rule = "config.data.folder.images and config.data.folder.masks must differ"
  require(options.images != options.masks, rule, options.masks)
  rule = "config.data.folder.ignored must be patterns, such as ('masks/*_old.png',)"
  require(isinstance(options.ignored, tuple | list), rule, options.ignored)
  ignored = [patterns.parse(text, "ignored", needs_name=False) for text in options.ignored]
  return folder_files.NamePatterns(images, masks, tuple(ignored))


def _read(case: FolderCase, options: FolderOptions, reading: Reading) -> Iterator[Example]:
  """Yields a case.

  Raises:
    UserError: a file cannot be read, a mask has another size than its picture, or a value of no
      class.
  """
  meaning = classes.parse(options.classes, options.tolerance, options.ignore_label)
  picture = files.read(case.image, reading.sixteen_bit)
  shape, name = picture.pixels.shape, case.image.name
  nothing = 0 if case.masks else padding.UNLABELLED
  mask, values = np.full(shape[:2], nothing, np.uint8), []
  changes = list(lesion_pairs.picture_changes(picture))
  for class_name, path in case.masks:
    own, value, more = _read_mask(path, class_name, meaning)
    mask = np.maximum(mask, mask_values.fit(own, path, shape, name, reading.mask_resize))
    values.append(value)
    changes += [f"masks, {change}" for change in more]
  yield Example(
    case.id,
    picture.pixels,
    mask,
    case.label or UNKNOWN,
    case.patient,
    changes=tuple(changes),
    values=tuple(values),
    findings=case.findings,
  )


def _read_mask(
  path: pathlib.Path, class_name: str | None, meaning: classes.Classes
) -> tuple[np.ndarray, str, tuple[str, ...]]:
  """Returns the class at each pixel [H, W] uint8, the value of the lesion, and what was changed.

  The value is '' where the classes decide it.
  """
  stored = files.read_mask(path)
  lesion = classes.lesion_of(meaning, class_name)
  if lesion is not None:
    try:
      found = mask_values.lesion(stored, path)
      return found.pixels.astype(np.uint8) * np.uint8(lesion), found.value, stored.changes
    except UserError as error:
      if not meaning.tolerance:
        raise UserError(
          f"{error}: name its classes in config.data.folder.classes, or take the nearest class"
          " with config.data.folder.tolerance (127 for smooth edges)"
        ) from None
  everything = range(len(meaning.names))
  chosen = [0, meaning.names.index(class_name)] if class_name else everything
  has_indices = stored.indices is not None and not meaning.is_colour
  values = stored.indices if has_indices else stored.values
  assert values is not None
  return classes.by_value(values, path, meaning, chosen), "", stored.changes


def _with_table(
  cases: list[FolderCase], root: pathlib.Path, options: FolderOptions, found: Findings
) -> list[FolderCase]:
  """Returns the cases with the labels and patients of the table."""
  pattern = patterns.parse(options.table_id, "table_id")
  several = tuple(options.label_columns)
  columns = [name for name in (options.label_column, options.patient_column, *several) if name]
  path = root / options.table
  rule = "config.data.folder.table_id must have the field {name} and no other"
  require(pattern.fields == ("name",), rule, options.table_id)
  require(bool(options.id_column), "config.data.folder.id_column must name a column",
          options.id_column)  # fmt: skip
  table = csv_table.read(
    path,
    options.id_column,
    columns,
    binary=several,
    may_be_empty=options.missing,
    found=found,
  )
  if options.missing and options.patient_column:
    table = _with_patient(table, options, path, found)
  # Without its row nobody knows of which patient an image is, and whether that one is tested.
  may_lack_rows = options.missing and not options.patient_column
  own: dict[str, FolderCase] = {}
  for case in cases:
    name = patterns.fill(pattern, {"name": case.id}).strip()
    if name in own:
      found.add(case.image, f"has the same name in the table as {printable(str(own[name].image))}")
    else:
      own[name] = case
  for name, case in own.items():
    if name not in table and name not in found.ids and not may_lack_rows:
      found.add(f"table {path}", f"has no row with the id {name!r} of {printable(str(case.image))}")
  for name in table:
    if name not in own:
      found.add(f"table {path}", f"no picture has the id {name!r} of a row")
  nothing = dict.fromkeys(columns, "") if may_lack_rows else None
  rows = ((case, table.get(name, nothing)) for name, case in own.items())
  return [_with_row(case, row, options) for case, row in rows if row is not None]


def _with_patient(
  table: dict[str, dict[str, str]], options: FolderOptions, path: pathlib.Path, found: Findings
) -> dict[str, dict[str, str]]:
  """Returns the rows that say their patient; the others are faults."""
  for name, row in table.items():
    if not row[options.patient_column]:
      column = options.patient_column
      found.add(f"table {path}", f"the row of {name!r} has no value in column {column!r}")
      found.ids.add(name)
  return {name: row for name, row in table.items() if row[options.patient_column]}


def _with_row(case: FolderCase, row: dict[str, str], options: FolderOptions) -> FolderCase:
  """Returns a case with what its row of the table says."""
  values = [row[name] for name in options.label_columns]
  present = tuple(int(float(value)) for value in values if value)
  label = ""
  if len(present) < len(values):  # some are not known
    present = (partial.UNKNOWN,) * len(values)
  elif present:
    label = multilabel.combination(options.label_columns, present)
  return case._replace(
    label=label or row.get(options.label_column) or case.label,
    patient=row.get(options.patient_column) or case.patient,
    findings=present,
  )
