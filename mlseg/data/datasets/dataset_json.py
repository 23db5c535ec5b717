"""The file `dataset.json` of nnU-Net's raw data and of the Medical Segmentation Decathlon."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mlseg.data import padding
from mlseg.data.findings import Findings
from mlseg.errors import UserError, printable
from mlseg.files import read_json, reading

NAME = "dataset.json"
IMAGES, LABELS = "imagesTr", "labelsTr"
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")
_IGNORE = "ignore"  # the name, in any case, of pixels whose class is not known


class Case(NamedTuple):
  """The files of a case."""

  name: str
  images: tuple[pathlib.Path, ...]  # one a channel, or one file that has all channels
  labels: pathlib.Path


class Described(NamedTuple):
  """What the file says of a data set, and its cases."""

  class_names: tuple[str, ...]  # of the values 0, 1, 2, ... of the masks
  has_ignored: bool  # whether the next value is of pixels whose class is not known
  channel_names: tuple[str, ...]
  cases: tuple[Case, ...]


def read(root: pathlib.Path, found: Findings) -> Described:
  """Returns the labelled cases of a data set.

  Args:
    root: the folder with the file.
    found: gets cases whose files are missing, which are left out.

  Raises:
    UserError: the file is missing, damaged, or of another form; or no case is there.
  """
  path = root / NAME
  if not path.exists():
    raise UserError(
      f"data folder {root} is neither nnU-Net's raw data nor of the Decathlon: it has no {NAME}"
    )
  content = read_json(path)
  with reading(path):
    labels = dict(content["labels"])
    is_decathlon = all(str(key).isdigit() for key in labels)
    names, has_ignored = _classes(labels, is_decathlon)
    channels = content.get("channel_names") or content.get("modality") or {"0": "image"}
    channel_names = tuple(str(channels[key]) for key in sorted(channels, key=int))
    ending = "" if is_decathlon else str(content["file_ending"])
    listed = content["training"] if is_decathlon else ()
  if is_decathlon:
    cases = _listed(root, path, listed, found)
  else:
    cases = _by_name(root, ending, len(channel_names), found)
  if not cases and not found.faults:
    raise UserError(f"data folder {root}: there is no case in {LABELS}")
  return Described(names, has_ignored, channel_names, tuple(cases))


def _classes(labels: Mapping[str, Any], is_decathlon: bool) -> tuple[tuple[str, ...], bool]:
  """Returns the classes of the values 0, 1, 2, ... of masks, and whether 'ignore' follows them.

  Raises:
    ValueError: the values are others.
  """
  by_value: dict[int, str] = {}
  for key, value in labels.items():
    name, number = (str(value), int(key)) if is_decathlon else (str(key), value)
    if isinstance(number, list | tuple):
      raise ValueError(f"labels: {name!r} is a region of several values, which is not read")
    if isinstance(number, bool) or not isinstance(number, int):
      raise ValueError(f"labels: {name!r} must have a whole number, not {number!r}")
    by_value[number] = name
  count = len(labels)
  if sorted(by_value) != list(range(count)):
    raise ValueError(f"labels must have the values 0, 1, 2, ..., not {sorted(by_value)}")
  names = [by_value[number] for number in range(count)]
  has_ignored = names[-1].lower() == _IGNORE
  names = names[:-1] if has_ignored else names
  if any(name.lower() == _IGNORE for name in names):
    raise ValueError(f"labels: {_IGNORE!r} must have the highest value, {count - 1}")
  if not 2 <= len(names) <= padding.MOST_CLASSES:
    raise ValueError(f"labels must have 2 to {padding.MOST_CLASSES} classes, not {len(names)}")
  return tuple(names), has_ignored


def _listed(root: pathlib.Path, path: pathlib.Path, listed: Any, found: Findings) -> list[Case]:
  """Returns the cases that the list 'training' names, whose files are below the folder."""
  cases = []
  for entry in listed:
    with reading(path):
      image, labels = (root / str(entry[name]) for name in ("image", "label"))
    for own in (image, labels):
      if not own.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{path}: {printable(str(own))} is not below {root}")
    missing = [own for own in (image, labels) if not own.exists()]
    if missing:
      found.add(missing[0], f"does not exist, which {NAME} names")
      continue
    cases.append(Case(_stem(labels.name), (image,), labels))
  return cases


def _by_name(root: pathlib.Path, ending: str, num_channels: int, found: Findings) -> list[Case]:
  """Returns the cases by the names of their files: CASE_0000 for the first channel, and so on."""
  folders = [root / name for name in (IMAGES, LABELS)]
  for folder in folders:
    if not folder.is_dir():
      raise UserError(f"data folder {root} is not nnU-Net's raw data: it has no {folder.name}")
  images: dict[str, dict[int, pathlib.Path]] = {}
  for path in sorted(folders[0].iterdir()):
    match = _CHANNEL.fullmatch(path.name.removesuffix(ending))
    if path.name.endswith(ending) and match:
      images.setdefault(match["case"], {})[int(match["channel"])] = path
    else:
      found.pass_over(path)
  cases = []
  for path in sorted(folders[1].iterdir()):
    if not path.name.endswith(ending):
      found.pass_over(path)
      continue
    name = path.name.removesuffix(ending)
    own = images.pop(name, {})
    if lacking := [n for n in range(num_channels) if n not in own]:
      found.add(path, f"has no image {name}_{lacking[0]:04d}{ending} in {IMAGES}")
      continue
    cases.append(Case(name, tuple(own[n] for n in range(num_channels)), path))
  for name, own in images.items():
    found.add(next(iter(own.values())), f"has no mask {name}{ending} in {LABELS}")
  return cases


def _stem(name: str) -> str:
  """Returns the name of a file without its suffix, also '.nii.gz'."""
  return re.sub(r"(\.nii)?(\.gz)?$", "", name) if ".nii" in name else pathlib.Path(name).stem
