"""The examples of a source as arrays in memory, each resized and filtered as it is read."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from mlseg.console import Reporter
from mlseg.data import findings, padding, preprocessing, review
from mlseg.data.datasets.sources import Example, Source
from mlseg.data.review import Ready
from mlseg.data.splits import grouped
from mlseg.errors import UserError
from mlseg.io.pictures.picture import to_colour, to_grey

HASHED_SIZE = 128  # size at which all pictures are hashed, so that hashes are comparable
_MOST_THREADS = 8
_HINT = "config.data.skip_bad=True leaves {} out"


def arrays_of(
  source: Source,
  size: int,
  filtering: dict[str, Any],
  *,
  skip_bad: bool = False,
  reporter: Reporter | None = None,
) -> dict[str, np.ndarray]:
  """Returns the arrays of a source by the names of the fields of `cases.Cases`.

  All cases are read, several at a time, before any fault is reported. Each worker holds one
  original.

  Args:
    source: whose pictures are read.
    size: side of the pictures, pixels; 0: they keep their size, in arrays of the largest one (see
      `padding.stack`).
    filtering: the arguments of `preprocessing.bilateral_filter`.
    skip_bad: whether cases with a fault are left out instead of refused.
    reporter: shows the progress; None: nothing is shown.

  Raises:
    UserError: the source has no examples; some cannot be read, which are all listed; or all masks
      are empty.
  """
  found, faults = _read(source, size, filtering, reporter)
  faults = [*source.faults, *faults]
  if not skip_bad:
    findings.refuse(faults, _HINT.format("it" if len(faults) == 1 else "them"))
  if not found:
    if faults:
      raise UserError(f"all {len(faults)} cases of the data folder are bad, such as"
                      f" {': '.join(faults[0])}")  # fmt: skip
    raise UserError("the data folder has no pictures of the kind that config.data asks for")
  review.check(source, found)
  examples = [one.example for one in found]
  images, masks = padding.stack([e.image for e in examples], [e.mask for e in examples])
  return {
    "images": images.reshape(*masks.shape, source.channels),
    "masks": masks,
    "labels": np.array([source.label_names.index(e.label) for e in examples], np.int32),
    "hashes": np.stack([one.hash for one in found]),
    "ids": np.array([e.id for e in examples]),
    **dict(_known(examples)),
    "notes": np.array(review.notes(source, found), dtype=np.str_),
    "skipped": np.array(faults, dtype=np.str_).reshape(-1, 2),
  }


def _read(
  source: Source, size: int, filtering: dict[str, Any], reporter: Reporter | None
) -> tuple[list[Ready], list[findings.Fault]]:
  """Returns the examples of all cases in their order, and what is wrong with the others."""

  def work(part: Callable[..., Iterable[Example]]) -> list[Ready] | findings.Fault:
    try:
      own = part(size) if source.crops else part()
      return [_ready(example, source, size, filtering) for example in own]
    except UserError as error:
      return findings.from_error(error)

  found: list[Ready] = []
  faults: list[findings.Fault] = []
  total = len(source.parts)
  bar = reporter.bar("reading", total, 0) if reporter else contextlib.nullcontext()
  pool = ThreadPoolExecutor(min(_MOST_THREADS, (os.cpu_count() or 1) + 1))
  with bar, warnings.catch_warnings():
    warnings.simplefilter("ignore")  # libraries that read files warn without naming them
    try:
      for done, result in enumerate(pool.map(work, source.parts), start=1):
        if isinstance(result, findings.Fault):
          faults.append(result)
        else:
          found += result
        if reporter:
          reporter.advance(done)
    finally:
      pool.shutdown(cancel_futures=True)
  return found, faults


def _ready(example: Example, source: Source, size: int, filtering: dict[str, Any]) -> Ready:
  """Returns an example resized and filtered."""
  grey = to_grey(example.image)
  image = grey if source.channels == 1 else to_colour(example.image)
  resized = _resized(example._replace(image=image), 0 if source.crops else size)
  filtered = preprocessing.bilateral_filter(resized.image, **filtering)
  return Ready(
    resized._replace(image=filtered),
    grouped.perceptual_hash(preprocessing.resize_image(grey, HASHED_SIZE)),
    review.share(example.mask),
    bool(grey.min() == grey.max()),
  )


def _resized(example: Example, size: int) -> Example:
  """Returns an example with its picture, mask and objects [size, size]; as it is for size 0."""
  if not size:
    return example
  objects = example.objects
  return example._replace(
    image=preprocessing.resize_image(example.image, size),
    mask=preprocessing.resize_mask(example.mask, size),
    objects=None if objects is None else preprocessing.resize_mask(objects, size),
  )


def _known(examples: Sequence[Example]) -> Iterator[tuple[str, np.ndarray]]:
  """Yields the names and arrays of what is known only in some data sets."""
  if any(example.patient for example in examples):
    # A case without a patient is treated as a patient of its own.
    patients = [example.patient or f"\0{example.id}" for example in examples]
    yield "patients", np.unique(patients, return_inverse=True)[1].astype(np.int32)
    yield "patient_names", np.array([example.patient for example in examples])
  if any(example.part for example in examples):
    yield "is_test", np.array([example.part == "test" for example in examples])
  objects = [example.objects for example in examples if example.objects is not None]
  if objects:
    yield "objects", padding.stack_objects(objects)
  if examples[0].covariates:
    yield "covariates", np.array([example.covariates for example in examples], np.float32)
  if examples[0].findings:
    yield "findings", np.array([example.findings for example in examples], np.int32)


def present(labels: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
  """Returns labels [N] int32 as indices among the names that occur, and those names.

  Example:
    >>> indices, names = present(np.array([2, 0, 2]), ("benign", "normal", "malignant"))
    >>> indices.tolist(), names
    ([1, 0, 1], ('benign', 'malignant'))
  """
  values, indices = np.unique(labels, return_inverse=True)
  return indices.astype(np.int32), tuple(names[value] for value in values)
