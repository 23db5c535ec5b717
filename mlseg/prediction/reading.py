"""Reads the pictures that are predicted, some ahead, in batches that fit into memory."""

import pathlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from mlseg.errors import UserError
from mlseg.io.pictures import files as picture_files
from mlseg.io.pictures.picture import Picture

MAX_BATCH_BYTES = 2**28  # a batch of larger pictures has fewer of them
NUM_THREADS = 4  # threads that read and write; also the most pictures read ahead of a batch


class ReadPicture(NamedTuple):
  """A picture that was read, and the name of its results."""

  path: pathlib.Path
  name: str  # name of its mask and overlay below their folders, without '.png'
  picture: Picture


def batches(
  work: list[tuple[pathlib.Path, str]],
  sixteen_bit: str,
  batch_size: int,
  pool: ThreadPoolExecutor,
) -> Iterator[tuple[list[ReadPicture], list[UserError]]]:
  """Yields batches of pictures, smaller if pictures are large, with errors of unreadable files."""

  def read(item: tuple[pathlib.Path, str]) -> ReadPicture | UserError:
    try:
      return ReadPicture(*item, picture_files.read(item[0], sixteen_bit))
    except UserError as error:
      return error

  jobs: list[ReadPicture] = []
  errors: list[UserError] = []
  for together in _read_together(work):
    for result in pool.map(read, together):
      if isinstance(result, UserError):
        errors.append(result)
        continue
      jobs.append(result)
      held = sum(job.picture.pixels.nbytes for job in jobs)
      if len(jobs) == batch_size or held > MAX_BATCH_BYTES:
        yield jobs, errors
        jobs, errors = [], []
  if jobs or errors:
    yield jobs, errors


def _read_together(
  work: list[tuple[pathlib.Path, str]],
) -> Iterator[list[tuple[pathlib.Path, str]]]:
  """Yields the files that are read at once: few, and of large pictures only one."""
  together: list[tuple[pathlib.Path, str]] = []
  held = 0
  for item in work:
    size = picture_files.unfolded_bytes(item[0])
    if together and (len(together) == NUM_THREADS or held + size > MAX_BATCH_BYTES):
      yield together
      together, held = [], 0
    together.append(item)
    held += size
  if together:
    yield together
