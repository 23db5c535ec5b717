"""Names of results: one for each picture, that a disk takes and that no other picture has."""

import hashlib
import pathlib
from collections import Counter
from collections.abc import Sequence

from mlseg.io.pictures.files import SUFFIXES

# Most bytes of a part of a name: a disk takes 255, of which '.png' and the name of a temporary file
# need some.
_MOST_BYTES = 200


def result_names(paths: Sequence[str]) -> list[str]:
  """Returns a name for the results of each picture: without suffix, unless two would be the same.

  Names that differ only in capital letters count as the same, as on some disks. Parts that a disk
  would not take are cut, and end with a digest of the whole. A name whose file would be one of the
  folders of other results ends with '_'.

  Args:
    paths: paths of the pictures below their folder.

  Example:
    >>> result_names(["a.png", "b/a.png", "c.png", "C.jpg", "1.2.840.7"])
    ['a', 'b/a', 'c.png', 'C.jpg', '1.2.840.7']
    >>> result_names(["x", "x.png/a.png"])
    ['x_', 'x.png/a']
  """
  short = [_short(path) for path in paths]
  names = _distinct(short)
  folders = {
    parent.as_posix().casefold() for name in names for parent in pathlib.PurePosixPath(name).parents
  }
  taken = {name.casefold() for name in names}
  result = []
  for name in names:
    while f"{name}.png".casefold() in folders:
      name += "_"
      while name.casefold() in taken:
        name += "_"
      taken.add(name.casefold())
    result.append(name)
  return result


def _distinct(paths: Sequence[str]) -> list[str]:
  """Returns paths without suffix, where that leaves them distinct."""
  stems = [
    path[: -len(suffix)]
    if (suffix := pathlib.PurePosixPath(path).suffix).lower() in SUFFIXES
    else path
    for path in paths
  ]
  names = stems
  while True:  # a name with its suffix may be the stem of another: 'a.png' and 'a.png.png'
    times = Counter(name.casefold() for name in names)
    if max(times.values()) == 1:
      return names
    again = [
      path if times[name.casefold()] > 1 else name for path, name in zip(paths, names, strict=True)
    ]
    if again == names:  # the paths themselves differ in capital letters only
      return names
    names = again


def _short(path: str) -> str:
  """Returns a path whose last part has at most `_MOST_BYTES` bytes; the suffix is kept."""
  folder, separator, name = path.rpartition("/")
  data = name.encode("utf-8", "surrogateescape")
  if len(data) <= _MOST_BYTES:
    return path
  suffix = pathlib.PurePosixPath(name).suffix
  suffix = suffix if suffix.lower() in SUFFIXES else ""
  end = f"~{hashlib.sha256(data).hexdigest()[:8]}{suffix}"
  return f"{folder}{separator}{data[: _MOST_BYTES - len(end)].decode('utf-8', 'ignore')}{end}"
