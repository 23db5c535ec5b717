"""A data set in memory: every picture and mask, preprocessed once and cached."""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np

from mlseg import files as caches
from mlseg.console import Reporter
from mlseg.data import in_memory, padding, partial, preprocessing
from mlseg.data.datasets import cohort, folder, registry
from mlseg.data.datasets.sources import PLAIN, Reading, Source
from mlseg.data.findings import Fault
from mlseg.data.splits import grouped
from mlseg.errors import UserError, printable, unknown

FOLDER = registry.FOLDER
COHORT = cohort.NAME
NAMES = tuple(registry.DATASETS)
# By name, the class of a data set's options: those of the section of a recipe with that name.
OPTIONS: dict[str, Any] = {name: dataset.options for name, dataset in registry.DATASETS.items()}


class Cases(NamedTuple):
  """N pictures with their masks, and what is known about them."""

  images: np.ndarray  # [N, H, W, I] uint8, grey (I = 1) or RGB (I = 3)
  masks: np.ndarray  # [N, H, W] uint8, the index of a class; see also `padding.counted`
  labels: np.ndarray  # [N] int32, the index of a diagnosis; `partial.UNKNOWN`: it has none
  hashes: np.ndarray  # [N, bits] bool, perceptual hashes of the unfiltered pictures
  ids: tuple[str, ...]  # N names
  class_names: tuple[str, ...]  # of the masks, the background first
  label_names: tuple[str, ...]  # of the diagnoses
  fingerprint: str  # of the arrays and the ids
  distances: np.ndarray | None = None  # [N, H, W, C] float32, to the boundary of each class
  is_test: np.ndarray | None = None  # [N] bool, whether in the published test part
  patients: np.ndarray | None = None  # [N] int32, the same number for cases of one patient
  duplicate_bits: int = grouped.THRESHOLD  # largest difference of near-duplicates; -1: none are
  objects: np.ndarray | None = None  # [N, H, W] uint8, 0 or the number of a true object
  instances: np.ndarray | None = None  # [N, H, W] uint8, the objects that a detector learns
  textures: np.ndarray | None = None  # [N] float32, of lesions, where a loss reads them
  covariates: np.ndarray | None = None  # [N, K] float32, of patients; NaN: not known
  covariate_names: tuple[str, ...] = ()  # K names
  network_covariates: np.ndarray | None = None  # [N, k], those that the network reads, in its order
  notes: tuple[str, ...] = ()  # what a user should know of the data, a line each
  skipped: tuple[Fault, ...] = ()  # cases that were left out, as `skip_bad` allows
  patient_names: tuple[str, ...] = ()  # N, '' where it is not known; (): none is
  findings: np.ndarray | None = None  # [N, L] int32, 0 or 1; a label is their combination then
  finding_names: tuple[str, ...] = ()  # L names

  @property
  def diagnoses(self) -> np.ndarray:
    """What a head of classes learns: labels [N] int32, or findings [N, L] where there are such."""
    return self.labels if self.findings is None else self.findings

  @property
  def diagnosis_names(self) -> tuple[str, ...]:
    """The names of what a head of classes gives probabilities of: labels, or findings."""
    return self.label_names if self.findings is None else self.finding_names

  def covariates_of(self, index: np.ndarray) -> np.ndarray | None:
    """Returns those that the network reads of some cases, [n, k]; None: it reads none."""
    return None if self.network_covariates is None else self.network_covariates[index]

  @property
  def has_unlabelled(self) -> bool:
    """Whether masks have pixels whose class is not known."""
    return any((mask == padding.UNLABELLED).any() for mask in self.masks)

  @property
  def is_partial(self) -> bool:
    """Whether a case lacks its mask or its diagnosis."""
    return not partial.is_complete(self.masks, self.diagnoses).all()


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
  reading: Reading = PLAIN,
  skip_bad: bool = False,
  num_processes: int | None = None,
  reporter: Reporter | None = None,
) -> Cases:
  """Returns a data set, from a folder or from the pictures that come with the package.

  Pictures are reduced by area and then filtered, so that the embedded pictures and their originals
  give the same arrays; masks are reduced by the nearest pixel. All files are checked before any
  fault is reported. The arrays are cached. A damaged cache file is made again, and where the cache
  cannot be written, a warning says so.

  Args:
    name: one of `NAMES`.
    root: folder of the data; None: the embedded 128×128 pictures, which only 'busi' has.
    image_size: side of the pictures, pixels; 0: they keep their size, in arrays of the largest one.
    diameter: of the bilateral filter, pixels; 0: no filter. See `preprocessing.bilateral_filter`.
    sigma_space: of the filter, pixels.
    sigma_intensity: of the filter, grey values.
    options: of the class in `OPTIONS`; None: its defaults, which 'folder' does not have.
    cache: folder of the cached arrays; None: $MLSEG_CACHE or ~/.cache/mlseg.
    reading: how pictures and masks are read.
    skip_bad: whether cases with a fault are left out instead of refused.
    num_processes: that read files which are not in the cache, see `in_memory.arrays_of`.
    reporter: shows the progress; None: nothing is shown.

  Raises:
    UserError: an unknown name, a missing or wrong folder, a wrong option, a size that the source
      does not have, bad files, which are all listed, or masks that are all empty.
  """
  check(name, root, image_size)
  filtering: dict[str, Any] = {
    "diameter": diameter, "sigma_space": sigma_space, "sigma_intensity": sigma_intensity
  }  # fmt: skip
  preprocessing.bilateral_filter(np.zeros((8, 8), np.uint8), **filtering)  # checks the values
  if name == COHORT and diameter:
    raise UserError("config.data.diameter must be 0 for volumes: they are not filtered")
  options = _default_options(name) if options is None else options
  source = _open(name, root, options, reading)
  recipe = {
    "v": 5, "files": _states(source, root), "options": options._asdict(), "size": image_size,
    **filtering, **reading._asdict(), "skip_bad": skip_bad, "notes": source.notes,
    "faults": source.faults,
  }  # fmt: skip
  key = caches.digest(json.dumps(recipe))[:16]
  arrays = caches.cached_arrays(
    (cache or caches.cache_folder()) / f"{name}-{image_size}-{key}.npz",
    lambda: in_memory.arrays_of(
      source,
      image_size,
      filtering,
      skip_bad=skip_bad,
      num_processes=num_processes,
      reporter=reporter,
    ),
  )
  arrays["labels"], label_names = in_memory.present(arrays["labels"], source.label_names)
  if getattr(options, "missing", False):
    arrays["labels"], label_names = partial.without_name(
      arrays["labels"], label_names, folder.UNKNOWN
    )
  ids = tuple(str(case) for case in arrays.pop("ids"))
  patient_names = tuple(str(name) for name in arrays.pop("patient_names", ()))
  notes = tuple(str(note) for note in arrays.pop("notes"))
  skipped = tuple(Fault(str(file), str(reason)) for file, reason in arrays.pop("skipped"))
  names = " ".join(ids).encode("utf-8", "surrogateescape")
  return Cases(
    **arrays,
    ids=ids,
    class_names=source.class_names,
    label_names=label_names,
    duplicate_bits=source.duplicate_bits,
    covariate_names=source.covariate_names,
    fingerprint=caches.digest(names, *(np.ascontiguousarray(own) for own in arrays.values())),
    notes=notes,
    skipped=skipped,
    patient_names=patient_names,
    finding_names=source.finding_names,
  )


def notes(data: Cases) -> list[str]:
  """Returns what a user should know of the data before training, a line each."""
  lines = list(data.notes)
  if data.skipped:
    first = ": ".join(data.skipped[0])
    lines.append(f"left out, as config.data.skip_bad says: {len(data.skipped)}, such as {first}")
  return lines


def evenly_spaced(count: int, most: int) -> np.ndarray:
  """Returns indices of some of the cases, evenly spaced, the first and the last among them.

  The choice does not depend on a model, so that runs can be looked at side by side.

  Example:
    >>> evenly_spaced(10, 4).tolist(), evenly_spaced(2, 4).tolist()
    ([0, 3, 6, 9], [0, 1])
  """
  return np.linspace(0, count - 1, min(most, count)).round().astype(int)


def check(name: str, root: str | None, image_size: int) -> None:
  """Raises a UserError where there is no such data set, no such folder, or no such size of it."""
  if name not in NAMES:
    raise unknown("dataset", name, NAMES)
  if image_size and image_size < 8:
    raise UserError(f"config.data.image_size must be at least 8, not {image_size}")
  if name == COHORT and not image_size:
    raise UserError("config.data.patch_size must be 0 for the patients of config.data.cohort")
  dataset = registry.DATASETS[name]
  size = dataset.embedded_size
  if root is None and not size:
    raise UserError(
      f"config.data.name {name!r} needs the {dataset.download}: --config.data.root=DIR"
    )
  if root is None and image_size > size:
    raise UserError(
      f"config.data.image_size {image_size} is larger than the embedded {size}×{size} pictures:"
      " give the originals with --config.data.root=DIR"
    )
  if root is not None and not pathlib.Path(root).is_dir():
    without = f"; without it the embedded {size}×{size} set is used" if size else ""
    raise UserError(
      f"data folder {root} does not exist: --config.data.root needs the {dataset.download}{without}"
    )


def _default_options(name: str) -> Any:
  kind = OPTIONS[name]
  if len(kind._field_defaults) < len(kind._fields):
    raise UserError(f"config.data.name {name!r} needs the section config.data.{name}")
  return kind()


def _open(name: str, root: str | None, options: Any, reading: Reading) -> Source:
  """Returns the source of a data set that passed `check`."""
  dataset = registry.DATASETS[name]
  if root is not None:
    try:
      return dataset.open(pathlib.Path(root), options, reading)
    except OSError as error:
      where = printable(str(error.filename or root))
      raise UserError(f"{where}: cannot be read ({error.strerror})") from error
  assert dataset.open_embedded
  return dataset.open_embedded(options)


def _states(source: Source, root: str | None) -> list[tuple[str, int, int]]:
  """Returns the states of the files of a source, which may lie outside of the root.

  Files that are not there are left out: reading finds them.
  """
  files = [path for path in source.files if path.exists()]
  if root is None:
    return caches.file_states(files)
  inside = [path for path in files if path.is_relative_to(root)]
  outside = set(files).difference(inside)
  return caches.file_states(inside, pathlib.Path(root)) + caches.file_states(outside)
