"""A data set in memory: every picture and mask, preprocessed once and cached."""

import contextlib
import json
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from mlseg import files as caches
from mlseg.data import in_memory, prepare, preprocessing
from mlseg.data.datasets import cohort, folder, sources
from mlseg.data.splits import grouped
from mlseg.errors import UserError, unknown
from mlseg.io.pictures.files import natural_key

EMBEDDED = pathlib.Path(__file__).parent / "embedded"
EMBEDDED_SIZE = 128
FOLDER = "folder"  # the name of any folder of pictures and masks
COHORT = cohort.NAME  # of any table of patients with volumes
NAMES = (*prepare.BUILDERS, FOLDER, COHORT)
# The class of a data set's options, the section of a recipe with its name, where it has any.
OPTIONS: dict[str, Any] = {
  FOLDER: folder.Options,
  COHORT: cohort.Options,
  **{name: own.options for name, own in prepare.SOURCES.items()},
}


class Cases(NamedTuple):
  """N pictures with their masks."""

  images: np.ndarray  # [N, H, W, I] uint8, grey (I = 1) or RGB (I = 3)
  masks: np.ndarray  # [N, H, W] uint8, the index of a class; see also `padding.IGNORED`
  labels: np.ndarray  # [N] int32, the index of a diagnosis
  hashes: np.ndarray  # [N, bits] bool, perceptual, of the pictures before any filter
  ids: tuple[str, ...]  # N names, as in the original folder
  class_names: tuple[str, ...]  # of the masks, the background first
  label_names: tuple[str, ...]  # of the diagnoses
  fingerprint: str  # of the arrays and the ids
  distances: np.ndarray | None = None  # [N, H, W, C] float32, to the boundary of each class
  is_test: np.ndarray | None = None  # [N] bool, in a published division
  patients: np.ndarray | None = None  # [N] int32, the same number for cases of one patient
  duplicate_bits: int = grouped.THRESHOLD  # up to which two pictures are near-duplicates; -1: none
  objects: np.ndarray | None = None  # [N, H, W] uint8, 0 or the number of a true object, if known
  instances: np.ndarray | None = None  # [N, H, W] uint8, those that a detector is trained on
  textures: np.ndarray | None = None  # [N] float32, where a loss reads how rough a lesion is
  covariates: np.ndarray | None = None  # [N, K] float32, known of a patient; NaN: not known
  covariate_names: tuple[str, ...] = ()  # K


class _Names(NamedTuple):
  """What the numbers in the arrays of a data set stand for."""

  classes: tuple[str, ...]
  labels: tuple[str, ...]
  duplicate_bits: int = grouped.THRESHOLD
  covariates: tuple[str, ...] = ()


def load(
  name: str,
  *,
  root: str | None = None,
  image_size: int = 128,
  diameter: int = 5,
  sigma_space: float = 2.0,
  sigma_intensity: float = 25.0,
  options: Any = None,
  cache: pathlib.Path | None = None,
) -> Cases:
  """Returns a data set: the embedded one, or that of an original folder.

  Pictures are reduced by area, then filtered (so that both sources give the same), masks are
  reduced by the nearest pixel. The result is cached; a damaged cache is made again, and where the
  cache cannot be written, a warning says so.

  Args:
    name: one of `NAMES`; 'folder' for any folder of pictures and masks.
    root: folder of the originals; None for the embedded 128×128 pictures of BUSI.
    image_size: side of the pictures, pixels; 0: they keep their own size, in arrays of the largest.
    diameter: of the bilateral filter, pixels; 0 for none. See `preprocessing.bilateral_filter`.
    sigma_space: of the filter, pixels.
    sigma_intensity: of the filter, grey values.
    options: of the class in `OPTIONS`; None: its defaults, which 'folder' has not.
    cache: folder of what was computed; None: $MLSEG_CACHE or ~/.cache/mlseg.

  Raises:
    UserError: an unknown name, a missing or wrong folder, or a size that the source has not got.
  """
  _check(name, root, image_size)
  cache = cache or caches.folder()
  filtering: dict[str, Any] = {
    "diameter": diameter, "sigma_space": sigma_space, "sigma_intensity": sigma_intensity
  }  # fmt: skip
  preprocessing.bilateral_filter(np.zeros((8, 8), np.uint8), **filtering)  # checks the values
  if name == FOLDER:
    if root is None or options is None:
      raise UserError("config.data.name 'folder' needs the section config.data.folder")
    arrays, names = _from_folder(pathlib.Path(root), options, image_size, filtering, cache)
  elif name == COHORT and root is not None:
    arrays, names = _from_cohort(pathlib.Path(root), options, image_size, filtering, cache)
  elif name in prepare.SOURCES and root is not None:
    arrays, names = _from_source(name, pathlib.Path(root), options, image_size, filtering, cache)
  else:
    arrays, names = _from_builder(name, root, image_size, filtering, cache)
  ids = tuple(str(case) for case in arrays.pop("ids"))
  content = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
  return Cases(
    **arrays,
    ids=ids,
    class_names=names.classes,
    label_names=names.labels,
    duplicate_bits=names.duplicate_bits,
    covariate_names=names.covariates,
    fingerprint=caches.digest(" ".join(ids).encode() + content),
  )


def _check(name: str, root: str | None, image_size: int) -> None:
  """Raises a UserError where there is no such data set."""
  if name not in NAMES:
    raise unknown("dataset", name, NAMES)
  if image_size and image_size < 8:
    raise UserError(f"config.data.image_size must be at least 8, not {image_size}")
  if name == COHORT and not image_size:
    raise UserError("config.data.patch_size must be 0 for the patients of config.data.cohort")
  wanted = prepare.BUILDERS[name].download if name in prepare.BUILDERS else "folder of the data"
  is_embedded = (EMBEDDED / name).is_dir()
  if root is None and not is_embedded:
    raise UserError(f"config.data.name {name!r} needs the {wanted}: --config.data.root=DIR")
  if root is None and image_size > EMBEDDED_SIZE:
    raise UserError(
      f"config.data.image_size {image_size} is larger than the embedded {EMBEDDED_SIZE}×"
      f"{EMBEDDED_SIZE} pictures: give the originals with --config.data.root=DIR"
    )
  if root is not None and not pathlib.Path(root).is_dir():
    without = f"; without it the embedded {EMBEDDED_SIZE}×{EMBEDDED_SIZE} set is used"
    raise UserError(
      f"data folder {root} does not exist: --config.data.root needs the {wanted}"
      f"{without if is_embedded else ''}"
    )


def _from_folder(
  root: pathlib.Path,
  options: folder.Options,
  size: int,
  filtering: dict[str, Any],
  cache: pathlib.Path,
) -> tuple[dict[str, np.ndarray], _Names]:
  """Returns the arrays of any folder, and what their numbers stand for."""
  cases = folder.find_cases(root, options)
  labels, label_names = folder.numbers([case.label or "unknown" for case in cases])
  states = caches.states(folder.files(cases, root, options), root)
  recipe = {"v": 1, "files": states, "size": size, "options": options._asdict(), **filtering}

  def make() -> dict[str, np.ndarray]:
    pictures = folder.read(cases, options)
    preprocessed = in_memory.preprocess(pictures, size, filtering, options.channels)
    return in_memory.arrays_of(preprocessed, labels, [case.id for case in cases])

  key = caches.digest(json.dumps(recipe))[:16]
  arrays = caches.cached(cache / f"{FOLDER}-{size}-{key}.npz", make)
  if any(case.patient for case in cases):
    # A case without a patient is one of its own.
    texts = [case.patient or f"\0{case.id}" for case in cases]
    arrays["patients"] = folder.numbers(texts)[0]
  return arrays, _Names(tuple(str(name) for name, _ in options.classes), label_names)


def _from_cohort(
  root: pathlib.Path,
  options: cohort.Options | None,
  size: int,
  filtering: dict[str, Any],
  cache: pathlib.Path,
) -> tuple[dict[str, np.ndarray], _Names]:
  """Returns the arrays of the patients of a manifest, and what their numbers stand for."""
  if filtering["diameter"]:
    raise UserError("config.data.diameter must be 0 for volumes: they are not filtered")
  options = options or cohort.Options()
  patients = cohort.find_patients(root, options)
  labels = cohort.label_names(patients, options)
  states = [*caches.states(cohort.files(patients)), *caches.states([root / options.manifest])]
  recipe = {"v": 1, "files": states, "size": size, "options": options._asdict()}
  key = caches.digest(json.dumps(recipe))[:16]
  arrays = caches.cached(
    cache / f"{COHORT}-{size}-{key}.npz", lambda: cohort.arrays_of(patients, options, size)
  )
  covariates = cohort.covariate_names(patients)
  return arrays, _Names(cohort.CLASS_NAMES, labels, sources.NO_DUPLICATES, covariates)


def _from_builder(
  name: str, root: str | None, size: int, filtering: dict[str, Any], cache: pathlib.Path
) -> tuple[dict[str, np.ndarray], _Names]:
  """Returns the arrays of a data set with a builder, and what their numbers stand for."""
  embedded = EMBEDDED / name / "size128" / "1.0.0"
  files = caches.states(
    embedded.iterdir() if root is None else _originals(name, pathlib.Path(root))
  )
  key = caches.digest(json.dumps({"v": 1, "files": files, "size": size, **filtering}))[:16]

  def make() -> dict[str, np.ndarray]:
    if root is None:
      return in_memory.of_rows(_read(name, embedded), size, filtering)
    place = cache / f"originals-{caches.digest(str(files))[:16]}"
    with _prepared(name, pathlib.Path(root), place) as at:
      return in_memory.of_rows(_read(name, at), size, filtering)

  arrays = caches.cached(cache / f"{name}-{size}-{key}.npz", make)
  arrays["labels"], present = in_memory.present(arrays["labels"], prepare.DATASETS[name].labels)
  return arrays, _Names(("background", "lesion"), present)


def _from_source(
  name: str,
  root: pathlib.Path,
  options: Any,
  size: int,
  filtering: dict[str, Any],
  cache: pathlib.Path,
) -> tuple[dict[str, np.ndarray], _Names]:
  """Returns the arrays of a data set that is read picture by picture."""
  options = options or prepare.SOURCES[name].options()
  source = prepare.SOURCES[name].open(root, options)
  states = caches.states(source.files, root)
  recipe = {"v": 2, "files": states, "size": size, "options": options._asdict(), **filtering}
  key = caches.digest(json.dumps(recipe))[:16]

  def make() -> dict[str, np.ndarray]:
    return in_memory.of_source(source, size, filtering)

  arrays = caches.cached(cache / f"{name}-{size}-{key}.npz", make)
  arrays["labels"], present = in_memory.present(arrays["labels"], source.label_names)
  return arrays, _Names(source.class_names, present, source.duplicate_bits)


def _originals(name: str, root: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the files of the data set, and no others that the folder may hold."""
  for cases in prepare.DATASETS[name].find_cases(root).values():
    for image_path, mask_paths in cases.values():
      yield from (image_path, *mask_paths)


@contextlib.contextmanager
def _prepared(name: str, root: pathlib.Path, place: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields the tfds folder of the originals, made where they are new, for as long as it is read."""
  version = pathlib.Path(name, "original", str(prepare.DATASETS[name].builder.VERSION))
  with contextlib.ExitStack() as stack:
    if not (place / version).is_dir():
      try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = tempfile.TemporaryDirectory(dir=place.parent, prefix=".preparing-")
      except OSError:  # `caches.cached` says that the cache cannot be written
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


def _read(name: str, at: pathlib.Path) -> list[dict[str, Any]]:
  """Returns the cases with a lesion, in the order of the names."""
  builder = tfds.builder_from_directory(at)
  rows = []
  for label, label_name in enumerate(prepare.DATASETS[name].labels):
    if label_name not in builder.info.splits:
      continue
    source = builder.as_data_source(split=label_name)
    found = [{**dict(row), "id": row["id"].decode(), "label": label} for row in source]
    rows += sorted(found, key=lambda row: natural_key(pathlib.PurePosixPath(row["id"])))
  return rows
