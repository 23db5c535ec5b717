"""The flow of `mlseg.predict`: pictures in, batch by batch, masks, overlays and a table out."""

import functools
import json
import pathlib
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from mlseg import __version__
from mlseg.console import Reporter
from mlseg.devices import compiler
from mlseg.errors import UserError
from mlseg.files import to_csv, to_json, write_file
from mlseg.io.pictures import files as picture_files
from mlseg.io.pictures.picture import Picture
from mlseg.prediction import inference, trained
from mlseg.prediction import outputs as prediction_outputs
from mlseg.prediction import volumes as predict_volumes

# Of the pictures of a batch, in bytes, so that large ones do not fill the memory.
_MAX_BATCH_BYTES = 2**28
_NUM_THREADS = 4  # that read and write; also pictures in memory beside those of the batch
_SIZE_STEP = 64  # of pictures that are predicted in tiles
_NOTE = "predict.json"


class Options(NamedTuple):
  """What a command line asks for."""

  workdir: pathlib.Path  # of the trained run
  images: pathlib.Path  # a folder or one file
  out: pathlib.Path
  sixteen_bit: str  # see `pictures.picture.to_eight_bits`
  flips: bool  # whether `flip_spread` is computed
  saliency: str  # one of `gradcam.METHODS` or 'none', of a run that diagnoses
  batch_size: int


class _Job(NamedTuple):
  """A picture that was read, and where its results go."""

  path: pathlib.Path
  name: str  # of its mask and overlay, below their folders, without '.png'
  picture: Picture


def predict(options: Options, reporter: Reporter) -> tuple[int, int]:
  """Predicts all pictures and writes the results.

  Returns:
    How many files could not be read, of how many.

  Raises:
    UserError: no trained run, no pictures, or results cannot be written.
  """
  run = trained.load(options.workdir)
  if run.data.has_volumes:
    claim = functools.partial(_claim, options, run)
    return predict_volumes.predict(
      options.images, options.out, run, options.saliency, claim, reporter
    )
  paths, num_others = picture_files.find(options.images, options.out)
  if not paths:
    raise UserError(
      f"--images: no pictures in {options.images} ({_count(num_others, 'other file')})"
    )
  names = result_names([_relative(path, options.images) for path in paths])
  try:
    _claim(options, run)
    _say_header(reporter, options, run, len(paths), num_others)
    start = time.monotonic()
    tables, num_broken = _predict_all(options, run, list(zip(paths, names, strict=True)), reporter)
    seconds = (time.monotonic() - start) / len(paths)
    for name, rows in tables.items():
      columns = prediction_outputs.columns(name, run)
      write_file(options.out / name, to_csv(rows, columns))
  except OSError as error:
    raise UserError(f"--out: {options.out} cannot be written ({error.strerror})") from error
  results = prediction_outputs.names(run, options.saliency)
  reporter.say(f"{_count(len(paths) - num_broken, 'picture')} predicted: {', '.join(results)}")
  reporter.say(f"{seconds:.2f} s a picture, compilation included")
  return num_broken, len(paths)


def result_names(paths: Sequence[str]) -> list[str]:
  """Returns names for results, one each: without suffix, but with it where two would be the same.

  Also the same on disks that do not tell capital letters from small ones.

  Example:
    >>> result_names(["a.png", "b/a.png", "c.png", "C.jpg", "1.2.840.7"])
    ['a', 'b/a', 'c.png', 'C.jpg', '1.2.840.7']
  """
  stems = [
    path[: -len(suffix)]
    if (suffix := pathlib.PurePosixPath(path).suffix).lower() in picture_files.SUFFIXES
    else path
    for path in paths
  ]
  names = stems
  while True:  # a whole name may be the stem of another: 'a.png' and 'a.png.png'
    times = Counter(name.casefold() for name in names)
    if max(times.values()) == 1:
      return names
    again = [
      path if times[name.casefold()] > 1 else name for path, name in zip(paths, names, strict=True)
    ]
    if again == names:  # names that differ in capital letters only
      return names
    names = again


def _relative(path: pathlib.Path, source: pathlib.Path) -> str:
  return path.name if path == source else path.relative_to(source).as_posix()


def _claim(options: Options, run: trained.Trained) -> None:
  """Makes the folder of the results, or checks that the same command made it."""
  note = options.out / _NOTE
  description = {
    "workdir": str(options.workdir.resolve()),
    "model": run.digest,
    "images": str(options.images.resolve()),
    "sixteen_bit": options.sixteen_bit,
    "classes": list(run.class_names),
    "diagnoses": list(run.label_names),
    "saliency": options.saliency,
    "seeds": list(run.seeds),
    "version": __version__,
  }
  options.out.mkdir(parents=True, exist_ok=True)
  if any(options.out.iterdir()):
    try:
      there = json.loads(note.read_text())
    except (OSError, ValueError):
      raise UserError(f"--out: {options.out} holds other files; give a new folder") from None
    if there != description:
      raise UserError(
        f"--out: {options.out} holds predictions of another command; give a new folder"
      )
  write_file(note, to_json(description, indent=2) + "\n")


def _say_header(
  reporter: Reporter, options: Options, run: trained.Trained, num_pictures: int, num_others: int
) -> None:
  """Prints what is about to be predicted with what."""
  size, seeds = run.data.input_size, len(run.seeds)
  tiles = ", in tiles" if run.data.patch_size else ""
  others = f", {_count(num_others, 'other file')} left out" if num_others else ""
  reporter.say(f"model     {options.workdir}, {_count(seeds, 'seed')}, {size}×{size}{tiles}")
  reporter.say(f"classes   {', '.join(run.class_names)}")
  if run.label_names:
    reporter.say(f"diagnoses {', '.join(run.label_names)}")
  reporter.say(f"pictures  {_count(num_pictures, 'file')} in {options.images}{others}")
  reporter.say(f"results   {options.out}")


def _count(number: int, thing: str) -> str:
  return f"{number} {thing}{'s' * (number != 1)}"


def _predict_all(
  options: Options,
  run: trained.Trained,
  work: list[tuple[pathlib.Path, str]],
  reporter: Reporter,
) -> tuple[dict[str, list[dict[str, Any]]], int]:
  """Returns the rows of each table and the number of files that could not be read."""
  # Pictures that are predicted in tiles keep their size: none then depends on that of the others.
  batch_size = 1 if run.data.patch_size else min(options.batch_size, len(work))
  saliency = options.saliency if prediction_outputs.has_saliency(run, options.saliency) else None
  function = inference.make_predict(run.model, options.flips, saliency)
  compiled = jax.jit(function, compiler_options=compiler.compiler_options())
  network = functools.partial(compiled, jax.device_put(run.variables))
  results = prediction_outputs.names(run, options.saliency)
  tables: dict[str, list[dict[str, Any]]] = {n: [] for n in results if n.endswith(".csv")}
  done = num_broken = 0
  stderr = sys.stderr
  with ThreadPoolExecutor(_NUM_THREADS) as pool, reporter.bar("pictures", len(work), 0):
    for jobs, errors in _batches(work, options.sixteen_bit, batch_size, pool):
      for error in errors:
        # A bar on the terminal takes sys.stderr over, to print above itself: not out of a file.
        print(f"mlseg: {error}", file=sys.stderr if stderr.isatty() else stderr)
      for job in jobs:
        if job.picture.note:
          reporter.say(f"{job.path}: {job.picture.note} is predicted")
      if jobs:
        prediction = jax.device_get(network(_stack(run, jobs, batch_size, pool)))
        for name, rows in _write_all(options, run, jobs, prediction, pool):
          tables[name] += rows
      num_broken += len(errors)
      done += len(jobs) + len(errors)
      reporter.advance(done)
  return tables, num_broken


def _batches(
  work: list[tuple[pathlib.Path, str]],
  sixteen_bit: str,
  batch_size: int,
  pool: ThreadPoolExecutor,
) -> Iterator[tuple[list[_Job], list[UserError]]]:
  """Yields batches of pictures, smaller where pictures are large, and errors of their files."""

  def read(item: tuple[pathlib.Path, str]) -> _Job | UserError:
    try:
      return _Job(*item, picture_files.read(item[0], sixteen_bit))
    except UserError as error:
      return error

  jobs: list[_Job] = []
  errors: list[UserError] = []
  for start in range(0, len(work), _NUM_THREADS):
    for result in pool.map(read, work[start : start + _NUM_THREADS]):
      if isinstance(result, UserError):
        errors.append(result)
        continue
      jobs.append(result)
      held = sum(job.picture.pixels.nbytes for job in jobs)
      if len(jobs) == batch_size or held > _MAX_BATCH_BYTES:
        yield jobs, errors
        jobs, errors = [], []
  if jobs or errors:
    yield jobs, errors


def _stack(
  run: trained.Trained, jobs: list[_Job], batch_size: int, pool: ThreadPoolExecutor
) -> np.ndarray:
  """Returns [B, S, S, channels] uint8, filled up with black pictures: one program for all.

  Pictures that are predicted in tiles keep their size, and are mirrored at their lower and right
  borders up to one of few sizes: one program for each.
  """
  options = run.data

  def prepare(job: _Job) -> np.ndarray:
    size = 0 if options.patch_size else options.image_size
    return inference.prepare(job.picture.pixels, size, run.channels, options.filtering)

  prepared = list(pool.map(prepare, jobs))
  sides = np.max([image.shape[:2] for image in prepared], axis=0)
  if options.patch_size:
    sides = -(-sides // _SIZE_STEP) * _SIZE_STEP
  images = np.stack([_mirrored(image, sides) for image in prepared])
  return np.pad(images, [(0, batch_size - len(jobs)), (0, 0), (0, 0), (0, 0)])


def _mirrored(image: np.ndarray, sides: np.ndarray) -> np.ndarray:
  """Returns a picture up to a height and a width."""
  missing = sides - image.shape[:2]
  return np.pad(image, [(0, missing[0]), (0, missing[1]), (0, 0)], mode="symmetric")


def _write_all(
  options: Options,
  run: trained.Trained,
  jobs: list[_Job],
  prediction: inference.Prediction,
  pool: ThreadPoolExecutor,
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
  """Writes the pictures of a batch and yields rows by the name of their table."""

  def write(n: int) -> list[tuple[str, list[dict[str, Any]]]]:
    job = jobs[n]
    own = jax.tree.map(lambda array: array[n], prediction)
    if run.data.patch_size and own.probabilities is not None:
      height, width = job.picture.pixels.shape[:2]
      own = own._replace(probabilities=own.probabilities[:height, :width])
    relative = _relative(job.path, options.images)
    destination = prediction_outputs.Destination(options.out, job.name, relative)
    return [*prediction_outputs.write(destination, run, job.picture, own)]

  for tables in pool.map(write, range(len(jobs))):
    yield from tables
