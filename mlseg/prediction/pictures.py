"""Predicts pictures batch by batch, and writes their masks, overlays and tables."""

import functools
import json
import pathlib
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from mlseg import __version__
from mlseg.console import Reporter
from mlseg.devices import compiler
from mlseg.errors import UserError, printable
from mlseg.files import to_csv, to_json, write_file
from mlseg.io.pictures import dicom
from mlseg.io.pictures import files as picture_files
from mlseg.io.pictures.picture import NOT_FINITE, TRANSPARENT
from mlseg.prediction import inference, reading, trained
from mlseg.prediction import outputs as prediction_outputs
from mlseg.prediction import volumes as predict_volumes
from mlseg.prediction.result_names import result_names
from mlseg.report import diagnosis

_NOTE = "predict.json"
_SAID = (TRANSPARENT, NOT_FINITE, dicom.WINDOW_IGNORED)  # changes of a picture that are printed


class PredictOptions(NamedTuple):
  """The options of the command line."""

  workdir: pathlib.Path  # the folder of the trained run
  images: pathlib.Path  # a folder of pictures, or one file
  out: pathlib.Path  # the folder of the results
  sixteen_bit: str | None  # see `mlseg.io.pictures.picture.to_eight_bits`; None: as in training
  flips: bool  # whether `flip_spread` is computed
  saliency: str  # one of `gradcam.METHODS`, or 'none'; for a run that diagnoses
  batch_size: int  # number of pictures predicted at once
  views: str | None = None  # see `trained.load`
  postprocess: bool = True  # see `trained.load`
  maps: str = prediction_outputs.NONE  # one of `prediction_outputs.MAPS`


def predict(options: PredictOptions, reporter: Reporter) -> tuple[int, int]:
  """Predicts all pictures and writes the results.

  Args:
    options: the options of the command line.
    reporter: prints messages and progress.

  Returns:
    The number of files that could not be read, and the number of all files.

  Raises:
    UserError: there is no trained run or no picture, or results cannot be written.
  """
  run = trained.load(options.workdir, options.views, options.postprocess)
  options = options._replace(sixteen_bit=options.sixteen_bit or run.data.sixteen_bit)
  prediction_outputs.check_maps(run, options.maps)
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
    _print_header(reporter, options, run, len(paths), num_others)
    start = time.monotonic()
    tables, num_broken = _predict_all(options, run, list(zip(paths, names, strict=True)), reporter)
    seconds = (time.monotonic() - start) / len(paths)
    for name, rows in tables.items():
      columns = prediction_outputs.columns(name, run)
      write_file(options.out / name, to_csv(rows, columns))
  except OSError as error:
    raise UserError(f"--out: {options.out} cannot be written ({error.strerror})") from error
  results = prediction_outputs.names(run, options.saliency, options.maps)
  reporter.print(f"{_count(len(paths) - num_broken, 'picture')} predicted: {', '.join(results)}")
  reporter.print(f"{seconds:.2f} s a picture, compilation included")
  return num_broken, len(paths)


def _relative(path: pathlib.Path, source: pathlib.Path) -> str:
  return path.name if path == source else path.relative_to(source).as_posix()


def _claim(options: PredictOptions, run: trained.Trained) -> None:
  """Makes the folder of the results, or checks that the same command made it before."""
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
    **({} if options.maps == prediction_outputs.NONE else {"maps": options.maps}),
    **prediction_outputs.manner(run),
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


def _print_header(
  reporter: Reporter,
  options: PredictOptions,
  run: trained.Trained,
  num_pictures: int,
  num_others: int,
) -> None:
  """Prints the run, its classes, and the number of pictures."""
  size, seeds = run.data.input_size, len(run.seeds)
  tiles = ", in tiles" if run.data.patch_size else ""
  others = f", {_count(num_others, 'other file')} left out" if num_others else ""
  reporter.print(f"model     {options.workdir}, {_count(seeds, 'seed')}, {size}×{size}{tiles}")
  reporter.print(f"classes   {', '.join(run.class_names)}")
  if run.label_names:
    head = "findings " if run.model.has_findings else "diagnoses"
    reporter.print(f"{head} {', '.join(run.label_names)}")
  for line in prediction_outputs.manner_lines(run):
    reporter.print(line)
  reporter.print(f"pictures  {_count(num_pictures, 'file')} in {options.images}{others}")
  reporter.print(f"results   {options.out}")


def _count(number: int, thing: str) -> str:
  return f"{number} {thing}{'s' * (number != 1)}"


def _predict_all(
  options: PredictOptions,
  run: trained.Trained,
  work: list[tuple[pathlib.Path, str]],
  reporter: Reporter,
) -> tuple[dict[str, list[dict[str, Any]]], int]:
  """Returns the rows of each table and the number of files that could not be read."""
  # Pictures that are predicted in tiles keep their size; alone in a batch, no other pads them.
  batch_size = 1 if run.data.patch_size else min(options.batch_size, len(work))
  saliency = options.saliency if prediction_outputs.has_saliency(run, options.saliency) else None
  function = inference.make_predict(
    run.model,
    options.flips,
    saliency,
    views=run.views,
    disagreement=options.maps != prediction_outputs.NONE,
  )
  compiled = jax.jit(function, compiler_options=compiler.compiler_options())
  network = functools.partial(compiled, jax.device_put(run.variables))
  results = prediction_outputs.names(run, options.saliency, options.maps)
  tables: dict[str, list[dict[str, Any]]] = {n: [] for n in results if n.endswith(".csv")}
  done = num_broken = 0
  stderr = sys.stderr
  with ThreadPoolExecutor(reading.NUM_THREADS) as pool, reporter.bar("pictures", len(work), 0):
    for jobs, errors in reading.batches(work, options.sixteen_bit or "", batch_size, pool):
      num_files = len(jobs) + len(errors)
      for job in jobs:
        _print_notes(reporter, job)
      if jobs:
        found = jax.device_get(network(_stack(run, jobs, batch_size, pool)))
        prediction = inference.calibrated(found, run.manner.temperatures, run.model.has_findings)
        if not done and (coarse := diagnosis.warning(prediction.saliency)):
          reporter.print(f"saliency  {coarse}")
        for result in _write_all(options, run, jobs, prediction, pool):
          if isinstance(result, UserError):
            errors.append(result)
            continue
          for name, rows in result:
            tables[name] += rows
      for error in errors:
        # A bar on a terminal replaces sys.stderr, to print above itself; if stderr is a file, the
        # line must go there.
        print(f"mlseg: {error}", file=sys.stderr if stderr.isatty() else stderr)
      num_broken += len(errors)
      done += num_files
      reporter.advance(done)
  return tables, num_broken


def _print_notes(reporter: Reporter, job: reading.ReadPicture) -> None:
  """Prints what was not read of a picture."""
  name = printable(str(job.path))
  if job.picture.note:
    reporter.print(f"{name}: {job.picture.note} is predicted")
  for change in job.picture.changes:
    if change in _SAID:
      reporter.print(f"{name}: {change}")


def _stack(
  run: trained.Trained, jobs: list[reading.ReadPicture], batch_size: int, pool: ThreadPoolExecutor
) -> np.ndarray:
  """Returns a batch of prepared pictures, [B, S, S, channels] uint8.

  Pictures that are predicted in tiles are not resized: [B, H, W, channels].
  """
  options = run.data

  def prepare(job: reading.ReadPicture) -> np.ndarray:
    size = 0 if options.patch_size else options.image_size
    return inference.prepare(job.picture.pixels, size, run.channels, options.filtering)

  prepared = list(pool.map(prepare, jobs))
  return inference.stack(prepared, batch_size, inference.SIZE_STEP if options.patch_size else 1)


def _write_all(
  options: PredictOptions,
  run: trained.Trained,
  jobs: list[reading.ReadPicture],
  prediction: inference.Prediction,
  pool: ThreadPoolExecutor,
) -> Iterator[list[tuple[str, list[dict[str, Any]]]] | UserError]:
  """Writes the results of a batch; yields for each picture the new rows of tables, or an error.

  Large pictures are written one after the other.
  """

  def write(n: int) -> list[tuple[str, list[dict[str, Any]]]] | UserError:
    job = jobs[n]
    single = jax.tree.map(lambda array: array[n], prediction)
    if run.data.patch_size and single.probabilities is not None:
      height, width = job.picture.pixels.shape[:2]
      single = single._replace(
        probabilities=single.probabilities[:height, :width],
        disagreement=None if single.disagreement is None else single.disagreement[:height, :width],
      )
    relative = _relative(job.path, options.images)
    destination = prediction_outputs.Destination(options.out, job.name, relative, options.maps)
    try:
      return [*prediction_outputs.write(destination, run, job.picture, single)]
    except UserError as error:
      return error

  is_large = sum(job.picture.pixels.nbytes for job in jobs) > reading.MAX_BATCH_BYTES // 4
  yield from (map if is_large else pool.map)(write, range(len(jobs)))
