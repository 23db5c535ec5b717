"""Any folder of pictures and masks, which naming patterns describe: config.data.folder."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlseg.data.datasets import classes, csv_table, patterns, sources
from mlseg.data.datasets.sources import Example, Source
from mlseg.errors import UserError, require
from mlseg.io.pictures.files import natural_key, read_8_bits
from mlseg.io.pictures.picture import check_mask_size

UNKNOWN = "unknown"  # label of the cases without one


class FolderOptions(NamedTuple):
  """The section config.data.folder; `configs/folder.py` explains each option."""

  images: str
  masks: str
  classes: Sequence[tuple[str, int | str]]
  tolerance: int
  channels: int
  table: str
  table_id: str
  id_column: str
  label_column: str
  patient_column: str
  duplicate_bits: int


class FolderCase(NamedTuple):
  """The files of a picture and its mask, and what is known about it."""

  id: str
  image: pathlib.Path
  masks: tuple[tuple[str | None, pathlib.Path], ...]  # the class that a file shows; None: all
  label: str  # '' where it is not known
  patient: str  # '' where it is not known


def open_source(root: pathlib.Path, options: FolderOptions) -> Source:
  """Returns the pictures and masks in a folder as a source.

  Raises:
    UserError: an option is wrong, or as `find_cases`.
  """
  cases = find_cases(root, options)
  sources.check_duplicate_bits("folder", options.duplicate_bits)
  paths = [path for case in cases for path in (case.image, *(mask for _, mask in case.masks))]
  return Source(
    files=(*paths, *([root / options.table] if options.table else ())),
    class_names=tuple(str(name) for name, _ in options.classes),
    label_names=tuple(sorted({case.label or UNKNOWN for case in cases})),
    channels=options.channels,
    duplicate_bits=options.duplicate_bits,
    read=lambda: _read(cases, options),
  )


def find_cases(root: pathlib.Path, options: FolderOptions) -> list[FolderCase]:
  """Returns the cases of a folder, in the order of the numbers in their names.

  Raises:
    UserError: a pattern or a column is wrong; a picture has no mask, or a mask no picture; or table
      and pictures do not have the same ids.
  """
  rule = "config.data.folder.channels must be 1 or 3"
  require(options.channels in (1, 3), rule, options.channels)
  names = classes.parse(options.classes, options.tolerance).names
  image_pattern = patterns.parse(options.images, "images")
  mask_pattern = patterns.parse(options.masks, "masks", names[1:])
  for field in mask_pattern.fields:
    if field not in (*image_pattern.fields, "class"):
      raise UserError(
        f"config.data.folder.masks {options.masks!r} has the field {{{field}}}, which"
        f" config.data.folder.images {options.images!r} has not"
      )
  rule = "config.data.folder.images and config.data.folder.masks must differ"
  require(options.images != options.masks, rule, options.masks)
  images, masks = _match(root, image_pattern, mask_pattern)
  common = [field for field in image_pattern.fields if field in mask_pattern.fields]
  cases = list(_pair(root, images, masks, common, mask_pattern))
  return _with_table(cases, root, options) if options.table else cases


def _read(cases: Sequence[FolderCase], options: FolderOptions) -> Iterator[Example]:
  """Yields the cases.

  Raises:
    UserError: a file cannot be read, a mask has another size than its picture, or a value of no
      class.
  """
  meaning = classes.parse(options.classes, options.tolerance)
  everything = range(len(meaning.names))
  for case in cases:
    image = read_8_bits(case.image)
    mask = np.zeros(image.shape[:2], np.uint8)
    for class_name, path in case.masks:
      values = read_8_bits(path, palette_index=meaning.values.shape[1] == 1)
      check_mask_size(values, path, image, case.image.name)
      chosen = [0, meaning.names.index(class_name)] if class_name else everything
      mask = np.maximum(mask, classes.by_value(values, path, meaning, chosen))
    yield Example(case.id, image, mask, case.label or UNKNOWN, case.patient)


_Found = list[tuple[str, dict[str, str]]]  # relative paths, and the fields in them


def _match(
  root: pathlib.Path, image_pattern: patterns.Pattern, mask_pattern: patterns.Pattern
) -> tuple[_Found, _Found]:
  """Returns the pictures and the masks.

  A file that matches both patterns belongs to the one with more literal characters.
  """
  images: _Found = []
  masks: _Found = []
  masks_first = mask_pattern.num_literal >= image_pattern.num_literal
  paths = patterns.list_files(root)
  for path in paths:
    tries = [(mask_pattern, masks), (image_pattern, images)]
    for pattern, found in tries if masks_first else tries[::-1]:
      match = pattern.regex.fullmatch(path)
      if match:
        found.append((path, match.groupdict()))
        break
  for pattern, found, option in ((image_pattern, images, "images"), (mask_pattern, masks, "masks")):
    if not found:
      example = f"; it has {paths[0]}, for instance" if paths else "; it is empty"
      raise UserError(
        f"data folder {root}: no file matches config.data.folder.{option} {pattern.text!r}{example}"
      )
  return images, masks


def _pair(
  root: pathlib.Path,
  images: _Found,
  masks: _Found,
  common: list[str],
  mask_pattern: patterns.Pattern,
) -> Iterator[FolderCase]:
  """Yields the cases, without the labels and patients of a table."""
  masks_of: dict[tuple[str, ...], list[tuple[str | None, pathlib.Path]]] = {}
  for path, fields in masks:
    key = tuple(fields[field] for field in common)
    masks_of.setdefault(key, []).append((fields.get("class"), root / path))
  names = [fields["name"] for _, fields in images]
  are_unique = len(set(names)) == len(names)
  taken: dict[tuple[str, ...], str] = {}
  for path, fields in sorted(images, key=lambda found: _path_key(found[0])):
    key = tuple(fields[field] for field in common)
    if key in taken:
      raise UserError(f"{root / path}: has the same name as {root / taken[key]}")
    if key not in masks_of:
      expected = patterns.fill(mask_pattern, fields)
      raise UserError(f"{root / path}: has no mask, expected {expected} in {root}")
    taken[key] = path
    yield FolderCase(
      id=fields["name"] if are_unique else "/".join(fields.values()),
      image=root / path,
      masks=tuple(masks_of[key]),
      label=fields.get("label") or "",
      patient=fields.get("patient") or "",
    )
  for key, paths in masks_of.items():
    if key not in taken:
      raise UserError(f"{paths[0][1]}: is a mask without a picture, for {', '.join(key)}")


def _path_key(path: str) -> list[Any]:
  return [natural_key(pathlib.PurePath(part)) for part in path.split("/")]


def _with_table(
  cases: list[FolderCase], root: pathlib.Path, options: FolderOptions
) -> list[FolderCase]:
  """Returns the cases with the labels and patients of the table."""
  pattern = patterns.parse(options.table_id, "table_id")
  columns = [name for name in (options.label_column, options.patient_column) if name]
  path = root / options.table
  rule = "config.data.folder.table_id must have the field {name} and no other"
  require(pattern.fields == ("name",), rule, options.table_id)
  require(bool(options.id_column), "config.data.folder.id_column must name a column",
          options.id_column)  # fmt: skip
  table = csv_table.read(path, options.id_column, columns)
  own = {patterns.fill(pattern, {"name": case.id}): case for case in cases}
  for name, case in own.items():
    if name not in table:
      raise UserError(f"table {path}: has no row with the id {name!r} of {case.image}")
  for name in table:
    if name not in own:
      raise UserError(f"table {path}: no picture has the id {name!r} of a row")
  return [
    case._replace(
      label=table[name].get(options.label_column) or case.label,
      patient=table[name].get(options.patient_column) or case.patient,
    )
    for name, case in own.items()
  ]
