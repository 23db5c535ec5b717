"""The examples of a source as arrays in memory, each resized and filtered as it is read."""

import contextlib
import os
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from mlseg import process_pool
from mlseg.console import Reporter
from mlseg.data import findings, padding, preprocessing, review
from mlseg.data.datasets.sources import Example, Source
from mlseg.data.review import Ready
from mlseg.data.splits import grouped
from mlseg.errors import UserError
from mlseg.io.pictures.picture import to_colour, to_grey

HASHED_SIZE = 128  # size at which all pictures are hashed, so that hashes are comparable
_MOST_THREADS = 8
_GONE = np.zeros(0, np.uint8)  # in place of a picture that is in an array already
_MANY = 2000  # cases from which on processes read them; to start these takes seconds
_HINT = "config.data.skip_bad=True leaves {} out"


def arrays_of(
  source: Source,
  size: int,
  filtering: dict[str, Any],
  *,
  skip_bad: bool = False,
  num_processes: int | None = None,
  reporter: Reporter | None = None,
) -> dict[str, np.ndarray]:
  """Returns the arrays of a source by the names of the fields of `cases.Cases`.

  All cases are read, several at a time, before any fault is reported. Each worker holds one
  original. Images of one size are in memory once, those of several sizes twice at most.

  Args:
    source: whose pictures are read.
    size: side of the pictures, pixels; 0: they keep their size, in arrays of the largest one (see
      `padding.stack`).
    filtering: the arguments of `preprocessing.bilateral_filter`.
    skip_bad: whether cases with a fault are left out instead of refused.
    num_processes: that read, with the conditions on scripts of `process_pool.run`; None: one per
      usable CPU for many cases, and for few cases threads of this process.
    reporter: shows the progress; None: nothing is shown.

  Raises:
    UserError: the source has no examples; some cannot be read, which are all listed; or all masks
      are empty.
  """
  is_fixed = bool(size) or source.crops  # whether all pictures have one size
  pictures, masks, objects = (
    padding.Growing(len(source.parts)) if is_fixed else padding.Padded(how)
    for how in (padding.PICTURES, padding.MASKS, padding.OBJECTS)
  )
  found: list[Ready] = []
  faults = list(source.faults)
  for result in _read(source, size, filtering, num_processes, reporter):
    if isinstance(result, findings.Fault):
      faults.append(result)
      continue
    for one in result:
      example = one.example
      pictures.append(example.image)
      masks.append(example.mask)
      if example.objects is not None:
        objects.append(example.objects)
      found.append(one._replace(example=example._replace(image=_GONE, mask=_GONE, objects=None)))
  if not skip_bad:
    findings.refuse(faults, _HINT.format("it" if len(faults) == 1 else "them"))
  if not found:
    if faults:
      raise UserError(f"all {len(faults)} cases of the data folder are bad, such as"
                      f" {': '.join(faults[0])}")  # fmt: skip
    raise UserError("the data folder has no pictures of the kind that config.data asks for")
  review.check(source, found)
  examples = [one.example for one in found]
  stacked = masks.stacked()
  return {
    "images": pictures.stacked().reshape(*stacked.shape, source.channels),
    "masks": stacked,
    "labels": np.array([source.label_names.index(e.label) for e in examples], np.int32),
    "hashes": np.stack([one.hash for one in found]),
    "ids": np.array([e.id for e in examples]),
    **dict(_known(examples)),
    **({"objects": objects.stacked()} if len(objects) else {}),
    "notes": np.array(review.notes(source, found), dtype=np.str_),
    "skipped": np.array(faults, dtype=np.str_).reshape(-1, 2),
  }


class _Task(NamedTuple):
  """A case to read, and how: what another process needs."""

  part: Callable[..., Iterable[Example]]  # of the source
  crops: bool
  channels: int
  size: int
  filtering: dict[str, Any]


def _read(
  source: Source,
  size: int,
  filtering: dict[str, Any],
  num_processes: int | None,
  reporter: Reporter | None,
) -> Iterator[list[Ready] | findings.Fault]:
  """Yields the examples of each case in their order, or what is wrong with it."""
  tasks = [_Task(part, source.crops, source.channels, size, filtering) for part in source.parts]
  if num_processes is None:
    num_processes = process_pool.usable_cpus() if len(tasks) >= _MANY else 1
  bar = reporter.bar("reading", len(tasks), 0) if reporter else contextlib.nullcontext()
  with bar, warnings.catch_warnings():
    warnings.simplefilter("ignore")  # libraries that read files warn without naming them
    if num_processes > 1 and tasks and _is_picklable(tasks[0]):
      results = process_pool.stream(_work_silently, tasks, num_processes)
    else:
      results = _in_threads(tasks)
    for done, result in enumerate(results, start=1):
      yield result
      if reporter:
        reporter.advance(done)


def _in_threads(tasks: Sequence[_Task]) -> Iterator[list[Ready] | findings.Fault]:
  pool = ThreadPoolExecutor(min(_MOST_THREADS, (os.cpu_count() or 1) + 1))
  try:
    yield from pool.map(_work, tasks)
  finally:
    pool.shutdown(cancel_futures=True)


def _is_picklable(task: _Task) -> bool:
  """Returns whether a case can be read by another process, which a local function cannot."""
  try:
    pickle.dumps(task)
  except (pickle.PicklingError, AttributeError, TypeError):
    return False
  return True


def _work_silently(task: _Task) -> list[Ready] | findings.Fault:
  """Returns the same as `_work`, in a process of its own, whose warnings nobody would see."""
  warnings.simplefilter("ignore")
  return _work(task)


def _work(task: _Task) -> list[Ready] | findings.Fault:
  """Returns the examples of a case, or what is wrong with it."""
  try:
    own = task.part(task.size) if task.crops else task.part()
    return [_ready(example, task) for example in own]
  except UserError as error:
    return findings.from_error(error)


def _ready(example: Example, task: _Task) -> Ready:
  """Returns an example resized and filtered."""
  grey = to_grey(example.image)
  image = grey if task.channels == 1 else to_colour(example.image)
  resized = _resized(example._replace(image=image), 0 if task.crops else task.size)
  filtered = preprocessing.bilateral_filter(resized.image, **task.filtering)
  return Ready(
    resized._replace(image=filtered),
    grouped.perceptual_hash(preprocessing.resize_image(grey, HASHED_SIZE)),
    review.share(example.mask),
    bool(((resized.mask > 0) & padding.counted(resized.mask)).any()),
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
