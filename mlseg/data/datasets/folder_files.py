"""The files of a folder that naming patterns describe: which is a picture, which its mask."""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mlseg.data.datasets import patterns
from mlseg.data.findings import Findings
from mlseg.errors import UserError, printable
from mlseg.io.pictures.files import natural_key

Fields = dict[str, str]
Key = tuple[str, ...]  # the fields that a picture and its masks have in common
Masks = tuple[tuple[str | None, pathlib.Path], ...]  # the class that a file shows; None: all


class NamePatterns(NamedTuple):
  """The patterns of a folder."""

  images: patterns.Pattern
  masks: patterns.Pattern
  ignored: tuple[patterns.Pattern, ...]

  @property
  def common(self) -> tuple[str, ...]:
    """The fields that a picture and its masks have in common."""
    return tuple(field for field in self.images.fields if field in self.masks.fields)


class NamedCase(NamedTuple):
  """A picture, its masks, and the fields in its name."""

  image: pathlib.Path
  masks: Masks
  fields: Fields
  id: str


def find(
  root: pathlib.Path,
  names: NamePatterns,
  others: Sequence[str],
  found: Findings,
  may_lack_masks: bool = False,
) -> list[NamedCase]:
  """Returns the cases of a folder, in the order of the numbers in their names.

  Args:
    root: the folder.
    names: its patterns.
    others: relative paths of files that are read otherwise, such as a table.
    found: gets pictures without a mask, masks without a picture, and files that match nothing.
    may_lack_masks: whether pictures without a mask are cases too.

  Raises:
    UserError: nothing matches one of the patterns.
  """
  paths = patterns.list_files(root)
  images: dict[str, Fields] = {}
  masks: dict[str, Fields] = {}
  own = [path for path in paths if not any(one.readings(path) for one in names.ignored)]
  for path, is_mask, fields in _sorted_out(own, names):
    (masks if is_mask else images)[path] = fields
  for path in own:
    if path not in images and path not in masks and path not in others:
      found.pass_over(path)
  for pattern, matched, option in ((names.images, images, "images"), (names.masks, masks, "masks")):
    if not matched:
      example = f"; it has {paths[0]}, for instance" if paths else "; it is empty"
      raise UserError(
        f"data folder {root}: no file matches config.data.folder.{option} {pattern.text!r}{example}"
      )
  return list(_pair(root, images, masks, names, found, may_lack_masks))


def _sorted_out(paths: Sequence[str], names: NamePatterns) -> Iterator[tuple[str, bool, Fields]]:
  """Yields the files that match, whether each is a mask, and its fields.

  A file that matches both patterns is a mask where its picture is there, and else a picture where
  its mask is there. If neither is, it belongs to the pattern with more literal characters.
  """
  as_image = {path: one for path in paths if (one := names.images.readings(path))}
  as_mask = {path: one for path in paths if (one := names.masks.readings(path))}
  pictures: dict[Key, set[str]] = {}
  masked: dict[Key, set[str]] = {}
  for readings, owners in ((as_image, pictures), (as_mask, masked)):
    for path, several in readings.items():
      for fields in several:
        owners.setdefault(_key(fields, names), set()).add(path)

  def partner(path: str, readings: list[Fields], others: dict[Key, set[str]]) -> Fields | None:
    return next((one for one in readings if others.get(_key(one, names), set()) - {path}), None)

  masks_first = names.masks.num_literal >= names.images.num_literal
  for path in paths:
    image, mask = as_image.get(path, []), as_mask.get(path, [])
    of_mask, of_image = partner(path, mask, pictures), partner(path, image, masked)
    if mask and (not image or of_mask or (not of_image and masks_first)):
      yield path, True, of_mask or mask[0]
    elif image:
      yield path, False, of_image or image[0]


def _key(fields: Fields, names: NamePatterns) -> Key:
  return tuple(fields[field] for field in names.common)


def _pair(
  root: pathlib.Path,
  images: dict[str, Fields],
  masks: dict[str, Fields],
  names: NamePatterns,
  found: Findings,
  may_lack_masks: bool,
) -> Iterator[NamedCase]:
  """Yields the pictures that have a mask, or may lack it."""
  masks_of: dict[Key, list[tuple[str | None, pathlib.Path]]] = {}
  for path, fields in masks.items():
    masks_of.setdefault(_key(fields, names), []).append((fields.get("class"), root / path))
  own_names = [fields["name"] for fields in images.values()]
  are_unique = len(set(own_names)) == len(own_names)
  taken: dict[Key, str] = {}
  for path, fields in sorted(images.items(), key=lambda one: _path_key(one[0])):
    key = _key(fields, names)
    if key in taken:
      found.add(root / path, f"has the same name as {printable(str(root / taken[key]))}")
      continue
    taken[key] = path
    if key not in masks_of and not may_lack_masks:
      expected = printable(patterns.fill(names.masks, fields))
      found.add(root / path, f"has no mask, expected {expected} in {root}")
      continue
    yield NamedCase(
      root / path,
      tuple(masks_of.get(key, ())),
      fields,
      fields["name"] if are_unique else "/".join(fields.values()),
    )
  for key, paths in masks_of.items():
    if key not in taken:
      found.add(paths[0][1], f"is a mask without a picture, for {printable(', '.join(key))}")


def _path_key(path: str) -> list[Any]:
  return [natural_key(pathlib.PurePath(part)) for part in path.split("/")]
