"""A data set in memory: every picture and mask, preprocessed once and cached."""

import contextlib
import hashlib
import io
import json
import os
import pathlib
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg.data import busi, prepare, preprocessing, splits
from mlseg.errors import UserError, unknown

EMBEDDED = pathlib.Path(__file__).parent / "embedded"
EMBEDDED_SIZE = 128


class Cases(NamedTuple):
  """N pictures with their masks."""

  images: np.ndarray  # [N, H, W, 1] uint8
  masks: np.ndarray  # [N, H, W] uint8, the index of a class
  labels: np.ndarray  # [N] int32, the index of a diagnosis
  hashes: np.ndarray  # [N, bits] bool, perceptual, of the pictures before any filter
  ids: tuple[str, ...]  # N names, as in the original folder
  class_names: tuple[str, ...]  # of the masks, the background first
  label_names: tuple[str, ...]  # of the diagnoses
  fingerprint: str  # of the arrays and the ids
  distances: np.ndarray | None = None  # [N, H, W, C] float32, to the boundary of each class


def load(
  name: str,
  *,
  root: str | None = None,
  image_size: int = 128,
  diameter: int = 5,
  sigma_space: float = 2.0,
  sigma_intensity: float = 25.0,
  cache: pathlib.Path | None = None,
) -> Cases:
  """Returns a data set: the embedded one, or that of an original folder.

  Pictures are reduced by area, then filtered (so that both sources give the same), masks are
  reduced by the nearest pixel. The result is cached; a damaged cache is made again, and where the
  cache cannot be written, a warning says so.

  Args:
    name: 'busi'.
    root: folder of the originals; None for the embedded 128×128 pictures.
    image_size: side of the pictures, pixels.
    diameter: of the bilateral filter, pixels; 0 for none. See `preprocessing.bilateral_filter`.
    sigma_space: of the filter, pixels.
    sigma_intensity: of the filter, grey values.
    cache: folder of what was computed; None: $MLSEG_CACHE or ~/.cache/mlseg.

  Raises:
    UserError: an unknown name, a missing or wrong folder, or a size that the source has not got.
  """
  if name not in prepare.BUILDERS:
    raise unknown("dataset", name, prepare.BUILDERS)
  if image_size < 8:
    raise UserError(f"config.data.image_size must be at least 8, not {image_size}")
  if root is None and image_size > EMBEDDED_SIZE:
    raise UserError(
      f"config.data.image_size {image_size} is larger than the embedded {EMBEDDED_SIZE}×"
      f"{EMBEDDED_SIZE} pictures: give the originals with --config.data.root=DIR"
    )
  if root is not None and not pathlib.Path(root).is_dir():
    raise UserError(
      f"data folder {root} does not exist: --config.data.root needs the original"
      f" {busi.FOLDER}; without it the embedded {EMBEDDED_SIZE}×{EMBEDDED_SIZE} set is used"
    )
  cache = cache or pathlib.Path(os.environ.get("MLSEG_CACHE", "~/.cache/mlseg")).expanduser()
  filtering: dict[str, Any] = {
    "diameter": diameter, "sigma_space": sigma_space, "sigma_intensity": sigma_intensity
  }  # fmt: skip
  preprocessing.bilateral_filter(np.zeros((8, 8), np.uint8), **filtering)  # checks the values
  embedded = EMBEDDED / name / "size128" / "1.0.0"
  files = _states(embedded.iterdir() if root is None else _originals(pathlib.Path(root)))
  key = _digest(json.dumps({"v": 1, "files": files, "size": image_size, **filtering}))

  def make() -> dict[str, np.ndarray]:
    if root is None:
      return _preprocess(_read(embedded), image_size, filtering)
    with _prepared(name, pathlib.Path(root), cache / f"originals-{_digest(str(files))[:16]}") as at:
      return _preprocess(_read(at), image_size, filtering)

  arrays = _cached(cache / f"{name}-{image_size}-{key[:16]}.npz", make)
  label_names = busi.LABELS[:2]
  ids = tuple(str(case) for case in arrays.pop("ids"))
  content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
  return Cases(
    **arrays,
    ids=ids,
    class_names=("background", "lesion"),
    label_names=label_names,
    fingerprint=_digest(" ".join(ids).encode() + content),
  )


def _digest(content: str | bytes) -> str:
  return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _originals(root: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the files of the data set, and no others that the folder may hold."""
  for cases in busi.find_cases(root).values():
    for image_path, mask_paths in cases.values():
      yield from (image_path, *mask_paths)


def _states(paths: Iterable[pathlib.Path]) -> list[tuple[str, int, int]]:
  """Returns what tells one state of files from another without reading them."""
  stats = [(f"{path.parent.name}/{path.name}", path.stat()) for path in sorted(paths)]
  return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


@contextlib.contextmanager
def _prepared(name: str, root: pathlib.Path, place: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the tfds folder of the originals, made where they are new, for as long as it is read."""
  version = pathlib.Path(name, "original", str(prepare.BUILDERS[name].VERSION))
  with contextlib.ExitStack() as stack:
    if not (place / version).is_dir():
      try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=place.parent, prefix=".preparing-")
      except OSError:  # `_cached` says that the cache cannot be written
        temporary = tempfile.TemporaryDirectory(prefix="mlseg-")
      made = pathlib.Path(stack.enter_context(temporary))
      prepare.prepare(name, root, made, "original")
      if made.parent == place.parent:
        # Another process may have been faster, and may be reading: what is there stays.
        with contextlib.suppress(OSError):
          place.mkdir(exist_ok=True)
          (made / name).rename(place / name)
      if not (place / version).is_dir():
        place = made
    yield place / version


def _read(folder: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the cases with a lesion, in the order of the names."""
  builder = tfds.builder_from_directory(folder)
  rows = []
  for label, label_name in enumerate(busi.LABELS[:2]):
    source = builder.as_data_source(split=label_name)
    found = [{**dict(row), "id": row["id"].decode(), "label": label} for row in source]
    rows += sorted(found, key=lambda row: busi.natural_key(pathlib.Path(row["id"])))
  return rows


def _preprocess(
  rows: list[dict[str, Any]], size: int, filtering: dict[str, Any]
) -> dict[str, np.ndarray]:
  images, masks, hashes = [], [], []
  for row in rows:
    image = row["image"]
    grey = busi.to_grey(image[..., 0] if image.shape[-1] == 1 else image)
    # Both sources are hashed at one size, so that they agree on what is a duplicate.
    hashes.append(splits.perceptual_hash(preprocessing.resize_image(grey, EMBEDDED_SIZE)))
    images.append(
      preprocessing.bilateral_filter(preprocessing.resize_image(grey, size), **filtering)
    )
    masks.append(preprocessing.resize_mask(row["mask"][..., 0], size) > 0)
  return {
    "images": np.stack(images)[..., None],
    "masks": np.stack(masks).astype(np.uint8),
    "labels": np.array([row["label"] for row in rows], np.int32),
    "hashes": np.stack(hashes),
    "ids": np.array([row["id"] for row in rows]),
  }


def _cached(path: pathlib.Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
  """Returns the arrays of a cache file, made and written where it is missing or damaged."""
  try:
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
      return {name: file[name] for name in file.files}
  except Exception:  # missing, cut short, or something else: zip and numpy raise many things
    arrays = make()
  content = io.BytesIO()
  np.savez(content, **arrays)  # type: ignore[arg-type]
  temporary = path.with_name(f".{path.name}.{os.getpid()}")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.write_bytes(content.getvalue())
    temporary.replace(path)
  except OSError as error:
    warnings.warn(f"the cache {path.parent} cannot be written: {error.strerror}", stacklevel=2)
  return arrays
